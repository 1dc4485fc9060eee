package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func shapes(s model.Shape) func(*model.Route) { return func(r *model.Route) { r.Shape = &s } }

// tardy is how late a timer may be.
const tardy = 25 * time.Millisecond

// TestRequestsAreSpread: one goes at once, as many as the queue holds wait, and
// the next is told when to come back.
func TestRequestsAreSpread(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.apply(shop(1, shapes(model.Shape{Requests: 10, Queue: 3})))
	var all []*fakeStream
	for range 4 {
		all = append(all, w.get("/"))
	}
	s := w.get("/")
	w.expect(s, 429, "", observe.ShapeFull)
	if !bytes.Contains(s.head, []byte("Retry-After: 1\r\n")) || w.last.Attempts != 0 || w.last.Flags.String() != "RL" {
		t.Errorf("fields %q, record %+v", s.head, w.last)
	}
	for i := range 4 {
		if n := len(w.codec.conns); n != i+1 {
			t.Fatalf("after %d turns %d requests are at the service", i, n)
		}
		if i == 2 {
			w.proxy.Shapes(func(s ShapeStats) {
				if s != (ShapeStats{Route: "r", Delayed: 3, Refused: 1, Waited: 600 * time.Millisecond, Waiting: 1}) {
					t.Errorf("counted %+v", s)
				}
			})
		}
		w.loops[0].pass(100 * time.Millisecond)
		w.loops[1].pass(100 * time.Millisecond)
		if i == 0 {
			w.loops[0].pass(tardy)
			w.loops[1].pass(tardy)
		}
	}
	for i, s := range all {
		w.conn(i).respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
	}
	// The other loop has the same clock.
	w.loops[0].pass(time.Second)
	w.loops[1].pass(time.Second)
	one := w.get("/")
	two := &fakeStream{w: w, peer: wire.Peer{Remote: one.peer.Remote, Local: one.peer.Local}}
	two.beginAt(w.proxy.ports[0].doors[1])
	two.ask("GET", "/", 0)
	two.request("", true)
	if g := w.proxy.workers[1].running; g == nil || g.shaped == nil || !g.shaped.waits || g.Delay != 100*time.Millisecond {
		t.Error("a request on the other loop does not wait")
	}
	two.leave(observe.ClientGone)
	w.busy().respond(200, "", true)
	w.settled(7)
}

// TestBurst: after a quiet time so many go at once.
func TestBurst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, shapes(model.Shape{Requests: 10, Burst: 3, Queue: -1})))
	for range 3 {
		w.get("/")
	}
	s := w.get("/")
	w.expect(s, 429, "", observe.ShapeFull)
	if n := len(w.codec.conns); n != 3 {
		t.Errorf("%d went at once", n)
	}
	for _, c := range w.codec.conns {
		c.respond(200, "", true)
	}
	w.settled(4)
}

// TestNobodyWaitsInVain: neither beyond the request's own time nor after the
// client has gone, whose turn the next one gets.
func TestNobodyWaitsInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, shapes(model.Shape{Requests: 1}), func(r *model.Route) { r.Timeouts.Request = 1500 * time.Millisecond }))
	w.get("/")
	gone := w.get("/")
	w.expect(w.get("/"), 429, "", observe.ShapeFull)
	gone.leave(observe.ClientGone)
	next := w.get("/")
	if next.status != 0 {
		t.Fatalf("the turn of one that has left was lost: %d", next.status)
	}
	w.conn(0).respond(200, "", true)
	w.loops[0].pass(time.Second + tardy)
	w.busy().respond(200, "", true)
	w.expect(next, 200, "", observe.ReasonNone)
	w.settled(4)
}

// TestWaitingKeepsTheBody: what came is kept, however much one read is, and no
// more is read.
func TestWaitingKeepsTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, shapes(model.Shape{Requests: 10})))
	w.get("/")
	body := strings.Repeat("x", 200<<10) // more than is kept for a retry
	s := w.open("POST", "/", int64(len(body)))
	s.request(body, false)
	if !s.paused || len(w.codec.conns) != 1 {
		t.Fatalf("paused %v, %d connections", s.paused, len(w.codec.conns))
	}
	w.loops[0].pass(100*time.Millisecond + tardy)
	if c := w.conn(1); s.paused || string(c.body) != body {
		t.Errorf("paused %v, the service got %d bytes", s.paused, len(c.body))
	}
	s.send("", true)
	for _, c := range w.codec.conns {
		c.respond(200, "", true)
	}
	w.settled(2)
}

// paced says whether n bytes have passed as they should at rate after d.
func paced(t *testing.T, n int, rate float64, d time.Duration) {
	t.Helper()
	want := rate * d.Seconds()
	if float64(n) < want-0.05*rate || float64(n) > want+0.2*rate {
		t.Errorf("after %v %d bytes have passed, want about %v", d, n, want)
	}
}

// TestDownload: a response's body passes at its rate, what was read of it waits,
// and the service is stopped meanwhile.
func TestDownload(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]model.Shape{
		"each": {Download: 10_000}, "together": {TotalDownload: 10_000}, "the lower counts": {Download: 1_000_000, TotalDownload: 10_000},
	} {
		w := newWorld(t, 1)
		w.apply(shop(1, shapes(shape)))
		s := w.get("/")
		c := w.conn(0)
		body := strings.Repeat("0123456789", 500)
		c.respond(200, body, false)
		if !c.paused {
			t.Errorf("%s: the service is not stopped", name)
		}
		var passed time.Duration
		for range 4 {
			w.loops[0].pass(100 * time.Millisecond)
			passed += 100 * time.Millisecond
			paced(t, len(s.body), 10_000, passed)
		}
		w.loops[0].pass(100 * time.Millisecond)
		if len(s.body) != len(body) || c.paused || s.ended {
			t.Errorf("%s: %d bytes, paused %v, ended %v", name, len(s.body), c.paused, s.ended)
		}
		c.data(body, true)
		if s.ended {
			t.Errorf("%s: the rest has passed at once", name)
		}
		w.loops[0].pass(550 * time.Millisecond)
		w.expect(s, 200, body+body, observe.ReasonNone)
		if !s.ended || bytes.Contains(s.head, []byte("chunked")) {
			t.Errorf("%s: ended %v, fields %q", name, s.ended, s.head)
		}
		w.settled(1)
	}
}

// TestDownloadsShare: two have the total between them.
func TestDownloadsShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, shapes(model.Shape{TotalDownload: 10_000})))
	one, two := w.get("/"), w.get("/")
	body := strings.Repeat("0123456789", 500)
	w.conn(0).respond(200, body, true)
	w.conn(1).respond(200, body, true)
	w.loops[0].pass(500 * time.Millisecond)
	paced(t, len(one.body)+len(two.body), 10_000, 500*time.Millisecond)
	if d := len(one.body) - len(two.body); d < -1500 || d > 1500 {
		t.Errorf("%d and %d bytes have passed", len(one.body), len(two.body))
	}
	w.loops[0].pass(600 * time.Millisecond)
	if !one.ended || !two.ended {
		t.Error("they have not ended")
	}
	w.settled(2)
}

// TestUpload: a request's body passes at its rate, the client is stopped
// meanwhile, and the service is not blamed for it.
func TestUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, shapes(model.Shape{Upload: 10_000}), func(r *model.Route) { r.Timeouts.Backend = 200 * time.Millisecond }))
	body := strings.Repeat("0123456789", 500)
	s := w.open("POST", "/", int64(2*len(body)))
	s.request(body, false)
	c := w.conn(0)
	if !s.paused {
		t.Error("the client is not stopped")
	}
	w.loops[0].pass(300 * time.Millisecond)
	paced(t, len(c.body), 10_000, 300*time.Millisecond)
	w.loops[0].pass(200 * time.Millisecond)
	if s.paused || len(c.body) != len(body) {
		t.Errorf("paused %v, %d bytes", s.paused, len(c.body))
	}
	s.send(body, true)
	w.loops[0].pass(300 * time.Millisecond)
	if c.sent {
		t.Error("the rest has passed at once")
	}
	w.loops[0].pass(300 * time.Millisecond)
	if !c.sent || string(c.body) != body+body {
		t.Errorf("sent %v, %d bytes", c.sent, len(c.body))
	}
	c.respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	w.settled(1)
}

// TestUploadThatIsTakenSlowly: a service that does not keep up and a rate do not
// undo each other.
func TestUploadThatIsTakenSlowly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, shapes(model.Shape{Upload: 10_000})))
	s := w.open("POST", "/", -1)
	s.request(strings.Repeat("x", 2000), false)
	c := w.conn(0)
	c.buffered = highWater + 1
	w.loops[0].pass(time.Second)
	if !s.paused {
		t.Error("the client sends to a service that takes nothing")
	}
	c.buffered = 0
	c.sink.OnRequestDrained()
	w.loops[0].pass(time.Second)
	if s.paused || len(c.body) != 2000 {
		t.Errorf("paused %v, %d bytes", s.paused, len(c.body))
	}
	s.send("", true)
	c.respond(200, "", true)
	w.settled(1)
}

// TestSlowBodies: a fault passes bodies slowly, each direction by itself, and a
// retry gets what it needs.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, retries(1, 503), filters(does(0, "slow"))))
	s := w.open("PUT", "/", 600)
	s.request(strings.Repeat("x", 600), true)
	w.loops[0].pass(100 * time.Millisecond)
	c := w.conn(0)
	if c.sent {
		t.Error("the request has passed at once")
	}
	w.loops[0].pass(150 * time.Millisecond)
	c.respond(503, "", true)
	w.loops[0].pass(200 * time.Millisecond)
	c = w.conn(1)
	if !c.sent || len(c.body) != 600 {
		t.Fatalf("the second try: sent %v, %d bytes", c.sent, len(c.body))
	}
	c.respond(200, strings.Repeat("y", 500), true)
	w.loops[0].pass(200 * time.Millisecond)
	paced(t, len(s.body), 1000, 200*time.Millisecond)
	w.loops[0].pass(300 * time.Millisecond)
	w.expect(s, 200, strings.Repeat("y", 500), observe.ReasonNone)
	// Without a body there is nothing to slow down.
	s = w.open("HEAD", "/", 0)
	s.request("", true)
	w.busy().respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	w.settled(2)
}

// TestShapedBodiesAreCutOff: whoever goes away, nothing stays behind.
func TestShapedBodiesAreCutOff(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 5000)
	begin := func() (*world, *fakeStream, *fakeClient) {
		w := newWorld(t, 1)
		w.apply(shop(1, shapes(model.Shape{Download: 10_000, Upload: 10_000}), func(r *model.Route) { r.Timeouts.Request = 2 * time.Second }))
		s := w.open("POST", "/", 5000)
		s.request(body, true)
		c := w.conn(0)
		c.respond(200, body, false)
		w.loops[0].pass(100 * time.Millisecond)
		return w, s, c
	}
	w, s, _ := begin()
	s.leave(observe.ClientGone)
	w.loops[0].pass(time.Second)
	w.settled(1)
	w, s, c := begin()
	c.fail(dropped)
	w.loops[0].pass(time.Second)
	if s.reset != observe.UpstreamReset {
		t.Errorf("reset for %v", s.reset)
	}
	w.settled(1)
	w, s, _ = begin()
	w.loops[0].pass(2 * time.Second)
	if s.reset != observe.RequestTimeout {
		t.Errorf("reset for %v", s.reset)
	}
	w.settled(1)
	// And the next ones are like new.
	w.apply(shop(1))
	s = w.open("POST", "/", 5000)
	s.request(body, true)
	w.busy().respond(200, body, true)
	w.expect(s, 200, body, observe.ReasonNone)
	w.settled(2)
}

// TestShapesSurviveAReload: a change of another route does not begin the rate
// anew.
func TestShapesSurviveAReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := shop(1, shapes(model.Shape{Requests: 1, Queue: -1}))
	w.apply(c)
	w.get("/")
	other := *c.Routes[0]
	other.Name, other.Matches, other.Shape = "other", []model.Match{{PathKind: model.PathPrefix, Path: "/other"}}, nil
	again := shop(1, shapes(model.Shape{Requests: 1, Queue: -1}))
	again.Routes = append(again.Routes, &other)
	w.apply(again)
	w.expect(w.get("/"), 429, "", observe.ShapeFull)
	w.conn(0).respond(200, "", true)
	w.run()
	w.settled(2)
}

// TestShapingAllocatesNothing once its parts were made.
func TestShapingAllocatesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.apply(shop(1, shapes(model.Shape{Requests: 1000, Download: 100_000})))
	x := w.proxy.workers[0].exchange()
	x.rule = w.proxy.Program().rules[0]
	shape := func() {
		x.beginShape(false)
		x.shaped.turn()
		x.brakeResponse()
		x.dropOut()
		x.endShape()
		w.loops[0].now += time.Millisecond
	}
	shape()
	if n := testing.AllocsPerRun(100, shape); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
