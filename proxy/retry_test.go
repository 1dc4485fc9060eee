package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func TestStaleConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.open("PUT", "/", 4)
	s.request("body", true)
	w.conn(0).fail(stale)
	if c := w.conn(1); string(c.body) != "body" || !c.sent {
		t.Fatalf("the second try sent %q", c.body)
	}
	w.conn(1).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	if w.last.Attempts != 2 || w.last.Detail != nil {
		t.Errorf("record: %d attempts, %v", w.last.Attempts, w.last.Detail)
	}
	// What may not be sent twice is not.
	s = w.open("POST", "/", 4)
	s.request("body", true)
	w.conn(1).fail(stale)
	w.expect(s, 502, "", observe.UpstreamReset)
	if w.last.Detail != wire.ErrClosed {
		t.Errorf("detail: %v", w.last.Detail)
	}
	w.settled(2)
}

// TestDoubtfulConnection: what was never sent may be sent again, whatever it is.
func TestDoubtfulConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.open("POST", "/", 4)
	s.request("body", true)
	w.conn(0).fail(wire.Failure{Reason: observe.UpstreamReset, Unsent: true, Reused: true})
	if c := w.conn(1); string(c.body) != "body" {
		t.Fatalf("the second try sent %q", c.body)
	}
	w.conn(1).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	w.settled(1)
}

func TestTriesNobodyAskedForAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.get("/")
	for i := range mostExtra + 1 {
		w.conn(i).fail(stale)
	}
	w.expect(s, 502, "", observe.UpstreamReset)
	// They do not count as declared ones.
	w.apply(shop(1, retries(1)))
	s = w.get("/")
	w.conn(-1).fail(stale)
	w.conn(-1).fail(dropped)
	w.loops[0].pass(time.Second)
	w.conn(-1).respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	if w.last.Attempts != 3 {
		t.Errorf("%d attempts", w.last.Attempts)
	}
	w.settled(2)
}

func TestUnsentGoesElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(3))
	s := w.open("POST", "/", 8)
	s.request("some", false)
	w.conn(0).buffered = 100 // the connection does not stand yet
	s.send("more", false)
	w.conn(0).fail(unsent)
	w.conn(1).fail(unsent)
	c := w.conn(2)
	if string(c.body) != "somemore" || c.sent {
		t.Fatalf("the third try sent %q", c.body)
	}
	seen := map[string]bool{}
	for _, c := range w.codec.conns {
		seen[c.addr.String()] = true
	}
	if len(seen) != 3 {
		t.Errorf("tried %v", seen)
	}
	c.fail(unsent) // there is no other endpoint
	w.expect(s, 502, "", observe.ConnectRefused)
	w.settled(1)
}

func TestNothingIsKeptOnceSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2))
	s := w.open("POST", "/", -1)
	s.request("some", false)
	s.send("more", false) // the connection has taken what came before
	if x := s.sink.(*exchange); x.whole || x.replay != nil {
		t.Error("a body that cannot be sent again is kept")
	}
	w.conn(0).fail(unsent)
	w.expect(s, 502, "", observe.ConnectRefused)
	w.settled(1)
}

func TestDeclaredRetry(t *testing.T) {
	t.Parallel()
	t.Run("codes", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(2, retries(2, 503)))
		s := w.open("POST", "/", 2)
		s.request("hi", true)
		w.conn(0).respond(503, "busy", true)
		if len(w.codec.conns) != 1 {
			t.Fatal("no back-off")
		}
		w.loops[0].pass(110 * time.Millisecond)
		w.conn(1).respond(503, "bus", false)
		w.loops[0].pass(210 * time.Millisecond)
		var last *fakeClient // any endpoint may have got it
		for _, c := range w.codec.conns {
			if c.x != nil {
				last = c
			}
		}
		if last == nil || string(last.body) != "hi" {
			t.Fatal("there was no third try, or it sent something else")
		}
		last.respond(503, "still", true)
		w.expect(s, 503, "still", observe.ReasonNone)
		if w.last.Attempts != 3 {
			t.Errorf("%d attempts", w.last.Attempts)
		}
		w.settled(1)
	})
	t.Run("body comes during the back-off", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(2, retries(2, 503)))
		s := w.open("POST", "/", -1)
		s.request("one", false)
		w.conn(0).fail(dropped)
		s.send("two", false) // was read already
		if !s.paused {
			t.Fatal("the client was not paused")
		}
		w.loops[0].pass(110 * time.Millisecond)
		c := w.conn(1)
		if s.paused || string(c.body) != "onetwo" {
			t.Fatalf("paused %v, body %q", s.paused, c.body)
		}
		s.send("three", true)
		c.respond(200, "", true)
		if string(c.body) != "onetwothree" {
			t.Errorf("the service got %q", c.body)
		}
		w.expect(s, 200, "", observe.ReasonNone)
		w.settled(1)
	})
	t.Run("trailers come during the back-off", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(2, retries(2, 503)))
		s := w.open("POST", "/", -1)
		s.request("one", false)
		w.conn(0).fail(dropped)
		s.requested = true
		s.sink.OnRequestTrailers(&wire.Head{})
		w.loops[0].pass(110 * time.Millisecond)
		if c := w.conn(1); !c.sent || string(c.body) != "one" {
			t.Fatalf("complete %v, body %q", c.sent, c.body)
		}
		w.conn(1).respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
		w.settled(1)
	})
	t.Run("a body that is too large to be kept", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(2, retries(2, 503)))
		s := w.open("PUT", "/", -1)
		s.request(strings.Repeat("x", keepReplay), false)
		s.send("x", true)
		w.conn(0).respond(503, "no", true)
		w.expect(s, 503, "no", observe.ReasonNone)
		w.settled(1)
	})
	t.Run("one that is just not", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(2, retries(1, 503)))
		s := w.open("PUT", "/", -1)
		s.request(strings.Repeat("x", keepReplay-1), false)
		s.send("x", true)
		w.conn(0).respond(503, "no", true)
		w.loops[0].pass(time.Second)
		if n := len(w.conn(1).body); n != keepReplay {
			t.Fatalf("sent %d bytes again", n)
		}
		w.conn(1).respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
		w.settled(1)
	})
}

func TestServiceWithoutEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(0))
	w.expect(w.get("/"), 503, "", observe.NoEndpoint)
	if err := w.last.Detail; err == nil || err.Error() != "the service's list of endpoints is empty" {
		t.Errorf("detail %v", err)
	}
	w.settled(1)
}

func TestBuffersAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	k := w.proxy.workers[0]
	for range keepFree + 1 {
		k.putBuffer(make([]byte, 0, 1024))
		k.putBuffer(make([]byte, 0, keepBuffer))
	}
	k.putBuffer(make([]byte, 0, 2*keepBuffer))
	if len(k.kept) != keepFree || len(k.large) != keepBuffers {
		t.Errorf("%d and %d buffers are kept", len(k.kept), len(k.large))
	}
	s := w.open("PUT", "/", 4)
	s.request("body", true)
	if len(k.kept) != keepFree-1 {
		t.Error("no buffer was lent")
	}
	w.conn(0).respond(200, "x", false)
	if len(k.kept) != keepFree {
		t.Error("the buffer did not come back with the response")
	}
	w.conn(0).data("", true)
	w.settled(1)
}
