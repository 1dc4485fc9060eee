package upstream

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// shared is a service of n endpoints whose connections carry many exchanges.
func shared(n, streams int) *model.Service {
	s := service("a", n)
	s.Protocol, s.MaxStreams = model.HTTP2, streams
	return s
}

func (w *world) lendAndSend() *fakeConn {
	w.t.Helper()
	c, _ := w.pick("a")
	return c
}

func TestStreamsShareAConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.codec.streams = 3
	w.apply(shared(1, 0))
	a := w.lendAndSend()
	for range 2 { // also while it opens
		if c := w.lendAndSend(); c != a {
			t.Fatal("there was room, and another connection was made")
		}
	}
	b := w.lendAndSend()
	if b == a {
		t.Fatal("a full connection was lent")
	}
	a.opened()
	b.opened()
	if c := w.lendAndSend(); c != b {
		t.Error("the connection with room was not filled")
	}
	a.finish()
	if c := w.lendAndSend(); c != b {
		t.Error("the first one is filled before the next gets any")
	}
	if c := w.lendAndSend(); c != a {
		t.Error("the room that came free was not used")
	}
	if st := w.stats("a"); st.Active != 6 || st.Open != 2 || st.Idle != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
	for range 3 {
		a.finish()
		b.finish()
	}
	if st := w.stats("a"); st.Active != 0 || st.Open != 2 || st.Idle != 2 {
		t.Errorf("counts %+v", st.Counts)
	}
	if n := w.codec.made(); n != 2 {
		t.Errorf("%d connections were made", n)
	}
}

func TestMaxStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.codec.streams = 1000
	w.apply(shared(1, 2))
	a, b, c := w.lendAndSend(), w.lendAndSend(), w.lendAndSend()
	if a != b || b == c {
		t.Error("the service's bound does not hold")
	}
}

// TestGoAway: a connection that takes no more is not lent, and ends with what
// it carries.
func TestGoAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.codec.streams = 10
	w.apply(shared(1, 0))
	a := w.lendAndSend()
	a.opened()
	if w.lendAndSend() != a {
		t.Fatal("not shared")
	}
	a.streams = 0 // and nobody is told
	a.noRoom = true
	b := w.lendAndSend()
	if b == a {
		t.Fatal("it was lent")
	}
	a.finish()
	a.finish()
	w.loops[0].run()
	if !a.ended {
		t.Error("it carries nothing and was not closed")
	}
	if w.lendAndSend() != b {
		t.Error("the other one was not lent")
	}
}

func TestConnectionOfManyIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.codec.streams = 10
	s := shared(2, 0)
	s.Balance = model.LeastRequest
	w.apply(s)
	seen := map[*fakeConn]bool{}
	for range 20 {
		seen[w.lendAndSend()] = true
	}
	for c := range seen {
		c.fail(nil)
	}
	st := w.stats("a")
	if st.Active != 0 || st.Open != 0 || st.Idle != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
	for _, m := range w.cluster("a").members {
		if n := m.ep.inflight.Load(); n != 0 {
			t.Errorf("%d requests are said to run on %v", n, m.ep.Addr())
		}
	}
}

func TestRemovedWhileCarrying(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.codec.streams = 10
	w.apply(shared(1, 0))
	a := w.lendAndSend()
	a.opened()
	w.lendAndSend()
	w.set.Close()
	w.loops[0].run()
	if a.ended {
		t.Fatal("it was closed under what it carries")
	}
	a.finish()
	a.finish()
	w.loops[0].run()
	if !a.ended {
		t.Error("it was not closed when that had ended")
	}
}

func TestIdleOfManyEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.codec.streams = 10
	s := shared(1, 0)
	s.Idle = 10 * time.Second
	w.apply(s)
	a := w.lendAndSend()
	a.opened()
	w.lendAndSend()
	a.finish()
	w.loops[0].pass(time.Minute)
	if a.ended {
		t.Fatal("a busy connection was taken for an idle one")
	}
	a.finish()
	w.loops[0].pass(time.Minute)
	if !a.ended {
		t.Error("it idles for ever")
	}
}

// TestProtocolChanges: what spoke one protocol is not asked for another.
func TestProtocolChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	a := w.lendAndSend()
	a.opened()
	a.finish()
	w.apply(shared(1, 0))
	w.loops[0].run()
	if w.lendAndSend() == a || !a.ended {
		t.Error("the connection is still there")
	}
}

func TestNoHTTP2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(e *Env) { e.HTTP2 = nil })
	ch, err := w.set.Prepare([]*model.Service{shared(1, 0)})
	if err == nil || err.Error() != "service a: HTTP/2 to services is not available" {
		t.Errorf("error %v", err)
	}
	ch.Commit()
	if _, _, why := w.cluster("a").Pick(w.loops[0], &Ask{}); why == observe.ReasonNone {
		t.Error("something was lent")
	}
}

// TestMaxStreamsChanges: how many connections have work is known, and the bound holds,
// also while what runs began under another bound.
func TestMaxStreamsChanges(t *testing.T) {
	t.Parallel()
	for _, bounds := range [][2]int{{1, 100}, {100, 1}} {
		w := newWorld(t, 1)
		w.codec.streams = 1000
		w.apply(shared(1, bounds[0]))
		a := w.lendAndSend()
		a.opened()
		w.apply(shared(1, bounds[1]))
		b := w.lendAndSend()
		b.opened()
		if a == b {
			t.Errorf("%v: they share a connection", bounds)
		}
		a.finish()
		b.finish()
		if st := w.stats("a"); st.Active != 0 || st.Idle != st.Open {
			t.Errorf("%v: %d active, %d of %d idle", bounds, st.Active, st.Idle, st.Open)
		}
		c := w.lendAndSend()
		if st := w.stats("a"); st.Active != 1 || st.Idle != st.Open-1 {
			t.Errorf("%v: %d active, %d of %d idle", bounds, st.Active, st.Idle, st.Open)
		}
		c.finish()
	}
}
