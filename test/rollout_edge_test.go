package test

import (
	"strings"
	"testing"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/rollout"
)

// TestRolloutAtEdge: a gateway on another machine counts for who decides, so that a
// version which does not answer there goes back by itself.
func TestRolloutAtEdge(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	edge := m.at[0]
	edge.stranger("127.0.0.1:9301", "old")
	m.startControl("listen: :8080\nmesh: {}\nroutes:\n- {name: shop, match: /, to: old, rollout: {to: new, steps: [50, 100], every: 1s}}\n" +
		"services:\n  old: [\"127.0.0.1:9301\"]\n  new: [\"127.0.0.1:9302\"]\n")
	m.join(0, "--gateway", "--join", m.token("--node", edge.name, "--gateway"))
	var v rollout.View
	eventually(t, "it is rolled back", func() bool {
		for range 5 {
			_, _ = edge.ask("127.0.0.1:8080") // an error is an answer, too
		}
		all, err := admin.AtPlane(m.plane.path("control.sock")).Rollouts(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%v %v", all, err)
		}
		v = all[0]
		return v.Phase == rollout.RolledBack
	})
	if !strings.Contains(v.Why, "of the new version's requests failed at 50%") || v.Canary.Bad < 5 {
		t.Errorf("%+v", v)
	}
	eventually(t, "everything is answered there", func() bool {
		for range 50 {
			if text, err := edge.ask("127.0.0.1:8080"); err != nil || text != "old" {
				return false
			}
		}
		return true
	})
}
