package proxy

import (
	"reflect"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func TestRequestGoesToTheServiceAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.get("/things")
	c := w.conn(0)
	if string(c.path) != "/things" || !c.sent {
		t.Fatalf("the service got %q, complete: %v", c.path, c.sent)
	}
	w.loops[0].pass(7 * time.Millisecond)
	c.respond(200, "hel", false)
	c.data("lo", true)
	w.expect(s, 200, "hello", observe.ReasonNone)
	if w.last.BytesOut != 5 || w.last.Attempts != 1 || w.last.Upstream != 7*time.Millisecond || w.last.Endpoint != c.addr {
		t.Errorf("record: %+v", w.last)
	}
	w.settled(1)
	w.get("/again")
	if len(w.codec.conns) != 1 {
		t.Errorf("%d connections were made for two requests", len(w.codec.conns))
	}
	w.conn(0).respond(204, "", true)
	w.settled(2)
}

// TestTrailersAndRetry: a request with trailers may be tried again, without
// them.
func TestTrailersAndRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.open("PUT", "/", -1)
	s.request("body", false)
	s.sink.OnRequestTrailers(&wire.Head{})
	w.conn(0).fail(stale)
	if c := w.conn(1); string(c.body) != "body" || !c.sent {
		t.Fatalf("the second try sent %q, ended %v", c.body, c.sent)
	}
	w.conn(1).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	w.settled(1)
}

func TestTrailersBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, mirrored))
	s := w.open("POST", "/", -1)
	s.request("a", false)
	s.requested = true
	s.sink.OnRequestTrailers(&wire.Head{})
	c := w.conn(1)
	if !c.sent || !c.trailers {
		t.Fatal("the service did not get the trailers")
	}
	if m := w.conn(0); !m.sent {
		t.Error("the mirror was not told of the end")
	}
	c.respond(200, "b", false)
	c.over(true).OnResponseTrailers(&wire.Head{})
	w.conn(0).respond(200, "", true)
	w.expect(s, 200, "b", observe.ReasonNone)
	if !s.trailers {
		t.Error("the client did not get the trailers")
	}
	w.settled(1)
}

func TestInterimResponsesPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.get("/")
	w.conn(0).sink.OnInform(&wire.Head{Status: 103})
	old := w.open("GET", "/", 0)
	old.x.Request.Minor = 0
	old.request("", true)
	w.conn(1).sink.OnInform(&wire.Head{Status: 103})
	if s.informed != 1 || old.informed != 0 {
		t.Errorf("informed %d and, of HTTP/1.0, %d", s.informed, old.informed)
	}
	w.conn(0).respond(200, "", true)
	w.conn(1).respond(200, "", true)
	w.settled(2)
}

func TestEarlyResponses(t *testing.T) {
	t.Parallel()
	t.Run("complete before the request", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, mirrored))
		s := w.open("POST", "/", 100)
		s.request("some", false)
		w.conn(1).respond(413, "no", true)
		w.expect(s, 413, "no", observe.ReasonNone)
		w.settled(1)
		if w.conn(0).canceled != 1 {
			t.Error("a mirror whose body cannot become complete goes on")
		}
	})
	t.Run("begun before the request ends", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1))
		s := w.open("POST", "/", 8)
		s.request("some", false)
		c := w.conn(0)
		c.respond(200, "yes", false)
		s.send("more", true)
		if string(c.body) != "somemore" || !c.sent {
			t.Errorf("the service got %q", c.body)
		}
		c.data("!", true)
		w.expect(s, 200, "yes!", observe.ReasonNone)
		w.settled(1)
	})
}

func TestServiceBreaksAfterTheHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, retries(3, 500)))
	s := w.get("/")
	c := w.conn(0)
	c.respond(200, "par", false)
	c.fail(dropped)
	w.expect(s, 200, "par", observe.UpstreamReset)
	if s.reset != observe.UpstreamReset || len(w.codec.conns) != 1 {
		t.Errorf("reset %v, %d connections", s.reset, len(w.codec.conns))
	}
	w.settled(1)
}

func TestClientGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, retries(2, 503)))
	n := 0
	gone := func(name string, status int, until func(s *fakeStream)) {
		s := w.open("POST", "/", -1)
		until(s)
		s.leave(observe.ClientGone)
		n++
		if w.last.Status != status || w.last.Reason != observe.ClientGone {
			t.Errorf("%s: recorded %d %v", name, w.last.Status, w.last.Reason)
		}
		w.loops[0].pass(time.Second)
		w.settled(n)
	}
	gone("while sending", 499, func(s *fakeStream) { s.request("a", false) })
	gone("while waiting", 499, func(s *fakeStream) { s.request("a", true) })
	gone("in a back-off", 499, func(s *fakeStream) {
		s.request("a", false)
		w.conn(-1).respond(503, "", true)
		if !s.paused {
			t.Error("the body comes on in a back-off")
		}
	})
	gone("after a try was begun again", 499, func(s *fakeStream) {
		s.request("a", true)
		w.conn(-1).fail(dropped)
		w.loops[0].pass(time.Second)
	})
	gone("while reading", 200, func(s *fakeStream) {
		s.request("a", true)
		w.conn(-1).respond(200, "x", false)
	})
}

func TestCodecRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	w.loops[0].pass(time.Second)
	// Before the head is complete, Method and Path may be there or not.
	s := w.open("GET", "/half", 0)
	d := w.proxy.ports[0].doors[0]
	s.over = true
	d.Refused(s.x, s.sink, observe.BadField)
	if w.last.Status != 400 || w.last.Reason != observe.BadField || string(w.last.Path) != "/half" || w.last.Scheme != "http" || w.last.Route != "" {
		t.Errorf("record: %+v", w.last)
	}
	w.settled(1)
	// In the middle of a body that is being forwarded.
	s = w.open("POST", "/", -1)
	s.request("abc", false)
	c := w.conn(0)
	s.over = true
	d.Refused(s.x, s.sink, observe.BadChunk)
	if w.last.Status != 400 || w.last.Reason != observe.BadChunk || w.last.Route != "r" || c.canceled != 1 {
		t.Errorf("record: %+v, canceled %d", w.last, c.canceled)
	}
	w.settled(2)
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) (*world, *fakeStream, *fakeClient) {
		w := newWorld(t, 1)
		w.apply(shop(1, func(r *model.Route) { r.Timeouts.Request = time.Second }))
		s := w.get("/", "Upgrade", "websocket")
		c := w.conn(0)
		c.sent = false // its machine is a tunnel now
		c.respond(101, "", false)
		w.loops[0].pass(time.Hour)
		if s.status != 101 || s.ended {
			t.Fatalf("status %d, ended %v", s.status, s.ended)
		}
		return w, s, c
	}
	t.Run("the service ends", func(t *testing.T) {
		w, s, c := open(t)
		c.body = c.body[:0]
		s.send("ping", false)
		c.data("pong", false)
		if string(c.body) != "ping" || string(s.body) != "pong" {
			t.Errorf("passed %q and %q", c.body, s.body)
		}
		s.send("", true)
		if !c.sent {
			t.Error("the client's end was not passed on")
		}
		c.data("bye", true)
		w.expect(s, 101, "pongbye", observe.ReasonNone)
		w.settled(1)
	})
	t.Run("a slow service stops the client", func(t *testing.T) {
		w, s, c := open(t)
		c.buffered = highWater + 1
		s.send("x", false)
		if !s.paused {
			t.Error("the client was not paused")
		}
		w.loops[0].pass(time.Hour)
		c.buffered = 0
		c.sink.OnRequestDrained()
		if s.paused {
			t.Error("the client was not resumed")
		}
		c.fail(dropped)
		w.expect(s, 101, "", observe.UpstreamReset)
		w.settled(1)
	})
	t.Run("the client breaks", func(t *testing.T) {
		w, s, c := open(t)
		s.leave(observe.ClientGone)
		w.expect(s, 101, "", observe.ClientGone)
		if c.canceled != 1 {
			t.Error("the service's side was left open")
		}
		w.settled(1)
	})
	t.Run("it holds no Program", func(t *testing.T) {
		w, s, _ := open(t)
		if n := w.proxy.Program().pins[0].n; n != 0 {
			t.Errorf("%d pins", n)
		}
		s.leave(observe.ClientGone)
		w.settled(1)
	})
}

func TestSlowClientStopsTheService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.get("/")
	c := w.conn(0)
	s.buffered = highWater + 1
	c.respond(200, "x", false)
	if !c.paused {
		t.Fatal("the service was not paused")
	}
	s.buffered = 0
	s.sink.OnResponseDrained()
	if c.paused {
		t.Fatal("the service was not resumed")
	}
	c.data("y", true)
	w.expect(s, 200, "xy", observe.ReasonNone)
	w.settled(1)
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	times := func(request, try time.Duration) func(*model.Route) {
		return func(r *model.Route) { r.Timeouts = model.Timeouts{Request: request, Backend: try} }
	}
	t.Run("request, before the head", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, times(time.Second, -1)))
		s := w.get("/")
		w.loops[0].pass(2 * time.Second)
		w.expect(s, 504, "", observe.RequestTimeout)
		w.settled(1)
	})
	t.Run("request, after the head", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, times(time.Second, -1)))
		s := w.get("/")
		w.conn(0).respond(200, "x", false)
		w.loops[0].pass(2 * time.Second)
		w.expect(s, 200, "x", observe.RequestTimeout)
		if s.reset != observe.RequestTimeout {
			t.Error("the client cannot tell")
		}
		w.settled(1)
	})
	t.Run("request, before a back-off would end", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, times(20*time.Millisecond, -1), retries(5)))
		s := w.get("/")
		w.conn(0).fail(dropped)
		w.expect(s, 502, "", observe.UpstreamReset) // at once: nothing can follow
		if w.last.NotRetried != observe.RetryLate {
			t.Errorf("the record says %q", w.last.NotRetried)
		}
		w.settled(1)
	})
	t.Run("try", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, times(0, time.Second)))
		s := w.get("/")
		w.loops[0].pass(2 * time.Second)
		w.expect(s, 504, "", observe.UpstreamTimeout)
		w.settled(1)
	})
	t.Run("every try", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(2, times(0, time.Second), retries(1)))
		s := w.get("/")
		w.loops[0].pass(5 * time.Second)
		w.expect(s, 504, "", observe.UpstreamTimeout)
		if w.last.Attempts != 2 || w.conn(0).addr == w.conn(1).addr {
			t.Errorf("%d attempts, at %v and %v", w.last.Attempts, w.conn(0).addr, w.conn(1).addr)
		}
		w.settled(1)
	})
	t.Run("a try begins with the request's last byte", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, times(0, time.Second)))
		s := w.open("POST", "/", -1)
		s.request("a", false)
		w.conn(0).stand()
		w.loops[0].pass(10 * time.Second)
		s.send("b", false)
		w.loops[0].pass(10 * time.Second)
		if s.ended {
			t.Fatal("the service was blamed for a slow client")
		}
		s.send("", true)
		w.loops[0].pass(2 * time.Second)
		w.expect(s, 504, "", observe.UpstreamTimeout)
		w.settled(1)
	})
	t.Run("a service that takes no body", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, times(0, time.Second)))
		s := w.open("POST", "/", -1)
		s.request("a", false)
		c := w.conn(0)
		c.buffered = highWater + 1
		s.send("b", false)
		w.loops[0].pass(2 * time.Second)
		w.expect(s, 504, "", observe.UpstreamTimeout)
		w.settled(1)
	})
	t.Run("not after the head", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1, times(0, time.Second)))
		s := w.open("POST", "/", -1)
		s.request("a", false)
		w.conn(0).respond(200, "x", false)
		s.send("b", true)
		w.loops[0].pass(model.DefaultStreamIdle - time.Minute)
		w.conn(0).data("y", true)
		w.expect(s, 200, "xy", observe.ReasonNone)
		w.settled(1)
	})
}

func TestClearLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	x := w.proxy.workers[0].exchange()
	kept := map[string]bool{ // memory that stays, and what is set anew before it is read
		"w": true, "params": true, "Request": true, "Shelf": true, "tryTimer": true, "requestTimer": true, "waiter": true,
	}
	fill(reflect.ValueOf(x).Elem(), kept)
	x.Params = x.params[:3]
	x.params[2].Name = "was"
	x.clear()
	if x.params[2].Name != "" {
		t.Error("a parameter is left")
	}
	empty(t, reflect.ValueOf(x).Elem(), "exchange", kept)
}

// fill sets every plain field to something.
func fill(v reflect.Value, skip map[string]bool) {
	for i := range v.NumField() {
		f := v.Field(i)
		if skip[v.Type().Field(i).Name] {
			continue
		}
		f = reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
		switch f.Kind() {
		case reflect.Struct:
			fill(f, skip)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("was")
		case reflect.Int, reflect.Int64:
			f.SetInt(7)
		case reflect.Uint8, reflect.Uint16:
			f.SetUint(7)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 3, 8))
		}
	}
}

func empty(t *testing.T, v reflect.Value, path string, skip map[string]bool) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		at := path + "." + name
		switch {
		case skip[name]:
		case f.Kind() == reflect.Struct:
			empty(t, f, at, skip)
		case f.Kind() == reflect.Slice && f.Len() == 0:
		case !f.IsZero() && at != "exchange.mirrors" && at != "exchange.replay":
			t.Errorf("%s is %v after clear", at, f)
		}
	}
}
