package upstream

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/upstream/ring"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/tunnel"
)

// standing is what a cluster comes to, but for the order of what has none.
type standing struct {
	members []string            // by address
	tiers   []string            // level, group and sums
	shares  map[string]float64  // of the rows, in each tier
	keys    map[uint64][]string // who keys find, the first and the next
	tokens  int
	at      int
	watched int
}

// stands describes c as picks see it.
func stands(c *Cluster) *standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &standing{shares: map[string]float64{}, keys: map[uint64][]string{}}
	for i := range c.members {
		m := &c.members[i]
		s.members = append(s.members, fmt.Sprint(m.ep.addr, m.weight, m.standby, m.of.priority, m.of.place, m.ep.outside))
		if m.ep.index != i || c.watching[i] != m.ep.state {
			s.members = append(s.members, fmt.Sprint(m.ep.addr, " is misplaced"))
		}
		if all := c.tokens.Load(); all != nil && all.find(c.Token(m.ep)) == m.ep {
			s.tokens++
		}
		if c.layout.at.at(m.ep.at) == m.ep {
			s.at++
		}
	}
	slices.Sort(s.members)
	p := c.plan.Load()
	for i := range c.layout.groups {
		g := &c.layout.groups[i]
		l := &c.layout.levels[g.level]
		s.tiers = append(s.tiers, fmt.Sprint(l.priority, l.distance, g.zone, l.count, len(l.zones), g.weight, g.well, len(g.members), g.seats, g.sum, math.Round(g.share*1e6), l.panics))
	}
	for i := range p.tiers {
		t := &p.tiers[i]
		total := 0.0
		for k := range t.rows.n {
			total += float64(t.rows.at(k).share)
		}
		for k := range t.rows.n {
			r := t.rows.at(k)
			s.shares[fmt.Sprint(i, r.ep.addr, r.weight)] += float64(r.share) / total
		}
		for k := range uint64(200) {
			if t.keys == nil {
				break
			}
			for nth := range 2 {
				e := t.keys.eps[t.keys.table.Lookup(ring.Mix(k), nth)]
				s.keys[k] = append(s.keys[k], e.ep.addr.String())
			}
		}
	}
	s.watched = len(c.watching)
	return s
}

// differs says in what two standings are not the same.
func (s *standing) differs(o *standing) string {
	for i := range s.members {
		if i >= len(o.members) || s.members[i] != o.members[i] {
			return "members: " + s.members[i]
		}
	}
	if len(s.members) != len(o.members) || s.tokens != o.tokens || s.at != o.at || s.watched != o.watched {
		return fmt.Sprintf("%d members, %d tokens, %d addresses, %d watched, and %d, %d, %d, %d", len(s.members), s.tokens, s.at, s.watched, len(o.members), o.tokens, o.at, o.watched)
	}
	if !slices.Equal(s.tiers, o.tiers) {
		return fmt.Sprintf("tiers %v and %v", s.tiers, o.tiers)
	}
	if len(s.shares) != len(o.shares) {
		return fmt.Sprintf("%d have rows, and %d", len(s.shares), len(o.shares))
	}
	for who, share := range s.shares {
		if math.Abs(share-o.shares[who]) > 1e-5*share+1e-9 {
			return fmt.Sprintf("%s has the share %v, and %v", who, share, o.shares[who])
		}
	}
	for k, who := range s.keys {
		if !slices.Equal(who, o.keys[k]) {
			return fmt.Sprintf("key %d leads to %v, and %v", k, who, o.keys[k])
		}
	}
	return ""
}

// TestChangesComeToTheSame: whatever comes and goes, becomes heavier, moves or is
// ill, a cluster that has seen it all is as one that has begun with what is there
// now.
func TestChangesComeToTheSame(t *testing.T) {
	t.Parallel()
	for seed, c := range []struct {
		balance model.Balance
		subset  int
		zones   int
		heavy   uint32
		mesh    bool
	}{
		{model.RoundRobin, 0, 1, 1, false},
		{model.LeastRequest, 0, 3, 5, false},
		{model.PeakEWMA, 40, 3, 1, false},
		{model.Random, 100, 1, 100, false},
		{model.RingHash, 0, 1, 3, false},
		{model.Maglev, 0, 1, 1, false},
		{model.LeastRequest, 0, 2, 5000, false},
		{model.LeastRequest, 0, 1, 1, true},
	} {
		t.Run(fmt.Sprint(c.balance, " ", c.subset, " ", c.zones, " ", c.heavy), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(seed), 5))
			change := func(e *Env) {
				placedAt("eu", "z0")(e)
				e.ID = "proxy-1"
				if c.mesh {
					meshParts(e)
				}
			}
			w := newWorld(t, 1, change)
			next := 0
			fresh := func() *model.Endpoint {
				next++
				e := &model.Endpoint{Host: fmt.Sprintf("10.%d.%d.%d", next>>16, next>>8&255, next&255), Port: 80, Weight: 1 + rnd.IntN(int(c.heavy))}
				if c.heavy > 100 && rnd.IntN(50) > 0 {
					e.Weight = 1 + rnd.IntN(3)
				}
				if c.zones > 1 {
					e.Place = model.Place{Region: "eu", Zone: "z" + strconv.Itoa(rnd.IntN(c.zones))}
				}
				if c.mesh {
					e.Identity, e.Authority, e.ServerName = "spiffe://x/ns/a/sa/b", e.Host+":9000", "9000."+e.Host
				}
				return e
			}
			s := &model.Service{Name: "a", Balance: c.balance, SubsetSize: c.subset}
			if s.Balance.Hashes() {
				s.Hash = []model.HashKey{{Kind: model.HashSource}}
			}
			if c.mesh {
				s.Identity = "spiffe://x/ns/a/sa/c"
			}
			for range 600*c.zones + 100 {
				s.Endpoints = append(s.Endpoints, fresh())
			}
			w.apply(s)
			cl := w.cluster("a")
			cl.Sessions()
			amended := 0
			for step := range 40 {
				list := slices.Clone(s.Endpoints)
				for range 1 + rnd.IntN(6) {
					i := rnd.IntN(len(list))
					switch rnd.IntN(6) {
					case 0:
						list = append(list, fresh())
					case 1:
						list = slices.Insert(list, i, fresh())
					case 2:
						list = slices.Delete(list, i, i+1)
					case 3:
						another(list, i, func(e *model.Endpoint) { e.Weight = fresh().Weight })
					case 4:
						k := rnd.IntN(len(list))
						list[i], list[k] = list[k], list[i]
					case 5:
						another(list, i, func(e *model.Endpoint) { e.Place = fresh().Place })
					}
				}
				before := cl.rebuilds
				changed := *s
				s = &changed
				s.Endpoints = list
				w.apply(s)
				if cl.rebuilds == before {
					amended++
				}
				for range rnd.IntN(8) { // somebody is ill, or well again
					cl.mu.Lock()
					ep := cl.members[rnd.IntN(len(cl.members))].ep
					ep.sick.Store(!ep.sick.Load())
					cl.changed(ep)
					cl.mu.Unlock()
				}
				if step%10 != 9 {
					continue
				}
				for cl.gathered() {
				}
				o := newWorld(t, 1, change)
				o.apply(s)
				other := o.cluster("a")
				other.Sessions()
				ill := map[netip.AddrPort]bool{}
				for _, m := range cl.members {
					ill[m.ep.at] = m.ep.sick.Load()
				}
				other.mu.Lock()
				for _, m := range other.members {
					if ill[m.ep.at] {
						m.ep.sick.Store(true)
					}
				}
				other.rebuild()
				other.mu.Unlock()
				for other.gathered() {
				}
				if s.Balance.Hashes() { // who is ill is passed over, in both
					rekeyed(cl)
					rekeyed(other)
				}
				if what := stands(cl).differs(stands(other)); what != "" {
					t.Fatalf("after %d steps: %s", step+1, what)
				}
			}
			if least := 33; amended < least && c.heavy <= 100 {
				t.Errorf("%d of 40 changes made no more anew than they had to", amended)
			}
		})
	}
}

// rekeyed has keys find exactly those that are well.
func rekeyed(c *Cluster) {
	c.mu.Lock()
	for i := range c.layout.groups {
		c.layout.groups[i].rekey = true
	}
	c.mu.Unlock()
	c.gathered()
}

// What a target is made of stays the target, wherever it is now, whether it is at
// the same address or written anew.
func TestTargetsThatStay(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 8))
	first := service("a", 400)
	names := 0
	for i := range first.Endpoints {
		if rnd.IntN(10) == 0 {
			names++
			first.Endpoints[i].Host = "h" + strconv.Itoa(i)
		}
	}
	first.Endpoints = append(first.Endpoints, first.Endpoints[7]) // twice
	for range 15 {
		w := newWorld(t, 1)
		w.apply(first)
		c, old := w.cluster("a"), first.Endpoints
		was := slices.Clone(c.targets)
		now := slices.Clone(old)
		added := 0
		for range rnd.IntN(8) {
			i := rnd.IntN(len(now))
			switch rnd.IntN(5) {
			case 0:
				added++
				now = slices.Insert(now, i, &model.Endpoint{Host: "new", Port: uint16(added)})
			case 1:
				now = slices.Delete(now, i, i+1)
			case 2:
				k := rnd.IntN(len(now))
				now[i], now[k] = now[k], now[i]
			case 3:
				another(now, i, func(e *model.Endpoint) { e.Weight = 7 })
			case 4:
				another(now, i, func(*model.Endpoint) {})
			}
		}
		next := *first
		next.Endpoints = now
		ch, err := w.set.Prepare([]*model.Service{&next})
		if err != nil {
			t.Fatal(err)
		}
		of := map[*target]model.Endpoint{}
		left := map[model.Endpoint]int{}
		for i, t := range was {
			of[t] = *old[i]
			left[*old[i]]++
		}
		gone, come := 0, 0
		if len(ch.updates) > 0 {
			sp := ch.updates[0].spec
			if gone, come = len(sp.gone), len(sp.come); sp.base == nil {
				t.Fatal("a few changes are taken for too many")
			}
		}
		ch.Commit()
		used := map[*target]int{}
		fresh := 0
		for j, x := range c.targets {
			e, is := of[x]
			if is && e != *now[j] {
				t.Fatalf("%v is said to be %v", *now[j], e)
			}
			if used[x]++; is {
				left[e]--
				continue
			}
			fresh++
			if left[*now[j]] > 0 && !slices.ContainsFunc(now[j+1:], func(o *model.Endpoint) bool { return *o == *now[j] }) {
				t.Fatalf("%v is new, and was there", *now[j])
			}
			if x.host != now[j].Host || x.port != now[j].Port {
				t.Fatalf("%v is made of %v", x, *now[j])
			}
		}
		if len(c.targets) != len(now) || fresh != come || len(was)+come-gone != len(now) {
			t.Fatalf("%d of %d come, %d of %d go", come, len(now), gone, len(was))
		}
		// The names that are held are those of now.
		hosts := map[string]int{}
		for _, e := range now {
			if e.Host[0] > '9' {
				hosts[e.Host]++
			}
		}
		for host, n := range hosts {
			if got := w.set.names.names[host]; got == nil || got.users[c] != n {
				t.Fatalf("%s is held %v, %d times", host, got, n)
			}
		}
		if len(w.set.names.names) != len(hosts) {
			t.Fatalf("%d names are held, of %d", len(w.set.names.names), len(hosts))
		}
		w.set.Close()
	}
	if _, little := alike(service("a", 450).Endpoints, service("a", 900).Endpoints[450:]); little || names < 20 {
		t.Error("lists that have nothing in common are alike")
	}
}

// Picks go on while members come and go, and those who stay keep what they have.
func TestEndpointsThatStayAmongMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 600)
	w.apply(s)
	c := w.cluster("a")
	conn, ep := w.pick("a")
	conn.opened()
	conn.finish()
	more := *s
	more.Endpoints = append(slices.Clone(s.Endpoints), &model.Endpoint{Host: "10.9.9.9", Port: 80})
	i := ep.index
	another(more.Endpoints, i, func(e *model.Endpoint) { e.Weight = 3 })
	w.apply(&more)
	if c.rebuilds != 1 {
		t.Errorf("everything was made %d times", c.rebuilds)
	}
	if conn.ended || c.members[ep.index].ep != ep || c.members[ep.index].weight != 3 {
		t.Error("an endpoint whose weight changes is another")
	}
	less := more
	less.Endpoints = slices.Delete(slices.Clone(more.Endpoints), i, i+1)
	w.apply(&less)
	if !conn.ended || c.rebuilds != 1 {
		t.Error("the connection of an endpoint that has gone is kept")
	}
	for range 1200 {
		if _, other := w.pick("a"); other == ep {
			t.Fatal("an endpoint that has gone is chosen")
		}
	}
	if st := w.stats("a"); st.Picks != 1201 || len(st.Endpoints) != 600 {
		t.Errorf("%d picks, %d endpoints", st.Picks, len(st.Endpoints))
	}
}

// A key's endpoint that is gone is passed over until keys are led anew; one that
// has come gets none until then.
func TestKeysWhileTheyAreLedAnew(t *testing.T) {
	t.Parallel()
	for _, by := range []model.Balance{model.RingHash, model.Maglev} {
		w := newWorld(t, 1)
		s := service("a", 600)
		s.Balance, s.Hash = by, []model.HashKey{{Kind: model.HashSource}}
		w.apply(s)
		c := w.cluster("a")
		who := func(k uint64) *Endpoint {
			return c.plan.Load().choose(&c.cursors[0], w.loops[0].Now(), &Ask{Hash: ring.Mix(k), Hashed: true})
		}
		const n = 4000
		before := make([]*Endpoint, n)
		for k := range before {
			before[k] = who(uint64(k))
		}
		gone := before[0]
		other := *s
		other.Endpoints = slices.DeleteFunc(slices.Clone(s.Endpoints), func(e *model.Endpoint) bool { return e.Host == gone.host })
		other.Endpoints = append(other.Endpoints, &model.Endpoint{Host: "10.9.9.9", Port: 80})
		w.apply(&other)
		meanwhile := make([]*Endpoint, n)
		for k := range before {
			if meanwhile[k] = who(uint64(k)); meanwhile[k] == gone || meanwhile[k].host == "10.9.9.9" {
				t.Fatalf("%s: key %d leads to %s", by, k, meanwhile[k].host)
			}
			if before[k] != gone && meanwhile[k] != before[k] {
				t.Fatalf("%s: key %d has moved, and its endpoint is there", by, k)
			}
		}
		for c.gathered() {
		}
		moved, new := 0, 0
		for k := range before {
			switch ep := who(uint64(k)); {
			case ep.host == "10.9.9.9":
				new++
			case before[k] != gone && ep != before[k], by == model.RingHash && ep != meanwhile[k]:
				moved++
			}
		}
		if most := map[model.Balance]int{model.RingHash: 0, model.Maglev: n / 20}[by]; moved > most || new == 0 {
			t.Errorf("%s: of %d keys %d have moved, the new endpoint has %d", by, n, moved, new)
		}
	}
}

// meshParts let a world call endpoints of the mesh.
func meshParts(e *Env) {
	e.Identity = func(string, string, string) (wire.Dialer, error) { return fakeDialer{}, nil }
	e.Tunnels = tunnel.Tunnels{}
}

// TestWhatIsSwitchedOffAmongMany: who was not well by a health check, or ejected, has
// its share again once there are no checks, or nobody is ejected.
func TestWhatIsSwitchedOffAmongMany(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]func(*model.Service){
		"health checks": func(s *model.Service) { s.Health = nil },
		"ejection":      func(s *model.Service) { s.Ejection = &model.Ejection{Off: true} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			s := service("a", 600)
			s.Health = &model.HealthCheck{Path: "/%zz"} // cannot be asked for: nobody is
			w.apply(s)
			c, ep := w.cluster("a"), w.cluster("a").members[7].ep
			c.mu.Lock()
			if name == "ejection" {
				for range 5 {
					ep.failedRow.Fails(false)
				}
				c.judgeAll(w.loops[0].now)
			} else {
				ep.sick.Store(true)
				c.changed(ep)
			}
			c.mu.Unlock()
			if p := c.plan.Load(); p.count != 599 || p.has(ep) {
				t.Fatal("it is well")
			}
			now := *s
			off(&now)
			w.apply(&now)
			if c.rebuilds != 1 {
				t.Fatalf("everything was made %d times", c.rebuilds)
			}
			if p := c.plan.Load(); p.count != 600 || !p.has(ep) || p.out != nil || !ep.usable(w.loops[0].now, nil) {
				t.Errorf("%d endpoints may be chosen, it among them: %v; some wait for a probe: %v", p.count, p.has(ep), p.out != nil)
			}
		})
	}
}
