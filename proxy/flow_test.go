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

// TestChance: a fraction holds whatever its denominator, at its ends for certain.
func TestChance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1).proxy.workers[0]
	for _, c := range []struct {
		n, of int
		want  float64
	}{{0, 10, 0}, {10, 10, 1}, {1, 0, 1}, {1, 4, 0.25}, {1 << 32, 1 << 34, 0.25}} {
		const n = 4000
		yes := 0
		for range n {
			if w.chance(c.n, c.of) {
				yes++
			}
		}
		if got := float64(yes) / n; got < c.want-0.05 || got > c.want+0.05 || (c.want == 0 || c.want == 1) && got != c.want {
			t.Errorf("%d of %d: %.3f, want %.2f", c.n, c.of, got, c.want)
		}
	}
}
