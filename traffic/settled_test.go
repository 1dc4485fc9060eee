package traffic

import (
	"testing"

	"github.com/naru-mesh/naru/model"
)

// What a policy says of many services means nothing for some: a bound on keys
// where nothing goes by keys, a subset where all proxies must know the same.
func TestWhatPoliciesSayInVain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		was, with      model.Service
		factor, subset int
	}{
		{model.Service{}, model.Service{HashBalanceFactor: 125, SubsetSize: 20}, 0, 20},
		{model.Service{Balance: model.Maglev}, model.Service{Balance: model.Maglev, HashBalanceFactor: 125, SubsetSize: 20}, 125, 0},
		{model.Service{HashBalanceFactor: 125}, model.Service{HashBalanceFactor: 125}, 125, 0},                              // it is told of where it was written
		{model.Service{Balance: model.Maglev, SubsetSize: 20}, model.Service{Balance: model.Maglev, SubsetSize: 20}, 0, 20}, // likewise
	} {
		if got := settledService(&c.was, &c.with); got.HashBalanceFactor != c.factor || got.SubsetSize != c.subset {
			t.Errorf("%+v: factor %d, subset %d", c.with, got.HashBalanceFactor, got.SubsetSize)
		}
	}
}
