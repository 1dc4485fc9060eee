package upstream

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/queue"
	"github.com/naru-mesh/naru/wire"
)

// asking is a request that waits where it must.
type asking struct {
	w      *world
	loop   int
	ask    Ask
	waiter queue.Waiter
	conn   *fakeConn
	ep     *Endpoint
	vain   int
	why    observe.Reason
	met    Limit
	got    func(*asking) // is told when it has a connection
}

func (w *world) ask(loop int, class Class) *asking {
	k := &asking{w: w, loop: loop}
	k.ask.Class, k.ask.Waiter = class, &k.waiter
	k.waiter.Handler = k
	k.OnTurn()
	return k
}

func (k *asking) OnTurn() {
	conn, ep, why := k.w.cluster("a").Pick(k.w.loops[k.loop], &k.ask)
	if k.why, k.met = why, k.ask.Met; conn == nil {
		return
	}
	conn.Send(nil, nil, nil, true)
	k.conn, k.ep = conn.(*fakeConn), ep
	if k.got != nil {
		k.got(k)
	}
}

func (k *asking) OnInVain() {
	k.vain++
	k.met = Limit(k.waiter.For)
}

// runs lets loops do what they post to each other.
func (w *world) runs() {
	for range 5 {
		w.run()
	}
}

func (k *asking) waits() bool { return k.waiter.Waits() }

// bounded is a service with n endpoints and limits.
func bounded(n int, l model.ServiceLimits) *model.Service {
	s := service("a", n)
	s.Limits = &l
	return s
}

// even checks that the accounts are even: so many connections, and nobody who
// waits.
func (w *world) even(conns int) {
	w.t.Helper()
	c := w.cluster("a")
	sum := int64(0)
	for _, m := range c.members {
		sum += m.ep.conns.Load()
	}
	if c.waiting.Load() != 0 || c.opening.Load() != 0 || c.connecting.Load() != 0 || c.retrying.Load() != 0 || c.conns.Load() != int64(conns) || sum != int64(conns) {
		w.t.Errorf("%d wait, %d for a connection, %d retries, %d connections, %d of endpoints; want %d", c.waiting.Load(), c.connecting.Load(), c.retrying.Load(), c.conns.Load(), sum, conns)
	}
}

// TestConnectionsAreBounded: all loops together open no more, and one that lies
// idle on a loop is given up for somebody who waits on another.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.apply(bounded(2, model.ServiceLimits{Connections: 4}))
	var open []*fakeConn
	for i := range 4 {
		conn, _ := w.pickOn(i%2, "a", nil, false)
		conn.opened()
		open = append(open, conn)
	}
	a := &Ask{}
	if conn, _, why := w.cluster("a").Pick(w.loops[0], a); conn != nil || why != observe.Overloaded || a.Met != LimitConnections {
		t.Fatalf("a fifth connection: %v, %v", why, a.Met)
	}
	if st := w.stats("a"); st.Open != 4 || st.MaxConnections != 4 || st.Limited[LimitConnections] != 1 {
		t.Errorf("%d of %d connections, refused %v", st.Open, st.MaxConnections, st.Limited)
	}
	// An idle connection is lent on its loop, and no other.
	open[0].finish()
	w.run()
	conn, _ := w.pickOn(0, "a", nil, false)
	if conn != open[0] || w.codec.made() != 4 {
		t.Error("the idle connection was not used")
	}
	// On loop 1 somebody waits; when loop 0 has an idle one it makes room.
	k := w.ask(1, Normal)
	w.runs()
	if k.conn != nil || !k.waits() || w.stats("a").Pending != 1 {
		t.Fatalf("it has %v, waits %v", k.conn, k.waits())
	}
	open[0].finish()
	w.runs()
	if k.conn == nil || k.waits() || !open[0].ended {
		t.Fatal("an idle connection is not given up for somebody on another loop")
	}
	// And where it has been idle before.
	k.conn.opened()
	k.conn.finish()
	open[1].finish()
	open[3].finish()
	w.run()
	k = w.ask(0, Normal)
	w.runs()
	if k.conn == nil {
		t.Fatal("nobody gives up a connection that has been idle")
	}
	k.conn.opened()
	k.conn.finish()
	open[2].finish()
	w.runs()
	w.even(4)
	w.apply(bounded(2, model.ServiceLimits{Connections: model.NoLimit}))
	for range 10 {
		w.pickOn(0, "a", nil, true)
	}
}

// TestEndpointsConnectionsAreBounded: a request goes where there is room for its
// connection, whoever it was meant for.
func TestEndpointsConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	s := bounded(3, model.ServiceLimits{EndpointConnections: 4, Wait: -1})
	s.Balance, s.Hash = model.RingHash, []model.HashKey{{Kind: model.HashSource}}
	w.apply(s)
	counts := map[*Endpoint]int{}
	for i := range 12 {
		conn, ep, why := w.cluster("a").Pick(w.loops[i%2], &Ask{Hash: 7, Hashed: true})
		if conn == nil {
			t.Fatalf("request %d: %v", i, why)
		}
		conn.Send(nil, nil, nil, true)
		counts[ep]++
	}
	for ep, n := range counts {
		if n != 4 {
			t.Errorf("%v has %d connections", ep.Addr(), n)
		}
	}
	a := &Ask{Waiter: &queue.Waiter{}}
	if _, _, why := w.cluster("a").Pick(w.loops[0], a); why != observe.Overloaded || a.Met != LimitEndpointConnections || a.Waiter.Waits() {
		t.Errorf("a thirteenth: %v, %v", why, a.Met)
	}
	for _, c := range w.codec.conns {
		c.fail(nil)
	}
	w.even(0)
}

// TestWhoWaitsIsServed: in the order of what matters, as soon as something is free.
func TestWhoWaitsIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.apply(bounded(2, model.ServiceLimits{Requests: 2}))
	running := []*asking{w.ask(0, Normal), w.ask(1, Normal)}
	var order []string
	wait := func(name string, loop int, class Class) *asking {
		k := w.ask(loop, class)
		k.got = func(*asking) { order = append(order, name) }
		if k.conn != nil || !k.waits() {
			t.Fatalf("%s does not wait: %v", name, k.why)
		}
		return k
	}
	list := []*asking{wait("low", 0, Low), wait("normal", 0, Normal), wait("other", 1, Normal)}
	for range 2 { // critical ones pass the limit, by two where it is small
		running = append(running, w.ask(1, Critical))
	}
	list = append(list, wait("critical", 1, Critical))
	gone := wait("gone", 1, Critical)
	w.cluster("a").Leave(w.loops[1], &gone.waiter)
	for _, k := range running {
		if k.conn == nil {
			t.Fatalf("refused: %v", k.why)
		}
		k.conn.opened()
		k.conn.finish()
		w.runs()
	}
	ended := map[*asking]bool{}
	for range list {
		for _, k := range list {
			if k.conn != nil && !ended[k] {
				ended[k] = true
				k.conn.opened()
				k.conn.finish()
				w.runs()
			}
		}
	}
	if len(order) != 4 || order[0] != "critical" || order[3] != "low" {
		t.Errorf("served in the order %v", order)
	}
	if st := w.stats("a"); st.Waited != 5 || st.Refused != [classes]uint64{} || st.Running != 0 {
		t.Errorf("%d have waited, refused %v, %d run", st.Waited, st.Refused, st.Running)
	}
}

// TestWaitIsBounded: in time and in number; what matters more takes the place of
// what matters less.
func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(bounded(1, model.ServiceLimits{Requests: 1, Pending: 3, Wait: 200 * time.Millisecond}))
	w.ask(0, Normal).conn.opened()
	a, b := w.ask(0, Low), w.ask(0, Normal)
	w.loops[0].pass(50 * time.Millisecond)
	c := w.ask(0, Normal)
	if d := w.ask(0, Low); d.waits() || d.why != observe.Overloaded || d.met != LimitPending {
		t.Errorf("a fourth waits: %v, %v", d.why, d.met)
	}
	if d := w.ask(0, Normal); !d.waits() || a.vain != 1 || a.waits() {
		t.Errorf("one of low priority does not make room: %v", d.why)
	} else {
		w.cluster("a").Leave(w.loops[0], &d.waiter)
	}
	w.loops[0].pass(149 * time.Millisecond)
	if b.vain != 0 {
		t.Error("the wait has ended early")
	}
	w.loops[0].pass(10 * time.Millisecond)
	if b.vain != 1 || b.met != LimitRequests || b.waits() {
		t.Errorf("the wait has not ended: %d, %v", b.vain, b.met)
	}
	// The queue stands by now: a twentieth is enough.
	w.loops[0].pass(10 * time.Millisecond)
	if c.vain != 1 {
		t.Error("in a queue that stands one waits as long as in a burst")
	}
	if st := w.stats("a"); st.Pending != 0 || st.Limited != [limits]uint64{LimitRequests: 3, LimitPending: 1} {
		t.Errorf("%d wait, refused by limit %v", st.Pending, st.Limited)
	}
}

// TestNobodyConnects: a service that cannot be connected to has a bounded number
// of connections in the making; the others wait, and as soon as one stands they
// follow.
func TestNobodyConnects(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(e *Env) { e.Files = 8192 }) // 2048 pending, 128 in the making
	w.apply(service("a", 3))
	var list []*asking
	for i := range 2500 {
		list = append(list, w.ask(i%2, Normal))
	}
	st := w.stats("a")
	if st.Opening != 128 || st.Open != 128 || st.Pending != 2048 || st.Limited[LimitPending] != 2500-2048 || st.MaxConnections != 2048 || st.MaxPending != 2048 {
		t.Errorf("%d connections, %d in the making, %d wait, refused %v", st.Open, st.Opening, st.Pending, st.Limited)
	}
	served := 0
	for more := true; more; { // each answers once it stands
		more = false
		for _, k := range list {
			if k.conn != nil && k.conn.busy > 0 {
				k.conn.opened()
				k.conn.finish()
				w.runs()
				served++
				more = true
			}
		}
	}
	if served != 2048 {
		t.Errorf("%d of 2048 that wait were served when connections stood", served)
	}
	w.even(w.codec.made())
}

// TestNobodyConnectsToHTTP2: those that share a connection that is being made wait
// as well.
func TestNobodyConnectsToHTTP2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(e *Env) { e.Files = 8192 })
	w.codec.streams = 1000
	s := service("a", 3)
	s.Protocol = model.HTTP2
	w.apply(s)
	var list []*asking
	for i := range 2500 {
		list = append(list, w.ask(i%2, Normal))
	}
	st := w.stats("a")
	if st.Opening > 128 || st.Pending != 2048 || st.Limited[LimitPending]+st.Limited[LimitRequests] != 2500-2048 {
		t.Errorf("%d connections in the making, %d wait, refused %v", st.Opening, st.Pending, st.Limited)
	}
	for more := true; more; {
		more = false
		for _, k := range list {
			if k.conn != nil && k.conn.busy > 0 {
				k.conn.opened()
				k.conn.finish()
				w.runs()
				more = true
			}
		}
	}
	w.even(w.codec.made())
}

// TestRunningOnOneConnection: where requests share connections each loop has its
// part of what may run, and what is beyond waits.
func TestRunningOnOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(e *Env) { e.Files = 400 }) // 100, 50 on each loop
	w.codec.streams = 1000
	s := service("a", 2)
	s.Protocol, s.MaxStreams = model.HTTP2, 1000
	w.apply(s)
	var list []*asking
	for range 60 {
		list = append(list, w.ask(0, Normal))
	}
	w.runs()
	if st := w.stats("a"); st.Active != 50 || st.Waited != 10 {
		t.Fatalf("%d run, %d have waited", st.Active, st.Waited)
	}
	if k := w.ask(1, Normal); k.conn == nil {
		t.Error("another loop has no part")
	} else {
		k.conn.opened()
		k.conn.finish()
	}
	for _, k := range list {
		if k.conn == nil {
			t.Fatal("one that waits has no turn")
		}
		k.conn.opened()
		k.conn.finish()
		w.runs()
	}
	for i := range w.cluster("a").queues {
		if n := w.cluster("a").queues[i].running; n != 0 {
			t.Errorf("%d run on loop %d in the end", n, i)
		}
	}
	w.even(w.codec.made())
	for name, l := range map[string]*model.ServiceLimits{"off": {Connections: model.NoLimit}, "adaptive": {Adaptive: true}, "written": {Connections: 30}} {
		s := *s
		s.Limits = l
		w.apply(&s)
		if b := w.cluster("a").plan.Load().set.bounds; b.running != 0 {
			t.Errorf("%s: %d may run on a loop", name, b.running)
		}
	}
}

// TestFlowsCountAsConnections: and are refused at once.
func TestFlowsCountAsConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(bounded(1, model.ServiceLimits{Connections: 2}))
	c := w.cluster("a")
	lease := func() *Lease {
		k, why := c.Lease(w.loops[0], &Ask{}, keeper{})
		if k == nil && why != observe.Overloaded {
			t.Errorf("%v", why)
		}
		return k
	}
	a := lease()
	lease()
	if lease() != nil {
		t.Error("a third")
	}
	a.Stands()
	a.End()
	a.End()
	if lease() == nil {
		t.Fatal("the end of one makes no room")
	}
	w.even2(2)
}

type keeper struct{}

func (keeper) OnSlow()    {}
func (keeper) OnRemoved() {}

// even2 is even while connections are in the making.
func (w *world) even2(conns int64) {
	w.t.Helper()
	if c := w.cluster("a"); c.conns.Load() != conns || c.connecting.Load() != conns || c.opening.Load() != conns {
		w.t.Errorf("%d connections, %d in the making", c.conns.Load(), c.connecting.Load())
	}
}

// TestRetriesAreBounded: so many run at once, whatever the budget says.
func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(bounded(1, model.ServiceLimits{Retries: 3}))
	c, l := w.cluster("a"), w.loops[0]
	for i := range 5 {
		want := observe.ReasonNone
		if i >= 3 {
			want = observe.RetryLimit
		}
		if got := c.Again(l, Reset); got != want {
			t.Errorf("retry %d: %v", i, got)
		}
	}
	c.RetryEnded()
	if got := c.Again(l, Reset); got != observe.ReasonNone {
		t.Errorf("after the end of one: %v", got)
	}
	if st := w.stats("a"); st.Limited[LimitRetries] != 2 || st.Retries.Refused[slices.Index(noRetries[:], observe.RetryLimit)] != 2 {
		t.Errorf("refused %v, %v", st.Limited, st.Retries.Refused)
	}
}

// ending is when a request will have been answered.
type ending struct {
	at time.Duration
	k  *asking
}

type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].at < e[j].at }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// TestCriticalUnderASmallLimit: a service of twelve requests at once, of which
// each takes about 10 ms, is offered three times what it can do. Of the critical
// ones, a seventh of all, fewer than one in a thousand is refused, and the service
// has always something to do.
func TestCriticalUnderASmallLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{2, 12, 50} {
		lasts := 40 * time.Second / time.Duration(limit+10)
		w := newWorld(t, 2)
		w.apply(bounded(3, model.ServiceLimits{Requests: limit}))
		rnd := rand.New(rand.NewPCG(11, uint64(limit)))
		const takes = 10 * time.Millisecond
		var run endings
		var sent, served, longest [classes]int
		capacity := float64(limit) * float64(lasts) / float64(takes)
		now := time.Duration(0)
		to := func(at time.Duration) {
			for _, l := range w.loops {
				l.pass(at - now)
			}
			now = at
		}
		for now < lasts {
			next := now + time.Duration(rnd.ExpFloat64()*float64(takes)/float64(3*limit))
			for len(run) > 0 && run[0].at <= next {
				e := heap.Pop(&run).(ending)
				to(max(e.at, now))
				e.k.conn.finish()
				w.run()
			}
			to(max(next, now))
			class := [7]Class{Critical, Low, Low, Normal, Normal, Normal, Normal}[rnd.IntN(7)]
			sent[class]++
			k := &asking{w: w, loop: rnd.IntN(2)}
			came := now
			k.got = func(k *asking) {
				served[class]++
				longest[class] = max(longest[class], int((now - came).Milliseconds()))
				if k.ask.Dialled {
					k.conn.opened()
				}
				heap.Push(&run, ending{now + time.Duration(rnd.ExpFloat64()*float64(takes)), k})
			}
			k.ask.Class, k.ask.Waiter, k.waiter.Handler = class, &k.waiter, k
			k.OnTurn()
			w.run()
		}
		if lost := sent[Critical] - served[Critical]; lost*1000 > sent[Critical]+3000 {
			t.Errorf("limit %d: %d of %d critical requests were not served", limit, lost, sent[Critical])
		}
		all := served[Normal] + served[Low] + served[Critical]
		if float64(all) < 0.95*capacity {
			t.Errorf("limit %d: %d served, the capacity is %.0f", limit, all, capacity)
		}
		if served[Normal] < 2*served[Low] {
			t.Errorf("limit %d: %d normal and %d low ones were served", limit, served[Normal], served[Low])
		}
		if longest[Critical] > 1010 || longest[Normal] > 1010 {
			t.Errorf("limit %d: waited up to %v ms", limit, longest)
		}
		t.Logf("limit %d: sent %v, served %v (normal, low, critical), the longest wait %v ms", limit, sent, served, longest)
	}
}

// TestManyLoopsWait: whatever becomes free while somebody comes is seen; in the end
// all accounts are even. Run with the race detector.
func TestManyLoopsWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.apply(bounded(3, model.ServiceLimits{Requests: 6, Connections: 8, EndpointConnections: 5, Wait: time.Hour}))
	const rounds = 400
	var done atomic.Int32
	var group sync.WaitGroup
	for i := range w.loops {
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(i)))
			var busy, waits []*asking
			end := func() {
				k := busy[0]
				busy = busy[1:]
				if k.conn.opened(); rnd.IntN(10) == 0 {
					k.conn.fail(wire.ErrClosed)
				} else {
					k.conn.finish()
				}
			}
			for n := 0; n < rounds || len(busy)+len(waits) > 0; {
				if n < rounds && len(waits) < 3 {
					n++
					k := &asking{w: w, loop: i}
					k.got = func(k *asking) { busy = append(busy, k) }
					k.ask.Class, k.ask.Waiter, k.waiter.Handler = Class(rnd.IntN(3)), &k.waiter, k
					if k.OnTurn(); k.waits() {
						waits = append(waits, k)
					}
				}
				w.loops[i].run()
				waits = slices.DeleteFunc(waits, func(k *asking) bool { return !k.waits() })
				if len(busy) > 0 && rnd.IntN(2) == 0 {
					end()
				}
			}
			done.Add(1)
			for done.Load() < int32(len(w.loops)) { // others may ask for a connection
				w.loops[i].run()
			}
		})
	}
	group.Wait()
	w.run()
	st := w.stats("a")
	if st.Running != 0 || st.Pending != 0 || st.Waited == 0 {
		t.Errorf("%d run, %d wait, %d have waited", st.Running, st.Pending, st.Waited)
	}
	w.even(int(st.Open))
}
