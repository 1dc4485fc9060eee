package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// limited is shop with limits of each service.
func limited(endpoints int, l model.ServiceLimits, change ...func(*model.Route)) *model.Config {
	c := shop(endpoints, change...)
	for _, s := range c.Services {
		s.Limits = &l
	}
	return c
}

// answerAll ends the tries that run.
func (w *world) answerAll(status int, body string) {
	for _, c := range w.codec.conns {
		if c.x != nil {
			c.respond(status, body, true)
		}
	}
	w.run()
}

// TestLimits: what a service's limits do not let in waits, and then gets 503 with
// Retry-After; a critical route goes on.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := limited(1, model.ServiceLimits{Requests: 2})
	critical := *c.Routes[0]
	critical.Name, critical.Priority = "critical", model.PriorityCritical
	critical.Matches = []model.Match{{PathKind: model.PathPrefix, Path: "/pay"}}
	c.Routes = append(c.Routes, &critical)
	w.apply(c)
	w.get("/")
	w.get("/")
	s := w.get("/")
	w.loops[0].pass(model.DefaultWait - 10*time.Millisecond)
	if s.status != 0 {
		t.Fatalf("%d without a wait", s.status)
	}
	w.loops[0].pass(20 * time.Millisecond)
	w.expect(s, 503, "", observe.Overloaded)
	if !bytes.Contains(s.head, []byte("Retry-After: 1")) || w.last.Detail != upstream.LimitRequests.Err() {
		t.Errorf("the answer's fields are %q, the detail %v", s.head, w.last.Detail)
	}
	pay := w.get("/pay")
	w.conn(-1).respond(200, "paid", true)
	w.expect(pay, 200, "paid", observe.ReasonNone)
	s = w.get("/")
	w.answerAll(200, "first") // two make room for it
	if s.status != 0 {
		t.Fatalf("%d before its turn", s.status)
	}
	w.busy().respond(200, "turn", true)
	w.expect(s, 200, "turn", observe.ReasonNone)
	w.settled(5)
}

// TestWaitForATurn: the body that comes meanwhile is kept, whatever it is; a client
// that goes leaves nothing behind.
func TestWaitForATurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(limited(1, model.ServiceLimits{Requests: 1}))
	for _, size := range []int{3, keepReplay + 10} {
		w.get("/")
		s := w.open("POST", "/", -1)
		first := strings.Repeat("x", size)
		s.request(first, false)
		if !s.paused {
			t.Error("the client is not paused while it waits")
		}
		s.send("more", false) // was read already
		w.answerAll(200, "")
		c := w.busy()
		if s.paused || string(c.body) != first+"more" {
			t.Fatalf("paused %v, %d bytes were sent", s.paused, len(c.body))
		}
		s.send("!", true)
		c.respond(200, "ok", true)
		if string(c.body) != first+"more!" {
			t.Errorf("%d bytes were sent", len(c.body))
		}
		w.expect(s, 200, "ok", observe.ReasonNone)
	}
	w.get("/")
	gone, late := w.get("/"), w.get("/")
	gone.leave(observe.ClientGone)
	w.answerAll(200, "")
	w.busy().respond(200, "late", true)
	w.expect(late, 200, "late", observe.ReasonNone)
	w.settled(7)
	w.set.Stats(func(st *upstream.ServiceStats) {
		if st.Pending != 0 || st.Running != 0 || st.Waited > 0 && st.Waited != 4 {
			t.Errorf("%s: %d wait, %d run, %d have waited", st.Service, st.Pending, st.Running, st.Waited)
		}
	})
}

// TestRequestTimeWhileItWaits: the request's time goes on.
func TestRequestTimeWhileItWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(limited(1, model.ServiceLimits{Requests: 1}, func(r *model.Route) { r.Timeouts.Request = 100 * time.Millisecond }))
	w.get("/")
	w.loops[0].pass(50 * time.Millisecond)
	s := w.get("/")
	w.loops[0].pass(60 * time.Millisecond)
	w.loops[0].pass(60 * time.Millisecond)
	w.expect(s, 504, "", observe.RequestTimeout)
	w.settled(2)
}

// TestNoRoomForARetry: the client gets what the try before has brought.
func TestNoRoomForARetry(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) (w *world, s *fakeStream) {
		w = newWorld(t, 1)
		w.apply(limited(2, model.ServiceLimits{Requests: 1, Wait: -1}, retries(2, 503)))
		return w, w.get("/")
	}
	// other takes the only slot while the first waits for its back-off.
	other := func(w *world) {
		w.get("/")
		w.loops[0].pass(110 * time.Millisecond)
	}
	t.Run("a whole answer", func(t *testing.T) {
		w, s := begin(t)
		w.conn(0).respond(503, "busy", true)
		other(w)
		w.expect(s, 503, "busy", observe.ReasonNone)
		if w.last.Attempts != 1 || w.last.NotRetried != observe.Overloaded || w.last.Retried != "" {
			t.Errorf("%d attempts, %v, %q", w.last.Attempts, w.last.NotRetried, w.last.Retried)
		}
		w.answerAll(200, "")
		w.settled(2)
	})
	t.Run("the rest of an answer", func(t *testing.T) {
		w, s := begin(t)
		w.conn(0).respond(503, "bu", false)
		if !w.conn(0).paused {
			t.Error("the answer is not held")
		}
		w.conn(0).data("s", false)              // was read already
		w.loops[0].pass(110 * time.Millisecond) // it has the only slot itself
		if s.status != 503 || string(s.body) != "bus" || w.conn(0).paused {
			t.Fatalf("%d %q", s.status, s.body)
		}
		w.conn(0).data("y", true)
		w.expect(s, 503, "busy", observe.ReasonNone)
		w.settled(1)
	})
	t.Run("an answer that breaks off meanwhile", func(t *testing.T) {
		w, s := begin(t)
		w.conn(0).respond(503, "bu", false)
		w.conn(0).fail(dropped)
		w.loops[0].pass(110 * time.Millisecond)
		w.busy().respond(200, "again", true)
		w.expect(s, 200, "again", observe.ReasonNone)
		w.settled(1)
	})
	t.Run("an answer that is complete meanwhile", func(t *testing.T) {
		w, s := begin(t)
		w.conn(0).respond(503, "bu", false)
		w.conn(0).data("sy", true)
		other(w)
		w.expect(s, 503, "busy", observe.ReasonNone)
		w.answerAll(200, "")
		w.settled(2)
	})
	t.Run("no answer", func(t *testing.T) {
		w, s := begin(t)
		w.conn(0).fail(dropped)
		other(w)
		w.expect(s, 502, "", observe.UpstreamReset)
		w.answerAll(200, "")
		w.settled(2)
	})
	t.Run("the client goes", func(t *testing.T) {
		w, s := begin(t)
		w.conn(0).respond(503, "bu", false)
		s.leave(observe.ClientGone)
		if w.conn(0).canceled != 1 {
			t.Error("the answer is still held")
		}
		w.settled(1)
	})
	t.Run("the next try is made", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(limited(2, model.ServiceLimits{Requests: 2, Wait: -1}, retries(2, 503)))
		s := w.get("/")
		w.conn(0).respond(503, "bu", false)
		w.loops[0].pass(110 * time.Millisecond)
		if w.conn(0).canceled != 1 {
			t.Error("the answer is still held beside the next try")
		}
		w.busy().respond(200, "again", true)
		w.expect(s, 200, "again", observe.ReasonNone)
		w.settled(1)
	})
}

// TestRetriesAtOnce: a limit of retries counts those that wait for their back-off
// and those that run, until they have an answer.
func TestRetriesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(limited(3, model.ServiceLimits{Retries: 1}, retries(2, 503)))
	for range 3 {
		a, b := w.get("/"), w.get("/")
		w.codec.conns[len(w.codec.conns)-2].respond(503, "a", true)
		w.codec.conns[len(w.codec.conns)-1].respond(503, "b", true)
		w.expect(b, 503, "b", observe.ReasonNone)
		if w.last.NotRetried != observe.RetryLimit {
			t.Errorf("not retried for %v", w.last.NotRetried)
		}
		w.loops[0].pass(110 * time.Millisecond)
		w.busy().respond(200, "again", true)
		w.expect(a, 200, "again", observe.ReasonNone)
		for _, c := range w.codec.conns { // the next ones get connections of their own
			if !c.gone {
				c.Close()
			}
		}
		w.run()
	}
	w.settled(6)
}

// TestServiceTime: what a client needs to send its request is not the service's.
func TestServiceTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	const ms = time.Millisecond
	s := w.open("POST", "/", -1)
	s.request("some", false)
	w.conn(0).stand()
	x := s.sink.(*exchange)
	check := func(want time.Duration, whole bool) {
		t.Helper()
		if got, is := x.serviceTime(); got != want || is != whole {
			t.Errorf("the service had %v, whole %v, want %v, %v", got, is, want, whole)
		}
	}
	w.loops[0].pass(10 * time.Second)
	check(0, false)
	w.conn(0).buffered = highWater + 1
	s.send("more", false) // it does not take it
	w.loops[0].pass(300 * ms)
	check(300*ms, true)
	w.conn(0).buffered = 0
	x.OnRequestDrained()
	w.loops[0].pass(10 * time.Second)
	check(300*ms, false)
	s.send("end", true)
	w.loops[0].pass(5 * ms)
	check(305*ms, true)
	w.conn(0).respond(200, "", true)
	s = w.get("/")
	x = s.sink.(*exchange)
	w.loops[0].pass(7 * ms)
	check(7*ms, true)
	w.busy().respond(200, "", true)
	w.settled(2)
}
