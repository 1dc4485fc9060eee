package upstream

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// Loops pick, finish and fail while configurations, addresses and health
// change. Run with the race detector; at the end all accounts are even.
func TestLoopsAndChangesTogether(t *testing.T) {
	t.Parallel()
	var answer atomic.Int32
	w := newWorld(t, 4, func(e *Env) {
		e.Lookup = func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			n := byte(answer.Add(1) % 3)
			return []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, n}), netip.AddrFrom4([4]byte{10, 1, 1, 0})}, 0, nil
		}
	})
	configs := [][]*model.Service{
		{service("a", 3), service("b", 1)},
		{service("a", 5), service("b", 1)},
		{service("a", 5), service("b", 1), service("c", 2)},
		{service("a", 2), named("b", "n")},
	}
	configs[1][0].Balance = model.LeastRequest
	configs[2][0].MaxIdle = 2
	for _, i := range []int{0, 2} { // what runs is counted in some of the time
		configs[i][0].Balance, configs[i][0].Hash, configs[i][0].HashBalanceFactor = model.RingHash, []model.HashKey{{Kind: model.HashSource}}, 110
	}
	var chosen sync.Map
	ch, _ := w.set.Prepare(configs[0])
	ch.Commit()
	var program atomic.Pointer[map[string]*Cluster]
	first := ch.Clusters()
	program.Store(&first)

	const rounds = 1000
	var loops sync.WaitGroup
	var finished atomic.Int32
	for i, l := range w.loops {
		loops.Go(func() {
			defer finished.Add(1)
			rnd := rand.New(rand.NewPCG(9, uint64(i)))
			var busy []*fakeConn
			var tried Tried
			settle := func() {
				c := busy[0]
				busy = busy[1:]
				if rnd.IntN(20) == 0 {
					c.fail(refused(&Endpoint{}))
					return
				}
				c.opened()
				c.finish()
			}
			for range rounds {
				l.pass(time.Millisecond)
				for _, c := range *program.Load() {
					conn, ep, why := c.Pick(l, &Ask{Tried: &tried, Fresh: rnd.IntN(10) == 0, Hash: rnd.Uint64N(3) << 60, Hashed: true})
					if conn == nil {
						if why != observe.NoEndpoint {
							t.Errorf("pick: %q", why)
						}
						continue
					}
					chosen.Store(ep, true)
					if tried.Add(ep); tried.Len() > 2 {
						tried.Reset()
					}
					conn.Send(nil, nil, nil, true)
					busy = append(busy, conn.(*fakeConn))
				}
				for len(busy) > 4 {
					settle()
				}
			}
			for len(busy) > 0 {
				settle()
			}
		})
	}
	var surplus []*Cluster
	for i := 0; int(finished.Load()) < len(w.loops); i++ {
		ch, err := w.set.Prepare(configs[i%len(configs)])
		if err != nil {
			t.Fatal(err)
		}
		clusters := ch.Clusters()
		program.Store(&clusters)
		surplus = append(surplus, ch.Commit()...)
		for _, c := range clusters {
			for _, x := range c.spec.Load().named {
				c.addressesChanged(x.n)
			}
			c.mu.Lock()
			for _, m := range c.members {
				m.ep.sick.Store(i%3 == 0)
				c.changed(m.ep)
			}
			c.mu.Unlock()
		}
		w.set.Stats(func(st *ServiceStats) {
			if st.Open < 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
	loops.Wait()
	w.set.Retire(surplus...)
	current := *program.Load()
	w.apply()
	w.set.Retire(slices.Collect(maps.Values(current))...)
	w.run()
	for _, c := range append(surplus, slices.Collect(maps.Values(current))...) {
		c.mu.Lock()
		c.prune()
		if len(c.leaving) != 0 {
			t.Errorf("%s: %d endpoints never left", c.name, len(c.leaving))
		}
		if p := c.past; p.Open != 0 || p.Active != 0 || p.Opening != 0 || p.Idle != 0 || p.Connects > p.Picks {
			t.Errorf("%s: at the end %+v", c.name, p)
		}
		if n := c.running.Load(); n != 0 {
			t.Errorf("%s: %d run at the end", c.name, n)
		}
		c.mu.Unlock()
	}
	chosen.Range(func(ep, _ any) bool {
		if n := ep.(*Endpoint).load.Load(); n != 0 {
			t.Errorf("%d run on an endpoint at the end", n)
		}
		return true
	})
	for _, c := range w.codec.conns {
		if !c.ended {
			t.Fatal("a connection was forgotten")
		}
	}
}
