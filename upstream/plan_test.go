package upstream

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/ring"
)

// membersOf makes endpoints with weights.
func membersOf(weights ...uint32) []member {
	list := make([]member, len(weights))
	for i, w := range weights {
		list[i] = member{ep: &Endpoint{key: ring.Mix(uint64(i))}, weight: w}
	}
	return list
}

func planOf(by balance, weights ...uint32) (*plan, []member) {
	m := membersOf(weights...)
	return newPlan(m, &settings{balance: by}, observe.NoEndpoint), m
}

// balances are all of them, by names as users write them.
var (
	balances = []balance{peakEWMA, roundRobin, leastRequest, random, ringHash, maglev}
	names    = map[balance]string{peakEWMA: "peak-ewma", roundRobin: "round-robin", leastRequest: "least-request", random: "random", ringHash: "ring-hash", maglev: "maglev"}
)

func repeat(w uint32, n int) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i] = w
	}
	return list
}

// positions counts how often each member was chosen in n picks, and the
// longest wait between two choices of the same.
func tally(p *plan, members []member, n int) (counts []int, gaps []int) {
	index := map[*Endpoint]int{}
	for i, m := range members {
		index[m.ep] = i
	}
	counts, gaps = make([]int, len(members)), make([]int, len(members))
	last := make([]int, len(members))
	cur := cursor{random: 7, started: true}
	for at := range n {
		i := index[p.choose(&cur, 0, &Ask{})]
		if counts[i] > 0 {
			gaps[i] = max(gaps[i], at-last[i])
		}
		counts[i]++
		last[i] = at
	}
	return counts, gaps
}

func TestRoundRobinTakesEachInTurn(t *testing.T) {
	t.Parallel()
	p, m := planOf(roundRobin, 3, 3, 3, 3, 3)
	cur := cursor{started: true}
	for round := range 3 {
		for i := range m {
			if ep := p.choose(&cur, 0, &Ask{}); ep != m[i].ep {
				t.Fatalf("round %d: turn %d went to another endpoint", round, i)
			}
		}
	}
}

func TestRoundRobinKeepsSharesAndIsSmooth(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	mixed := make([]uint32, 200)
	for i := range mixed {
		mixed[i] = 1 + rnd.Uint32N(100)
	}
	for name, weights := range map[string][]uint32{
		"two":         {99, 1},
		"three":       {5, 1, 1},
		"halves":      {2, 1, 2, 1, 2, 1},
		"canary":      {1, 1000},
		"one of many": append(repeat(1, 99), 100),
		"extreme":     append(repeat(1, 50), maxWeight),
		"mixed":       mixed,
		"zero share":  {maxWeight, maxWeight, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, m := planOf(roundRobin, weights...)
			sum := 0.0
			for _, w := range weights {
				sum += float64(w)
			}
			const picks = 200_000
			counts, gaps := tally(p, m, picks)
			for i, w := range weights {
				want := picks * float64(w) / sum
				// A row is off by at most one at either end of the run.
				rows := 1.0
				for _, r := range p.tiers[0].rows.all() {
					if r.ep == m[i].ep {
						rows++
					}
				}
				if math.Abs(float64(counts[i])-want) > 1+rows+want/1000 {
					t.Errorf("weight %d: chosen %d times, want %.1f", w, counts[i], want)
				}
				// Waiting three turns' time happens where several light ones
				// fall between; more would be a burst elsewhere.
				if turn := sum / float64(w); float64(gaps[i]) > 3*turn+float64(len(weights)) {
					t.Errorf("weight %d: waited for %d picks, its turn comes every %.1f", w, gaps[i], turn)
				}
			}
		})
	}
}

// What a pick passes over is bounded on average, however the weights differ.
func TestRoundRobinPassesOverFewRows(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]uint32{
		repeat(1, 1000),
		append(repeat(1, 9999), maxWeight),
		append(repeat(1, 1000), repeat(1000, 10)...),
	} {
		p, _ := planOf(roundRobin, weights...)
		if p.tiers[0].rows.n > 2*len(weights) {
			t.Errorf("%d rows for %d endpoints", p.tiers[0].rows.n, len(weights))
		}
		share := 0.0
		for _, r := range p.tiers[0].rows.all() {
			share += float64(r.share) / full
		}
		if per := float64(p.tiers[0].rows.n) / share; per > maxExcess*2 {
			t.Errorf("a pick passes over %.1f rows", per)
		}
	}
}

func TestLeastRequestPrefersTheLessLoaded(t *testing.T) {
	t.Parallel()
	p, m := planOf(leastRequest, 1, 1)
	m[0].ep.inflight.Store(5)
	m[1].ep.inflight.Store(4)
	counts, _ := tally(p, m, 10_000)
	if counts[0] > 0 {
		t.Errorf("the busier of two was chosen %d times in 10,000", counts[0])
	}
}

func TestLeastRequestSharesByWeightWhenIdle(t *testing.T) {
	t.Parallel()
	weights := []uint32{1, 2, 3, 4, 90}
	p, m := planOf(leastRequest, weights...)
	counts, _ := tally(p, m, 100_000)
	for i, w := range weights {
		if want := float64(w) * 1000; math.Abs(float64(counts[i])-want) > 0.1*want+100 {
			t.Errorf("weight %d: chosen %d times, want about %.0f", w, counts[i], want)
		}
	}
}

// Balls into bins: two choices keep the fullest within a few of the mean,
// where one choice would not; and heavier endpoints hold more.
func TestLeastRequestEvensOutLoad(t *testing.T) {
	t.Parallel()
	weights := append(repeat(1, 500), repeat(3, 500)...)
	p, m := planOf(leastRequest, weights...)
	cur := cursor{random: 11}
	for range 20_000 { // 10 for weight 1, 30 for weight 3
		p.choose(&cur, 0, &Ask{}).inflight.Add(1)
	}
	for i := range m {
		load := float64(m[i].ep.inflight.Load()) / float64(m[i].weight)
		if load > 15 {
			t.Errorf("an endpoint of weight %d holds %d", m[i].weight, m[i].ep.inflight.Load())
		}
	}
}

func TestChooseAvoidsTriedAndAside(t *testing.T) {
	t.Parallel()
	for _, by := range balances {
		p, m := planOf(by, 1, 1, 1)
		cur := cursor{random: 3, started: true}
		var tried Tried
		tried.Add(m[0].ep)
		m[1].ep.connectFailed(0)
		for range 50 {
			if ep := p.choose(&cur, 0, &Ask{Tried: &tried}); ep != m[2].ep {
				t.Fatal("an endpoint was chosen that was tried or stands aside")
			}
		}
		tried.Add(m[2].ep)
		if ep := p.choose(&cur, 0, &Ask{Tried: &tried}); ep != m[1].ep {
			t.Error("an endpoint that was tried was preferred to one that stands aside")
		}
		tried.Add(m[1].ep)
		for range 50 {
			if ep := p.choose(&cur, 0, &Ask{Tried: &tried}); ep == nil || ep == m[1].ep {
				t.Error("all were tried, and one was chosen that stands aside")
			}
		}
		if ep := p.choose(&cur, asideFirst, &Ask{}); ep == nil {
			t.Error("nothing was chosen")
		}
		seen := map[*Endpoint]bool{}
		for range 50 {
			seen[p.choose(&cur, asideFirst, &Ask{})] = true
		}
		if len(seen) != 3 {
			t.Errorf("after the time aside %d of 3 endpoints are chosen", len(seen))
		}
	}
}

func TestChoosingAllocatesNothing(t *testing.T) {
	for _, by := range balances {
		for _, n := range []int{1, 10, 10_000} {
			p, _ := planOf(by, repeat(1, n)...)
			cur := cursor{random: 1}
			a := Ask{Hashed: by.hashed()}
			if got := testing.AllocsPerRun(1000, func() {
				a.Hash += 1 << 50
				if p.choose(&cur, 0, &a) == nil {
					t.Fatal("nothing chosen")
				}
			}); got != 0 {
				t.Errorf("%s among %d: %v allocations", names[by], n, got)
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, by := range balances {
		for _, n := range []int{10, 10_000} {
			for _, weighted := range []bool{false, true} {
				name := names[by] + map[int]string{10: "/10", 10_000: "/10000"}[n] + map[bool]string{false: "/equal", true: "/weighted"}[weighted]
				b.Run(name, func(b *testing.B) {
					w := repeat(1, n)
					if weighted {
						for i := range w {
							w[i] = 1 + uint32(i*i%97)
						}
					}
					p, m := planOf(by, w...)
					for i := range m {
						m[i].ep.latency.heard(0, &Result{Status: 200, Took: time.Duration(1+i%7) * time.Millisecond}, 1)
					}
					cur := cursor{random: 1}
					a := Ask{Hashed: by.hashed()}
					b.ReportAllocs()
					for b.Loop() {
						a.Hash += 1 << 50
						if p.choose(&cur, 0, &a) == nil {
							b.Fatal("nothing chosen")
						}
					}
				})
			}
		}
	}
}

// TestAllAsideShareWhatComes: where nobody can be connected to all get some, by
// weight, and not only the one that was the quickest.
func TestAllAsideShareWhatComes(t *testing.T) {
	t.Parallel()
	for _, by := range []balance{peakEWMA, leastRequest, roundRobin, random} {
		weights := []uint32{1, 1, 2, 4}
		p, m := planOf(by, weights...)
		for i := range m {
			m[i].ep.latency.heard(0, &Result{Status: 200, Took: time.Duration(1+20*i) * time.Millisecond}, 1)
			m[i].ep.aside.Store(int64(time.Hour))
		}
		counts, _ := tally(p, m, 20_000)
		if x := chiSquare(counts, weights); x > 4 {
			t.Errorf("%s: %v, %.1f standard deviations from the weights", names[by], counts, x)
		}
		m[2].ep.aside.Store(0)
		if counts, _ = tally(p, m, 1000); counts[2] != 1000 {
			t.Errorf("%s: %v, though one can be connected to", names[by], counts)
		}
	}
}
