package upstream

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// holder notes what it is told.
type holder struct{ slow, removed int }

func (h *holder) OnSlow()    { h.slow++ }
func (h *holder) OnRemoved() { h.removed++ }

func (w *world) lease(t *testing.T, name string, avoid *Tried) (*Lease, *holder) {
	t.Helper()
	h := &holder{}
	k, why := w.cluster(name).Lease(w.loops[0], &Ask{Tried: avoid}, h)
	if k == nil {
		t.Fatalf("no lease: %v", why)
	}
	return k, h
}

func TestLeaseCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	svc := service("a", 2)
	svc.Balance = model.LeastRequest
	w.apply(svc)
	a, _ := w.lease(t, "a", nil)
	b, _ := w.lease(t, "a", nil)
	if a.Endpoint() == b.Endpoint() {
		t.Error("the busier endpoint was chosen")
	}
	if got, want := w.stats("a").Counts, (Counts{Active: 2, Opening: 2, Open: 2, Picks: 2, Connects: 2}); got != want {
		t.Errorf("opening: %+v, want %+v", got, want)
	}
	a.Stands()
	if got, want := w.stats("a").Counts, (Counts{Active: 2, Opening: 1, Open: 2, Picks: 2, Connects: 2}); got != want {
		t.Errorf("one stands: %+v, want %+v", got, want)
	}
	a.End()
	a.End()
	if why := b.Failed(&wire.DialError{Err: syscall.ECONNREFUSED}); why != observe.ConnectRefused {
		t.Errorf("refused as %v", why)
	}
	if got, want := w.stats("a").Counts, (Counts{Picks: 2, Connects: 2, Failures: [6]uint64{1}}); got != want {
		t.Errorf("at the end: %+v, want %+v", got, want)
	}
	if a.pool.leases != nil || b.pool.leases != nil || a.Endpoint().inflight.Load() != 0 {
		t.Error("the pool has not forgotten them")
	}
}

func TestLeaseStandsAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 2))
	bad, h := w.lease(t, "a", nil)
	w.loops[0].pass(model.DefaultConnect + time.Second)
	if h.slow != 1 {
		t.Fatalf("told %d times that it takes long", h.slow)
	}
	if why := bad.Failed(nil); why != observe.ConnectTimeout {
		t.Errorf("ended as %v", why)
	}
	for range 4 {
		k, _ := w.lease(t, "a", nil)
		if k.Endpoint() == bad.Endpoint() {
			t.Error("the endpoint that does not answer was chosen")
		}
		k.Stands()
	}
	var tried Tried
	tried.Add(w.cluster("a").members[0].ep)
	tried.Add(w.cluster("a").members[1].ep)
	if k, _ := w.lease(t, "a", &tried); k.Failed(errors.New("?")) != observe.ConnectFailed {
		t.Error("another reason")
	}
}

func TestLeaseHearsOfRemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1), service("b", 0))
	a, told := w.lease(t, "a", nil)
	gone, never := w.lease(t, "a", nil)
	a.Unconnected()
	w.loops[0].pass(time.Minute)
	gone.End()
	other := service("a", 1)
	other.Endpoints[0].Port++
	w.apply(other, service("b", 0))
	w.run()
	if told.removed != 1 || never.removed != 0 || told.slow != 0 {
		t.Errorf("told %+v, and who had ended %+v", told, never)
	}
	a.End()
	if k, why := w.cluster("b").Lease(w.loops[0], &Ask{}, never); k != nil || why != observe.NoEndpoint {
		t.Errorf("of a service without endpoints: %v, %v", k, why)
	}
}

// TestConnectionsByKeyAreBounded: connections by the client's address, all of one, with a
// bound of what an endpoint has of them.
func TestConnectionsByKeyAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 5)
	s.Balance, s.Hash, s.HashBalanceFactor = model.RingHash, []model.HashKey{{Kind: model.HashSource}}, 125
	w.apply(s)
	c := w.cluster("a")
	counts := map[*Endpoint]int{}
	var all []*Lease
	for i := range 200 {
		a := Ask{Hash: HashOf([]byte("one")), Hashed: true}
		if i%2 == 0 {
			a.Hash = HashOf(fmt.Appendf(nil, "%d", i))
		}
		k, why := c.Lease(w.loops[0], &a, &holder{})
		if k == nil {
			t.Fatalf("connection %d: %v", i, why)
		}
		own := c.plan.Load().tiers[0].keys
		if first := own.eps[own.table.Lookup(a.Hash, 0)]; i%2 == 0 && counts[first.ep] < i/5 && k.Endpoint() != first.ep {
			t.Fatalf("connection %d is elsewhere, and its endpoint has %d of %d", i, counts[first.ep], i)
		}
		all = append(all, k)
		if counts[k.Endpoint()]++; counts[k.Endpoint()] > i/4+2 {
			t.Fatalf("of %d connections %d are with one of five endpoints", i+1, counts[k.Endpoint()])
		}
	}
	for _, k := range all {
		k.End()
		k.End()
	}
	if n := c.running.Load(); n != 0 {
		t.Errorf("%d run when all have ended", n)
	}
	for _, m := range c.members {
		if n := m.ep.load.Load(); n != 0 {
			t.Errorf("%d run on an endpoint when all have ended", n)
		}
	}
}
