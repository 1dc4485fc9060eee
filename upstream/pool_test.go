package upstream

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func TestPoolLendsTheWarmestConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	a, _ := w.pick("a")
	b, _ := w.pick("a")
	if a == b {
		t.Fatal("a busy connection was lent")
	}
	a.opened()
	b.opened()
	a.finish()
	b.finish()
	if c, _ := w.pick("a"); c != b {
		t.Error("the connection that was used last was not lent first")
	}
	if c, _ := w.pickOn(0, "a", nil, true); c == a || c == b {
		t.Error("a fresh connection was asked for")
	}
	if c, _ := w.pick("a"); c != a {
		t.Error("the idle connection was not lent")
	}
	if n := w.codec.made(); n != 3 {
		t.Errorf("%d connections were made, want 3", n)
	}
	want := Counts{Active: 3, Opening: 1, Open: 3, Picks: 5, Connects: 3}
	if st := w.stats("a"); st.Counts != want {
		t.Errorf("counts %+v, want %+v", st.Counts, want)
	}
}

func TestPoolsBelongToLoops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.apply(service("a", 1))
	a, _ := w.pickOn(0, "a", nil, false)
	a.opened()
	a.finish()
	if b, _ := w.pickOn(1, "a", nil, false); a == b {
		t.Error("a loop was lent another loop's connection")
	}
}

func TestConnectionIsLentAgainFromWithinOnIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	a, _ := w.pick("a")
	a.opened()
	for range 5 {
		a.finish() // the sink's last event follows, and picks:
		if b, _ := w.pick("a"); a != b {
			t.Fatal("another connection was lent")
		}
	}
	if st := w.stats("a"); st.Active != 1 || st.Open != 1 || st.Idle != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 1)
	s.Idle = 10 * time.Second
	w.apply(s)
	l := w.loops[0]
	a, _ := w.pick("a")
	b, _ := w.pick("a")
	a.opened()
	b.opened()
	a.finish()
	l.pass(4 * time.Second)
	b.finish()
	l.pass(6*time.Second - 2*wire.Tick)
	if a.ended {
		t.Error("closed too early")
	}
	l.pass(3 * wire.Tick)
	if !a.ended || b.ended {
		t.Errorf("after the idle time of the first: first %v, second %v", a.ended, b.ended)
	}
	l.pass(4 * time.Second)
	if !b.ended {
		t.Error("the second was not closed")
	}
	if st := w.stats("a"); st.Open != 0 || st.Idle != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
	// The next connection is swept as well.
	c, _ := w.pick("a")
	c.opened()
	c.finish()
	l.pass(11 * time.Second)
	if !c.ended {
		t.Error("a connection made after a sweep was not closed")
	}
}

func TestBusyConnectionIsNotSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	a, _ := w.pick("a")
	a.opened()
	a.finish()
	w.pick("a")
	w.loops[0].pass(time.Hour)
	if a.ended || a.closing {
		t.Error("a lent connection was closed as idle")
	}
}

func TestMaxIdleKeepsTheNewest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 1)
	s.MaxIdle = 2
	w.apply(s)
	var conns []*fakeConn
	for range 4 {
		c, _ := w.pick("a")
		c.opened()
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.finish()
	}
	w.run()
	for i, want := range []bool{true, true, false, false} {
		if conns[i].ended != want {
			t.Errorf("connection %d: closed %v, want %v", i, conns[i].ended, want)
		}
	}
	if st := w.stats("a"); st.Idle != 2 || st.Open != 2 {
		t.Errorf("counts %+v", st.Counts)
	}
}

func TestConnectTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 2)
	s.Connect = time.Second
	w.apply(s)
	a, ep := w.pick("a")
	w.loops[0].pass(990 * time.Millisecond)
	if a.aborted != nil {
		t.Fatal("aborted too early")
	}
	w.loops[0].pass(30 * time.Millisecond)
	if a.aborted == nil || a.aborted.Reason != observe.ConnectTimeout || !a.aborted.Unsent || a.aborted.Err == nil {
		t.Fatalf("aborted with %+v", a.aborted)
	}
	st := w.stats("a")
	if st.Failures != [...]uint64{1: 1, 5: 0} || st.Open != 0 || st.Opening != 0 || st.Active != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
	for range 4 {
		if _, other := w.pick("a"); other == ep {
			t.Error("an endpoint was chosen right after its connect timed out")
		}
	}
}

func TestConnectTimeEndsWithOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	a, _ := w.pick("a")
	a.opened()
	w.loops[0].pass(time.Minute)
	if a.aborted != nil {
		t.Error("an open connection was aborted as not connected")
	}
}

func TestConnectFailuresAreCountedByReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	fail := func(tls bool, err error) {
		c, ep := w.pick("a")
		c.fail(&wire.DialError{Addr: ep.Addr(), Err: err, TLS: tls})
	}
	fail(false, syscall.ECONNREFUSED)
	fail(false, syscall.ETIMEDOUT)
	fail(false, syscall.EHOSTUNREACH)
	fail(false, syscall.EHOSTUNREACH)
	fail(true, errors.New("unknown authority"))
	given, _ := w.pick("a")
	given.fail(nil) // the client went away: nobody's failure
	established, _ := w.pick("a")
	established.opened()
	established.fail(syscall.ECONNRESET)
	st := w.stats("a")
	want := Counts{Picks: 7, Connects: 7, Failures: [...]uint64{1, 1, 2, 1, 0, 0}}
	if st.Counts != want {
		t.Errorf("counts %+v, want %+v", st.Counts, want)
	}
	if ConnectReasons() != [...]observe.Reason{observe.ConnectRefused, observe.ConnectTimeout, observe.ConnectFailed, observe.UpstreamTLS, observe.UpstreamIdentity, observe.NoIdentity} {
		t.Errorf("reasons %v", ConnectReasons())
	}
}

func TestGoneIsHeardOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 1)
	s.Balance = model.LeastRequest
	w.apply(s)
	busy, ep := w.pick("a")
	idle, _ := w.pick("a")
	idle.opened()
	idle.finish()
	for range 2 {
		busy.fail(nil)
		idle.fail(nil)
		busy.owner.OnIdle(busy) // too late to mean anything
	}
	if st := w.stats("a"); st.Open != 0 || st.Active != 0 || st.Idle != 0 || st.Opening != 0 {
		t.Errorf("counts %+v", st.Counts)
	}
	if n := ep.inflight.Load(); n != 0 {
		t.Errorf("%d requests in flight", n)
	}
	if c, _ := w.pick("a"); c == idle || c == busy {
		t.Error("a connection that is gone was lent")
	}
}

// TestInflightFollowsTheBalance: what runs on an endpoint is counted where that
// decides, of what began while it did.
func TestInflightFollowsTheBalance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	running := func() (n int64) {
		for _, m := range w.cluster("a").members {
			n += m.ep.inflight.Load()
		}
		return n
	}
	s := service("a", 2)
	w.apply(s)
	before, _ := w.pick("a")
	least := *s
	least.Balance = model.LeastRequest
	w.apply(&least)
	after, _ := w.pick("a")
	if n := running(); n != 1 {
		t.Fatalf("%d in flight, want 1", n)
	}
	one := least
	one.Endpoints = least.Endpoints[:1] // it need not be chosen, and others are none
	w.apply(&one)
	alone, _ := w.pick("a")
	w.apply(s)
	for _, c := range []*fakeConn{before, after, alone} {
		c.opened()
		c.finish()
	}
	if n := running(); n != 0 {
		t.Errorf("%d requests in flight after all ended", n)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, balance := range model.Balances() {
		w := newWorld(t, 1)
		s := service("a", 16)
		s.Balance = balance
		w.apply(s)
		c := w.cluster("a")
		var tried Tried
		exchange := func() {
			tried.Reset()
			conn, ep, _ := c.Pick(w.loops[0], &Ask{Tried: &tried})
			tried.Add(ep)
			conn.Send(nil, nil, nil, true)
			f := conn.(*fakeConn)
			f.opened()
			f.finish()
		}
		for range 200 {
			exchange()
		}
		if n := testing.AllocsPerRun(1000, exchange); n != 0 {
			t.Errorf("%s: %v allocations for an exchange on a pooled connection", balance, n)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, balance := range model.Balances() {
		b.Run(string(balance), func(b *testing.B) {
			w := newWorld(b, 1)
			s := service("a", 10_000)
			s.Balance = balance
			w.apply(s)
			c := w.cluster("a")
			exchange := func() {
				conn, _, _ := c.Pick(w.loops[0], &Ask{})
				f := conn.(*fakeConn)
				f.busy = 1
				f.finish()
			}
			for range 200_000 {
				exchange()
			}
			b.ReportAllocs()
			for b.Loop() {
				exchange()
			}
		})
	}
}
