package control

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/native"
	"github.com/naru-mesh/naru/dialect/short"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// TestServicesThatWorkloadsMake are no reason to go on with what was declared
// before of the services beside them, nor to leave out what was before of one
// with a mistake.
func TestServicesThatWorkloadsMake(t *testing.T) {
	t.Parallel()
	const workload = "apiVersion: naru.dev/v1alpha1\nkind: Workload\nmetadata: {name: cart-1}\nspec: {account: cart, address: 10.0.0.1, ports: [{service: cart, port: 9000}]}\n"
	r := newRound([]dialect.Dialect{native.New(), short.New()}, slog.New(slog.DiscardHandler))
	play := func(file, stored string) (*model.Snapshot, []model.Problem) {
		sets := []source.Set{{Documents: split("a.yaml", file)}, {}}
		if stored != "" {
			sets[1].Documents = split("stored", stored)
		}
		return r.do(sets)
	}
	port := func(s *model.Snapshot, name string) uint16 {
		if i := slices.IndexFunc(s.Services, func(v *model.Service) bool { return v.Name == name }); i >= 0 {
			return s.Services[i].Mesh.Port
		}
		return 0
	}
	for i, c := range []struct {
		file, stored   string
		orders, bakery uint16
		problems       int
	}{
		{"mesh: {}\nservices: {bakery: {mesh: 80}, orders: {mesh: 80}}\n", "", 80, 80, 0},
		{"mesh: {}\nservices: {bakery: {mesh: 80}, orders: {mesh: 80}}\n", workload, 80, 80, 0},
		{"mesh: {}\nservices: {bakery: {mesh: 81}, orders: {mesh: 81}}\n", workload, 81, 81, 0},
		{"mesh: {}\nservices: {bakery: {mesh: 82}, orders: {mesh: 0}}\n", workload, 81, 82, 2},
		{"mesh: {}\nservices: {bakery: {mesh: 83}, orders: {mesh: 83}}\n", workload, 83, 83, 0},
	} {
		s, problems := play(c.file, c.stored)
		if port(s, "orders") != c.orders || port(s, "bakery") != c.bakery || len(problems) != c.problems {
			t.Errorf("%d: orders on %d, bakery on %d, %+v", i, port(s, "orders"), port(s, "bakery"), problems)
		}
		if want := c.stored != ""; (port(s, "cart") == 9000) != want {
			t.Errorf("%d: cart on %d", i, port(s, "cart"))
		}
	}
}
