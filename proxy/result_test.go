package proxy

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// results gives how the tries of all services went.
func (w *world) results() map[string]int {
	got := map[string]int{}
	w.set.Stats(func(st *upstream.ServiceStats) {
		for o, n := range st.Results {
			if n > 0 {
				got[upstream.Outcome(o).String()] += int(n)
			}
		}
	})
	return got
}

// bad counts the answers of all services that speak against their endpoint.
func (w *world) bad() (n uint64) {
	w.set.Stats(func(st *upstream.ServiceStats) { n += st.Bad })
	return n
}

// TestEachTryIsToldOnce: the cluster hears how each try went, once.
func TestEachTryIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, retries(1, 503), func(r *model.Route) { r.Timeouts.Backend = 3 * time.Second }))
	want := map[string]int{}
	check := func(what string, outcomes ...string) {
		t.Helper()
		for _, o := range outcomes {
			want[o]++
		}
		got := w.results()
		for o := range upstream.Torn + 2 {
			if n := o.String(); got[n] != want[n] {
				t.Errorf("%s: %d times %s, want %d", what, got[n], n, want[n])
			}
		}
	}

	s := w.get("/")
	w.busy().respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	check("answered", "answered")

	s = w.get("/")
	w.busy().respond(503, "", true)
	w.loops[0].pass(time.Second)
	w.busy().respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	check("answered, after a retry", "answered", "answered")

	s = w.get("/")
	w.busy().fail(unsent)
	w.loops[0].pass(time.Second)
	w.busy().fail(dropped)
	w.expect(s, 502, "", observe.UpstreamReset)
	check("unreached, then broken", "unreached", "broken")

	s = w.get("/")
	w.loops[0].pass(3 * time.Second)
	w.loops[0].pass(time.Second)
	w.loops[0].pass(3 * time.Second)
	w.expect(s, 504, "", observe.UpstreamTimeout)
	check("late, twice", "late", "late")

	s = w.get("/")
	w.busy().respond(200, "half", false)
	w.busy().fail(dropped)
	check("torn", "answered", "torn")
	if s.reset != observe.UpstreamReset {
		t.Errorf("reset for %v", s.reset)
	}

	s = w.get("/")
	s.leave(observe.ClientGone)
	check("abandoned", "abandoned")

	for status, more := range map[string][]string{"14": {"answered", "torn"}, "5": {"answered"}} {
		s = w.call("/p.S/M")
		s.request("in", true)
		c := w.busy()
		c.answer("out", false, "Content-Type", "application/grpc")
		c.trail("grpc-status", status)
		w.expect(s, 200, "out", observe.ReasonNone)
		check("gRPC status "+status+" at the end", more...)
	}
	// One that does not say how it went is UNKNOWN to its client.
	bad := w.bad()
	w.call("/p.S/M").request("in", true)
	w.busy().answer("", true, "Content-Type", "application/grpc")
	check("no gRPC status in a head alone", "answered")
	for what, end := range map[string]func(c *fakeClient){
		"behind the messages": func(c *fakeClient) { c.data("", true) },
		"in the trailers":     func(c *fakeClient) { c.trail("x-sum", "1") },
	} {
		s = w.call("/p.S/M")
		s.request("in", true)
		c := w.busy()
		c.answer("out", false, "Content-Type", "application/grpc")
		end(c)
		w.expect(s, 200, "out", observe.ReasonNone)
		check("no gRPC status "+what, "answered", "torn")
	}
	w.get("/")
	c := w.busy()
	c.answer("out", false, "Content-Type", "application/grpc") // the client is not one of gRPC
	c.data("", true)
	check("no gRPC status to a page", "answered")
	if n := w.bad() - bad; n != 1 {
		t.Errorf("%d answers were bad, want that of the call without a status", n)
	}
	w.settled(12)
}

// TestBadAnswerThatBreaks: an answer that speaks against its endpoint does so once,
// however it ends.
func TestBadAnswerThatBreaks(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][3]uint64{200: {0, 0, 1}, 500: {1, 0, 0}, 429: {0, 1, 0}} {
		w := newWorld(t, 1)
		w.apply(shop(1))
		s := w.open("POST", "/", 0)
		s.request("", true)
		k := w.busy()
		k.respond(status, "beg", false)
		k.fail(dropped)
		if s.reset != observe.UpstreamReset {
			t.Errorf("%d: the client got a reset for %q", status, s.reset)
		}
		var st upstream.ServiceStats
		w.set.Stats(func(s *upstream.ServiceStats) {
			if s.Service == "a" {
				st = *s
			}
		})
		if got := [3]uint64{st.Counts.Bad, st.Counts.Limited, st.Counts.Results[upstream.Torn]}; got != want || st.Counts.Results[upstream.Answered] != 1 {
			t.Errorf("%d: bad, busy and torn are %v, want %v", status, got, want)
		}
		w.settled(1)
	}
}
