package upstream

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// bounding is a service of n endpoints whose keys are bounded.
func bounding(by model.Balance, n, factor int) *model.Service {
	s := service("a", n)
	s.Balance, s.Hash, s.HashBalanceFactor = by, []model.HashKey{{Kind: model.HashSource}}, factor
	return s
}

// loadAll has as many run on each endpoint as n says.
func (c *Cluster) loadAll(n func(i int) int32) {
	for i := range c.members {
		ep := c.members[i].ep
		ep.bears(n(i) - ep.load.Load())
	}
}

// TestBoundedIsTheNextWithRoom: what is chosen is the first of the key's that has
// less than its share times the factor, rounded up, as long as one of eight has.
func TestBoundedIsTheNextWithRoom(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 8))
	for _, factor := range []int{101, 110, 125, 200} {
		for _, n := range []int{2, 3, 20, 700} {
			for _, most := range []int32{1, 3, 30} {
				w := newWorld(t, 1)
				s := bounding(model.RingHash, n, factor)
				for i := range s.Endpoints {
					another(s.Endpoints, i, func(e *model.Endpoint) { e.Weight = 1 + i%3 })
				}
				w.apply(s)
				c := w.cluster("a")
				c.loadAll(func(int) int32 { return rnd.Int32N(most + 1) })
				tier := &c.plan.Load().tiers[0]
				k := tier.keys
				diverted := 0
				for range 300 {
					a := Ask{Hash: rnd.Uint64(), Hashed: true}
					var want *Endpoint
					at := 0
					for ; at < min(mostFull, n) && want == nil; at++ {
						e := &k.eps[k.table.Lookup(a.Hash, at)]
						// In whole numbers: ceil(factor/100 x (running + 1) x weight / sum).
						over := uint64(factor) * uint64(c.running.Load()+1) * uint64(e.weight)
						if bound := (over + 100*k.sum - 1) / (100 * k.sum); uint64(e.ep.load.Load()) < bound {
							want = e.ep
						}
					}
					got := c.plan.Load().choose(&c.cursors[0], w.loops[0].Now(), &a)
					if got == nil || want != nil && got != want {
						t.Fatalf("%d%% of %d: another than the first with room is chosen", factor, n)
					}
					if a.diverted != (want == nil || at > 1) {
						t.Fatalf("%d%% of %d: diverted is %v", factor, n, a.diverted)
					}
					if a.diverted {
						diverted++
					}
				}
				if diverted == 0 && n > 3 {
					t.Errorf("%d%% of %d endpoints, up to %d on each: nobody was diverted", factor, n, most)
				}
			}
		}
	}
}

// TestBoundRefusesNobody: also where more runs on all than is known to run at all,
// and that costs no memory.
func TestBoundRefusesNobody(t *testing.T) {
	for _, by := range []model.Balance{model.RingHash, model.Maglev} {
		for _, n := range []int{2, 3, 1000} {
			w := newWorld(t, 1)
			w.apply(bounding(by, n, 101))
			c, now := w.cluster("a"), w.loops[0].Now()
			for _, load := range []int32{0, 2, math.MaxInt32 / 2} {
				c.loadAll(func(i int) int32 { return load })
				for _, running := range []int64{0, 1, c.running.Load()} {
					was := c.running.Swap(running)
					key := uint64(0)
					tried := Tried{}
					tried.Add(c.members[0].ep)
					if allocs := testing.AllocsPerRun(200, func() {
						key += 1 << 55
						for _, of := range []*Tried{nil, &tried} {
							if ep := c.plan.Load().choose(&c.cursors[0], now, &Ask{Hash: key, Hashed: true, Tried: of}); ep == nil || of.Has(ep) {
								t.Fatalf("%s of %d, %d on each and %d in all: %v", by, n, load, running, ep)
							}
						}
					}); allocs != 0 {
						t.Errorf("%s of %d: %v allocations", by, n, allocs)
					}
					c.running.Store(was)
				}
				c.loadAll(func(int) int32 { return 0 })
			}
		}
	}
}

// TestBoundIsOfThoseThatAreThere: what an endpoint may have is its share of those
// that keys can lead to, also of many, before others are found.
func TestBoundIsOfThoseThatAreThere(t *testing.T) {
	t.Parallel()
	const n, out, each, factor = 1000, 100, 10, 105
	w := newWorld(t, 1)
	w.apply(bounding(model.RingHash, n, factor))
	c := w.cluster("a")
	for i := range out {
		c.mu.Lock()
		c.members[i].ep.sick.Store(true)
		c.changed(c.members[i].ep)
		c.mu.Unlock()
	}
	// What runs, runs on the others.
	c.loadAll(func(i int) int32 {
		if i < out {
			return 0
		}
		return each
	})
	diverted := 0
	for i := range uint64(1000) {
		a := Ask{Hash: i << 54, Hashed: true}
		ep := c.plan.Load().choose(&c.cursors[0], w.loops[0].Now(), &a)
		if ep.sick.Load() {
			t.Fatal("one that is not well is chosen")
		}
		if a.diverted {
			diverted++
		}
	}
	if diverted > 0 { // each has its share, and may have a twentieth more
		t.Errorf("%d of 1000 were led elsewhere", diverted)
	}
}

// TestBoundThatComesLater: what ran before it was bounded is not counted, neither in
// all nor for an endpoint, and neither when it ends.
func TestBoundThatComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(bounding(model.RingHash, 3, 0))
	c, l := w.cluster("a"), w.loops[0]
	a := Ask{Hash: 7, Hashed: true}
	var conns []*fakeConn
	pick := func() *Endpoint {
		conn, ep, _ := c.Pick(l, &a)
		conn.Send(nil, nil, nil, true)
		conns = append(conns, conn.(*fakeConn))
		return ep
	}
	own := pick()
	for range 10 {
		pick()
	}
	w.apply(bounding(model.RingHash, 3, 125))
	if c.running.Load() != 0 || own.load.Load() != 0 {
		t.Errorf("%d run, %d on the key's", c.running.Load(), own.load.Load())
	}
	if pick() != own {
		t.Error("the first that is counted is led elsewhere")
	}
	for range 10 {
		pick()
	}
	if n := own.load.Load(); n < 4 || n > 6 {
		t.Errorf("the key's endpoint has %d of 11", n)
	}
	w.apply(bounding(model.RingHash, 3, 0))
	for _, conn := range conns {
		conn.opened()
		conn.finish()
	}
	if c.running.Load() != 0 || own.load.Load() != 0 {
		t.Errorf("at the end %d run, %d on the key's", c.running.Load(), own.load.Load())
	}
}
