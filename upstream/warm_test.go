package upstream

import (
	"math"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

func TestSlowStartRaisesTheShare(t *testing.T) {
	t.Parallel()
	const window = 100 * time.Second
	for _, by := range []balance{random, roundRobin, leastRequest} {
		for _, aggression := range []float64{0, 2} {
			set := &settings{balance: by, slow: slowStartOf(&model.SlowStart{Window: window, Aggression: aggression})}
			m := membersOf(repeat(1, 10)...)
			p := newPlan(m, set, observe.NoEndpoint)
			cur := cursor{random: 4, started: true}
			fresh := m[3].ep
			began := time.Hour
			fresh.warm(began)
			for _, at := range []time.Duration{0, 5 * time.Second, 25 * time.Second, 50 * time.Second, 99 * time.Second, window, 2 * window} {
				const n = 50_000
				got := 0
				for range n {
					if p.choose(&cur, began+at, &Ask{}) == fresh {
						got++
					}
				}
				share := math.Max(0.1, at.Seconds()/window.Seconds())
				if aggression == 2 {
					share = math.Max(0.1, math.Sqrt(at.Seconds()/window.Seconds()))
				}
				share = math.Min(share, 1)
				// What it passes goes to all, it included.
				want := n * share / (9 + share)
				if math.Abs(float64(got)-want) > 0.05*want+5*math.Sqrt(want) {
					t.Errorf("%s, aggression %v, after %v: %d picks, want about %.0f", names[by], aggression, at, got, want)
				}
			}
			if fresh.warming.Load() != 0 {
				t.Error("its slow start does not end")
			}
		}
	}
}

func TestSlowStartIsForThoseThatArrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 3)
	s.SlowStart = &model.SlowStart{Window: 10 * time.Second}
	w.apply(s)
	more := service("a", 4)
	more.SlowStart = s.SlowStart
	w.apply(more)
	m := w.cluster("a").members
	for i := range m {
		if began := m[i].ep.warming.Load(); (began != 0) != (i == 3) {
			t.Errorf("endpoint %d began its slow start at %d", i, began)
		}
	}
	counts := map[*Endpoint]int{}
	count := func() {
		clear(counts)
		for range 400 {
			conn, ep := w.pick("a")
			conn.opened()
			conn.finish()
			counts[ep]++
		}
	}
	if count(); counts[m[3].ep] == 0 || counts[m[3].ep] > 30 {
		t.Errorf("the one that arrived got %d of 400, want about 13", counts[m[3].ep])
	}
	w.loops[0].pass(10 * time.Second)
	if count(); counts[m[3].ep] != 100 {
		t.Errorf("after its slow start it got %d of 400", counts[m[3].ep])
	}
}

// One that comes back is asked as one that nobody knows.
func TestWarmForgetsTheTime(t *testing.T) {
	t.Parallel()
	_, m := planOf(peakEWMA, 1, 1)
	ep := m[0].ep
	ep.latency.heard(0, &Result{Took: 5 * time.Second, Status: 503}, 1)
	ep.latency.heard(0, &Result{Took: 5 * time.Second, Outcome: Late}, 1)
	if ep.latency.expect(0, 0) == 0 {
		t.Fatal("nothing was noted")
	}
	ep.warm(time.Second)
	if got := ep.latency.expect(0, 0); got != 0 {
		t.Errorf("after its return it is expected to take %v s", got)
	}
}
