package proxy

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// A filter has the service asked later: what comes in between is kept, the
// request's time goes on, and a client that leaves takes everything along.
func TestDelay(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, change ...func(*model.Route)) (*world, *fakeStream) {
		w := newWorld(t, 1)
		w.apply(shop(2, append(change, filters(does(0, "delay")))...))
		s := w.open("POST", "/", -1)
		s.request("one", false)
		w.loops[0].pass(900 * time.Millisecond)
		if len(w.codec.conns) != 0 || !s.paused {
			t.Fatalf("%d connections, paused %v", len(w.codec.conns), s.paused)
		}
		return w, s
	}
	t.Run("goes on", func(t *testing.T) {
		w, s := begin(t)
		s.send("two", false) // was read already
		w.loops[0].pass(110 * time.Millisecond)
		c := w.conn(0)
		if s.paused || string(c.body) != "onetwo" {
			t.Fatalf("paused %v, body %q", s.paused, c.body)
		}
		s.send("three", true)
		c.respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
		if string(c.body) != "onetwothree" || w.last.Attempts != 1 {
			t.Errorf("the service got %q, %d attempts", c.body, w.last.Attempts)
		}
		w.settled(1)
	})
	t.Run("the request's time is over", func(t *testing.T) {
		w, s := begin(t, func(r *model.Route) { r.Timeouts.Request = 950 * time.Millisecond })
		w.loops[0].pass(100 * time.Millisecond)
		w.expect(s, 504, "", observe.RequestTimeout)
		w.settled(1)
	})
	t.Run("the client leaves", func(t *testing.T) {
		w, s := begin(t)
		s.leave(observe.ClientGone)
		w.loops[0].pass(2 * time.Second)
		if len(w.codec.conns) != 0 || w.last.Reason != observe.ClientGone {
			t.Errorf("%d connections, reason %v", len(w.codec.conns), w.last.Reason)
		}
		w.settled(1)
	})
	t.Run("and not the next request", func(t *testing.T) {
		w, s := begin(t)
		s.send("", true)
		w.loops[0].pass(110 * time.Millisecond)
		w.conn(0).respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
		w.apply(shop(2))
		s = w.open("GET", "/", 0)
		s.request("", true)
		for _, c := range w.codec.conns {
			if c.x != nil {
				c.respond(200, "", true)
			}
		}
		w.expect(s, 200, "", observe.ReasonNone)
		w.settled(2)
	})
}
