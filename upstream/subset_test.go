package upstream

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// endpointsOf are those that subsets are made of.
func endpointsOf(n int) *group {
	return &group{members: membersOf(repeat(1, n)...)}
}

// subsetOf is who proxy number i uses of g, size of them; out are not well.
func subsetOf(i int, g *group, size int, out func(int) bool) (in []int) {
	g.subset, g.salt = size, nameSum(fmt.Sprintf("proxy-%d", i))
	for k := range g.members {
		g.members[k].well, g.members[k].rank = !out(k), g.rankOf(&g.members[k])
	}
	for least, k := g.entry(false), 0; k < len(g.members); k++ {
		if m := &g.members[k]; m.well && m.rank >= least {
			in = append(in, k)
		}
	}
	return in
}

func nobody(int) bool { return false }

// TestSubsetsAreEven: of 1,000 proxies each uses 50 of 1,000 endpoints. By chance
// an endpoint has 50 proxies and about 7 more or less, and so it is: none is
// forgotten, and none has twice its share.
func TestSubsetsAreEven(t *testing.T) {
	t.Parallel()
	const proxies, endpoints, size = 1000, 1000, 50
	count, all := map[int]int{}, endpointsOf(endpoints)
	for i := range proxies {
		in := subsetOf(i, all, size, nobody)
		if len(in) != size {
			t.Fatalf("proxy %d uses %d endpoints", i, len(in))
		}
		for _, k := range in {
			count[k]++
		}
	}
	var list []int
	squares := 0.0
	for _, n := range count {
		list = append(list, n)
		squares += float64(n-size) * float64(n-size)
	}
	slices.Sort(list)
	deviation := math.Sqrt(squares / endpoints)
	t.Logf("proxies of an endpoint: %d to %d, standard deviation %.1f", list[0], list[len(list)-1], deviation)
	if len(count) != endpoints || list[0] < 25 || list[len(list)-1] > 80 || deviation > 8 {
		t.Errorf("%d of %d endpoints are used, by %d to %d proxies, standard deviation %.1f", len(count), endpoints, list[0], list[len(list)-1], deviation)
	}
}

// TestSubsetsChangeLittle: who goes is replaced by one, and who comes replaces one
// at most.
func TestSubsetsChangeLittle(t *testing.T) {
	t.Parallel()
	changed, all := 0, endpointsOf(1000)
	for i := range 200 {
		before := subsetOf(i, all, 50, nobody)
		after := subsetOf(i, all, 50, func(k int) bool { return k == 7 })
		differ := 0
		for _, k := range before {
			if !slices.Contains(after, k) {
				differ++
			}
		}
		if differ > 1 {
			t.Fatalf("one of 1,000 goes, and proxy %d changes %d of 50", i, differ)
		}
		changed += differ
	}
	if changed < 2 || changed > 25 {
		t.Errorf("%d of 200 proxies had used the one that went, want about 10", changed)
	}
}

// TestSubsetIsNeverDead: who is not well is replaced, for as long as anybody is
// well; comes back; and in a panic, when nobody is, as many are used as before.
func TestSubsetIsNeverDead(t *testing.T) {
	t.Parallel()
	for _, n := range []int{60, 1200} { // few are laid out anew, many are not
		w := newWorld(t, 1, func(e *Env) { e.ID = "proxy-7" })
		s := service("a", n)
		s.Balance, s.SubsetSize = model.LeastRequest, 20
		w.apply(s)
		c := w.cluster("a")
		in := func() (eps []*Endpoint) {
			p := c.plan.Load()
			for i := range p.tiers[0].rows.n {
				if ep := p.tiers[0].rows.at(i).ep; !slices.Contains(eps, ep) {
					eps = append(eps, ep)
				}
			}
			return eps
		}
		turn := func(ep *Endpoint, sick bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			ep.sick.Store(sick)
			c.changed(ep)
		}
		first := in()
		if len(first) != 20 {
			t.Fatalf("%d endpoints are used", len(first))
		}
		for _, ep := range first {
			turn(ep, true)
			if now := in(); len(now) != 20 || slices.ContainsFunc(now, func(ep *Endpoint) bool { return ep.sick.Load() }) {
				t.Fatalf("of %d: %d are used, or one that is not well", n, len(now))
			}
		}
		for _, ep := range first {
			turn(ep, false)
		}
		back := in()
		for _, ep := range first {
			if !slices.Contains(back, ep) {
				t.Fatalf("of %d: one that is well again is not used again", n)
			}
		}
		for i := range c.members {
			turn(c.members[i].ep, true)
			if left := len(c.members) - i - 1; left > 0 {
				if now := in(); len(now) != min(left, 20) {
					t.Fatalf("of %d, %d are well and %d used", n, left, len(now))
				}
			}
		}
		if now := in(); len(now) != 20 || !c.panicked {
			t.Errorf("nobody of %d is well, and %d are used", n, len(now))
		}
		turn(c.members[3].ep, false)
		if now := in(); len(now) != 1 || now[0] != c.members[3].ep {
			t.Errorf("one of %d is well, and %d are used", n, len(now))
		}
		var st ServiceStats
		if c.stats(&st); st.Tiers[0].Used != 1 || st.Tiers[0].Total != n {
			t.Errorf("%+v", st.Tiers)
		}
	}
}

// Only who is used, or is known to be ill, is checked.
func TestSubsetIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(e *Env) { e.ID = "proxy-7" })
	s := service("a", 40)
	s.SubsetSize = 5
	s.Health = &model.HealthCheck{Kind: model.HealthTCP, Interval: longest}
	w.apply(s)
	c := w.cluster("a")
	check := func(when string) {
		t.Helper()
		c.mu.Lock()
		defer c.mu.Unlock()
		n := 0
		for i := range c.members {
			ep := c.members[i].ep
			if (ep.endCheck != nil) != c.used(ep) {
				t.Errorf("%s: %s is used %v, and checked %v", when, ep.addr, c.used(ep), ep.endCheck != nil)
			}
			if ep.endCheck != nil {
				n++
			}
		}
		sick := 0
		for i := range c.members {
			if c.members[i].ep.sick.Load() {
				sick++
			}
		}
		if n != 5+sick {
			t.Errorf("%s: %d are checked, %d are ill", when, n, sick)
		}
	}
	check("at first")
	ep := c.plan.Load().tiers[0].rows.at(0).ep
	for _, sick := range []bool{true, false} {
		c.mu.Lock()
		ep.sick.Store(sick)
		c.changed(ep)
		c.mu.Unlock()
		check(fmt.Sprint("ill: ", sick))
	}
	less := *s
	less.Endpoints = slices.DeleteFunc(slices.Clone(s.Endpoints), func(e *model.Endpoint) bool { return e.Host == ep.host })
	w.apply(&less)
	check("without one")
}

// TestSubsetsByZone: each zone has a subset of its own, so that what spills goes
// to few, too.
func TestSubsetsByZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, placedAt("eu", "a"), func(e *Env) { e.ID = "proxy-7" })
	s := placed(nil, at{"eu/a", 0, 30}, at{"eu/b", 0, 30}, at{"eu/c", 0, 4})
	s.SubsetSize = 10
	w.apply(s)
	var st ServiceStats
	w.cluster("a").stats(&st)
	if len(st.Tiers) != 3 || st.Tiers[0].Used != 10 || st.Tiers[1].Used != 10 || st.Tiers[2].Used != 4 {
		t.Errorf("%+v", st.Tiers)
	}
	if got, _ := w.shares(1000, 3); got[0] < 0.999 {
		t.Errorf("shares %v", got)
	}
}

// TestBoundedLoads: one key that all want, among many. Without a bound its
// endpoint has everything; with one nobody has more than its share times the
// factor, and another key is where it was.
func TestBoundedLoads(t *testing.T) {
	t.Parallel()
	for _, by := range []model.Balance{model.RingHash, model.Maglev} {
		for _, factor := range []int{0, 125, 200} {
			w := newWorld(t, 1)
			s := service("a", 10)
			s.Balance, s.Hash, s.HashBalanceFactor = by, []model.HashKey{{Kind: model.HashSource}}, factor
			w.apply(s)
			c, l := w.cluster("a"), w.loops[0]
			running, most := 0, 0
			var conns []*fakeConn
			counts := map[*Endpoint]int{}
			own := map[uint64]*Endpoint{}
			for k := range uint64(20) {
				own[k] = c.plan.Load().choose(&c.cursors[0], l.Now(), &Ask{Hash: HashOf(fmt.Appendf(nil, "%d", k)), Hashed: true})
			}
			for i := range 400 {
				key := "all want it"
				if i%4 == 0 {
					key = fmt.Sprint("user ", i)
				}
				conn, ep, _ := c.Pick(l, &Ask{Hash: HashOf([]byte(key)), Hashed: true})
				conn.Send(nil, nil, nil, true)
				conns = append(conns, conn.(*fakeConn))
				counts[ep]++
				running++
				most = max(most, counts[ep])
				if bound := math.Ceil(float64(factor) / 100 * float64(running) / 10); factor > 0 && float64(counts[ep]) > bound+1 {
					t.Fatalf("%s, %d%%: of %d requests %d are on one endpoint", by, factor, running, counts[ep])
				}
			}
			if factor == 0 && most < 300 {
				t.Errorf("%s: without a bound one key's endpoint has %d of 400", by, most)
			}
			st := w.stats("a")
			if (st.Diverted > 0) != (factor > 0) {
				t.Errorf("%s, %d%%: %d picks were diverted", by, factor, st.Diverted)
			}
			if st.Keyless != 0 {
				t.Errorf("%d picks are said to have no key", st.Keyless)
			}
			if _, _, why := c.Pick(l, &Ask{}); why != observe.ReasonNone || w.stats("a").Keyless != 1 {
				t.Errorf("one without a key: %v, %d", why, w.stats("a").Keyless)
			}
			conn := w.codec.conns[len(w.codec.conns)-1]
			conn.Send(nil, nil, nil, true)
			conns = append(conns, conn)
			for _, conn := range conns {
				conn.opened()
				conn.finish()
			}
			if n := c.running.Load(); n != 0 {
				t.Errorf("%s, %d%%: %d requests run when all have ended", by, factor, n)
			}
			for k, ep := range own {
				if now := c.plan.Load().choose(&c.cursors[0], l.Now(), &Ask{Hash: HashOf(fmt.Appendf(nil, "%d", k)), Hashed: true}); now != ep {
					t.Errorf("%s, %d%%: with nothing to do key %d is elsewhere", by, factor, k)
				}
			}
		}
	}
}
