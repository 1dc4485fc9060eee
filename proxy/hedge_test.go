package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// hedged makes a second try after 50 ms.
func hedged(r *model.Route) { r.Hedge = &model.Hedge{After: 50 * time.Millisecond} }

// both lets the first try wait until there is a second.
func (w *world) both() (first, second *fakeClient) {
	w.t.Helper()
	first = w.busy()
	first.stand()
	w.loops[0].pass(60 * time.Millisecond)
	for _, c := range w.codec.conns {
		if c.x != nil && c != first {
			second = c
		}
	}
	if second == nil {
		w.t.Fatal("there is no second try")
	}
	if second.addr == first.addr {
		w.t.Error("the second try went to the same endpoint")
	}
	return first, second
}

func TestHedge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		do       func(w *world, first, second *fakeClient)
		status   int
		body     string
		outcomes map[string]int
		won      int
		endpoint int // whose answer it is: 1 or 2
	}{
		{"the second wins", func(_ *world, _, b *fakeClient) { b.respond(200, "b", true) }, 200, "b", map[string]int{"abandoned": 1, "answered": 1}, 1, 2},
		{"the first wins", func(_ *world, a, _ *fakeClient) { a.respond(200, "a", true) }, 200, "a", map[string]int{"abandoned": 1, "answered": 1}, 0, 1},
		{"the second wins, in parts", func(_ *world, _, b *fakeClient) {
			b.respond(200, "b", false)
			b.data("c", true)
		}, 200, "bc", map[string]int{"abandoned": 1, "answered": 1}, 1, 2},
		{"an error wins too, where it is an answer", func(_ *world, _, b *fakeClient) { b.respond(404, "b", true) }, 404, "b", map[string]int{"abandoned": 1, "answered": 1}, 1, 2},
		{"the second is busy, the first answers", func(_ *world, a, b *fakeClient) {
			b.respond(503, "b", false)
			a.respond(200, "a", true)
		}, 200, "a", map[string]int{"answered": 2}, 0, 1},
		{"the first is busy, the second answers", func(_ *world, a, b *fakeClient) {
			a.respond(503, "a", true)
			b.respond(200, "b", true)
		}, 200, "b", map[string]int{"answered": 2}, 1, 2},
		{"the first breaks, the second answers", func(_ *world, a, b *fakeClient) {
			a.fail(dropped)
			b.respond(200, "b", true)
		}, 200, "b", map[string]int{"answered": 1, "broken": 1}, 1, 2},
		{"the second breaks, the first answers", func(_ *world, a, b *fakeClient) {
			b.fail(dropped)
			a.respond(200, "a", true)
		}, 200, "a", map[string]int{"answered": 1, "broken": 1}, 0, 1},
		{"both break", func(w *world, a, b *fakeClient) {
			a.fail(dropped)
			b.fail(dropped)
			w.loops[0].pass(time.Second)
		}, 502, "", map[string]int{"broken": 2}, 0, 2},
		{"the first takes too long for a try", func(w *world, _, b *fakeClient) {
			b.stand()
			w.loops[0].pass(950 * time.Millisecond)
			b.respond(200, "b", true)
		}, 200, "b", map[string]int{"answered": 1, "late": 1}, 1, 2},
		{"nobody answers in time", func(w *world, _, b *fakeClient) {
			b.stand()
			w.loops[0].pass(time.Minute)
		}, 504, "", map[string]int{"late": 1, "abandoned": 1}, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.apply(shop(2, hedged, bounded(1500*time.Millisecond, time.Second)))
			s := w.open("PUT", "/", 4)
			s.request("body", true)
			a, b := w.both()
			if string(b.body) != "body" || !b.sent {
				t.Errorf("the second try sent %q", b.body)
			}
			ends := []*fakeClient{nil, a, b}
			addr := ends[c.endpoint].addr
			c.do(w, a, b)
			if s.status != c.status || string(s.body) != c.body && c.body != "" || !s.ended {
				t.Errorf("the client got %d %q, ended %v", s.status, s.body, s.ended)
			}
			if w.last.Attempts != 2 || w.last.Endpoint != addr {
				t.Errorf("record: %d attempts, answered by %v", w.last.Attempts, w.last.Endpoint)
			}
			for o, n := range w.results() {
				if n != c.outcomes[o] {
					t.Errorf("%d times %s, want %d", n, o, c.outcomes[o])
				}
			}
			if made, won, _ := w.retried(); made["hedge"] != 1 || won["hedge"] != c.won {
				t.Errorf("made %d, won %d", made["hedge"], won["hedge"])
			}
			w.settled(1)
			if n := len(w.proxy.workers[0].hedges); n != 1 {
				t.Errorf("%d hedges are kept", n)
			}
		})
	}
}

// TestHedgePushedBack: what the second try is told of others holds for the request,
// also where the first fails.
func TestHedgePushedBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, hedged, func(r *model.Route) {
		r.Retry = &model.Retry{Attempts: 3, Methods: []string{"POST"}, GRPC: []int{14}, Backoff: 100 * time.Millisecond}
	}))
	s := w.call("/p.S/M")
	s.request("x", true)
	first, second := w.both()
	second.answer("", true, "Content-Type", "application/grpc", "grpc-status", "14", "grpc-retry-pushback-ms", "-1")
	first.fail(dropped)
	w.loops[0].pass(time.Second)
	if w.sent() != 2 || !s.ended || w.last.NotRetried != observe.RetryAfter {
		t.Errorf("%d tries, ended %v, not tried again for %v", w.sent(), s.ended, w.last.NotRetried)
	}
	w.settled(1)
}

// TestNoHedge: what may not be sent twice, or is not there yet, is not; nor is
// anything after the answer, or without a budget.
func TestNoHedge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  *model.Config
		ask  func(w *world) *fakeStream
	}{
		{"a POST", shop(2, hedged), func(w *world) *fakeStream {
			s := w.open("POST", "/", 4)
			s.request("body", true)
			return s
		}},
		{"a POST of a retry for all", shop(2, hedged, retries(1, 503)), func(w *world) *fakeStream {
			s := w.open("POST", "/", 4)
			s.request("body", true)
			return s
		}},
		{"one endpoint", shop(1, hedged), func(w *world) *fakeStream { return w.get("/") }},
		{"retries are off", shop(2, hedged, func(r *model.Route) { r.Retry = &model.Retry{} }), func(w *world) *fakeStream { return w.get("/") }},
		{"half a body", shop(2, hedged), func(w *world) *fakeStream {
			s := w.open("PUT", "/", 8)
			s.request("body", false)
			return s
		}},
		{"an upgrade", shop(2, hedged), func(w *world) *fakeStream { return w.get("/", "Upgrade", "websocket") }},
		{"no budget", func() *model.Config {
			cfg := shop(2, hedged)
			cfg.Services[0].RetryBudget = &model.RetryBudget{Percent: -1, MinPerSecond: -1}
			return cfg
		}(), func(w *world) *fakeStream { return w.get("/") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.apply(c.cfg)
			s := c.ask(w)
			first := w.busy()
			first.stand()
			w.loops[0].pass(time.Second)
			if n := w.sent(); n != 1 {
				t.Fatalf("%d tries", n)
			}
			if !s.requested {
				s.send("more", true)
			}
			first.respond(200, "", true)
			w.loops[0].pass(time.Second)
			w.expect(s, 200, "", observe.ReasonNone)
			w.settled(1)
		})
	}
}

// TestHedgeEndsWithTheClient: both tries are cancelled when nobody waits, at
// whatever moment.
func TestHedgeEndsWithTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, hedged))
	s := w.get("/")
	a, b := w.both()
	s.leave(observe.ClientGone)
	if a.canceled != 1 || b.canceled != 1 {
		t.Errorf("cancelled %d and %d", a.canceled, b.canceled)
	}
	s = w.get("/")
	_, b = w.both()
	b.respond(200, "x", false)
	s.leave(observe.ClientGone)
	if b.canceled != 1 {
		t.Error("the winner goes on")
	}
	s = w.get("/") // before there is a second try
	s.leave(observe.ClientGone)
	w.loops[0].pass(time.Second)
	w.settled(3)
}

// TestHedgeBreaksAfterTheHead: the winner is the request's try in all respects.
func TestHedgeBreaksAfterTheHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, hedged))
	s := w.get("/")
	_, b := w.both()
	b.respond(200, "half", false)
	s.buffered = highWater + 1
	b.data("more", false)
	if !b.paused {
		t.Error("the winner is not held where the client is slow")
	}
	s.sink.OnResponseDrained()
	if b.paused {
		t.Error("the winner stays held")
	}
	b.fail(dropped)
	if s.reset != observe.UpstreamReset {
		t.Errorf("reset for %v", s.reset)
	}
	if got := w.results(); got["torn"] != 1 || got["answered"] != 1 || got["abandoned"] != 1 {
		t.Errorf("outcomes %v", got)
	}
	w.settled(1)
}

// TestQuantile: the estimate comes near the quantile of what is seen, and
// follows when that changes.
func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, p := range []int{50, 90, 95} {
		g := compileHedge(&model.Hedge{Quantile: p}, 2)
		if g.wait(1) != 0 {
			t.Error("it is known before anything was seen")
		}
		rnd := rand.New(rand.NewPCG(1, uint64(p)))
		for _, scale := range []float64{10, 1, 40} { // ms
			var all []time.Duration
			var sum time.Duration
			for range 20_000 {
				d := time.Duration(scale * (0.5 + rnd.ExpFloat64()) * float64(time.Millisecond))
				all = append(all, d)
				g.seen[1].observe(d, g.quantile)
				sum += g.wait(1)
			}
			slices.Sort(all)
			want, got := all[len(all)*p/100], sum/time.Duration(len(all))
			if ratio := float64(got) / float64(want); ratio < 0.75 || ratio > 1.25 {
				t.Errorf("p%d of a mean of %v ms is %v, want %v", p, 1.5*scale, got, want)
			}
		}
		if g.wait(0) != 0 {
			t.Error("another loop's")
		}
	}
}
