package proxy

import (
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// TestFlowOfHeavyBackends: weights whose sum is more than 32 bits are shares as others
// are.
func TestFlowOfHeavyBackends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1).proxy.workers[0]
	f := &flow{}
	for _, weight := range []int{1 << 32, 3 << 32} {
		f.backends = append(f.backends, flowBackend{noun: &model.Backend{Weight: weight}, cluster: &upstream.Cluster{}})
		f.total += weight
	}
	const n = 4000
	first := 0
	for range n {
		b, why := f.choose(w)
		if why != observe.ReasonNone {
			t.Fatal(why)
		}
		if b == &f.backends[0] {
			first++
		}
	}
	if first < n/4-200 || first > n/4+200 {
		t.Errorf("a quarter of the weight got %d of %d", first, n)
	}
}
