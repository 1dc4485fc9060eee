package upstream

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/adaptive"
)

// withLimits is a service with limits.
func withLimits(l model.ServiceLimits) *model.Service {
	s := service("a", 2)
	s.Limits = &l
	return s
}

// admits asks for a connection for a request of a class, and sends.
func (w *world) admits(loop int, c Class) (*fakeConn, bool) {
	w.t.Helper()
	conn, _, why := w.cluster("a").Pick(w.loops[loop], &Ask{Class: c})
	if conn == nil {
		if why != observe.Overloaded {
			w.t.Errorf("refused for %v", why)
		}
		return nil, false
	}
	conn.Send(nil, nil, nil, true)
	return conn.(*fakeConn), true
}

// TestLimit: as many requests run as the limit says, over all loops; low ones
// are refused first and critical ones last; those that have ended make room.
func TestLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.apply(withLimits(model.ServiceLimits{Requests: 20}))
	var running []*fakeConn
	fill := func(c Class, want int) {
		t.Helper()
		n := 0
		for i := 0; ; i++ {
			conn, ok := w.admits(i%2, c)
			if !ok {
				break
			}
			running = append(running, conn)
			n++
		}
		if n != want {
			t.Errorf("%d of class %v let in, want %d", n, c, want)
		}
	}
	fill(Low, 15)
	fill(Normal, 5)
	fill(Critical, 4)
	st := w.stats("a")
	if st.Running != 24 || st.Limit != 20 || st.Refused != [classes]uint64{1, 1, 1} || st.Active != 24 {
		t.Errorf("%d run of %d, refused %v, active %d", st.Running, st.Limit, st.Refused, st.Active)
	}
	for _, c := range running[:10] {
		c.finish()
	}
	w.run()
	fill(Normal, 6)
	for _, c := range running[10:] {
		c.finish()
	}
	w.run()
	if st := w.stats("a"); st.Running != 0 {
		t.Errorf("%d run when all have ended", st.Running)
	}
	// Without limits nothing is counted, and what began before ends well.
	running = running[:0]
	fill(Normal, 20)
	w.apply(service("a", 2))
	if _, ok := w.admits(0, Low); !ok {
		t.Error("refused without a limit")
	}
	for _, c := range running {
		c.finish()
	}
	w.run()
	w.apply(withLimits(model.ServiceLimits{Requests: 3}))
	if st := w.stats("a"); st.Running != 0 || st.Limit != 3 {
		t.Errorf("%d run of %d", st.Running, st.Limit)
	}
	running = running[:0]
	fill(Normal, 3)
	fill(Critical, 2) // a fifth would be none
}

// TestLimitOfBefore: while a limit is taken away, loops go by the plan that has
// it, and nobody is refused for a limit of nothing; what was learnt for an
// adaptive limit is not put in the place of a fixed one.
func TestLimitOfBefore(t *testing.T) {
	t.Parallel()
	var g gate
	g.configure(nil, &model.ServiceLimits{Requests: 5})
	g.configure(&model.ServiceLimits{Requests: 5}, &model.ServiceLimits{Connections: 7})
	if !g.admit(Normal) {
		t.Error("refused for a limit of nothing")
	}
	adapts, fixed := &model.ServiceLimits{Adaptive: true}, &model.ServiceLimits{Requests: 3}
	g.configure(fixed, adapts)
	g.configure(adapts, fixed)
	// A request that has begun before is told of by a pool that knows the settings of
	// its last pick.
	g.learn(time.Hour, &Result{Outcome: Late, GRPC: -1})
	if n := g.limit.Load(); n != 3 {
		t.Errorf("a limit of 3 has become %d", n)
	}
}

// TestNoEndpointIsNotCounted: what could not be lent is not running.
func TestNoEndpointIsNotCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 0)
	s.Limits = &model.ServiceLimits{Requests: 2}
	w.apply(s)
	for range 5 {
		if _, _, why := w.cluster("a").Pick(w.loops[0], &Ask{}); why != observe.NoEndpoint {
			t.Fatalf("%v", why)
		}
	}
}

// TestAdaptiveLimit: answers that take longer make the limit fall, and what was
// learnt outlives a change of something else.
func TestAdaptiveLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(withLimits(model.ServiceLimits{Adaptive: true, Requests: 100}))
	c := w.cluster("a")
	if st := w.stats("a"); st.Limit != 100 {
		t.Fatalf("the limit begins at %d", st.Limit)
	}
	ep := c.members[0].ep
	window := func(took time.Duration, o Outcome) {
		var held []*fakeConn
		for {
			conn, ok := w.admits(0, Normal)
			if !ok {
				break
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			c.Tell(w.loops[0], ep, &Result{Outcome: o, Status: 200, GRPC: -1, Took: took})
			conn.finish()
		}
		w.run()
		w.loops[0].pass(adaptive.Window)
	}
	w.pick("a") // so that there is a pool, also of the endpoint that is told of
	w.pick("a")
	for range 50 {
		window(5*time.Millisecond, Answered)
	}
	calm := w.stats("a").Limit
	for range 20 {
		window(50*time.Millisecond, Answered)
	}
	slow := w.stats("a").Limit
	if calm != 100 || slow > calm/2 {
		t.Errorf("limit %d, then %d", calm, slow)
	}
	for range 5 {
		window(time.Second, Late)
	}
	if st := w.stats("a"); st.Limit >= slow {
		t.Errorf("time-outs leave the limit at %d", st.Limit)
	}
	learnt := w.stats("a").Limit
	again := withLimits(model.ServiceLimits{Adaptive: true, Requests: 100})
	again.Idle, again.Limits.Pending = time.Minute, 77
	w.apply(again)
	if st := w.stats("a"); st.Limit != learnt {
		t.Errorf("a change of the idle time made the limit %d, was %d", st.Limit, learnt)
	}
	w.apply(withLimits(model.ServiceLimits{Requests: 7}))
	if st := w.stats("a"); st.Limit != 7 {
		t.Errorf("a fixed limit is %d", st.Limit)
	}
}
