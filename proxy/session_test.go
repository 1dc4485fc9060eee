package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// shown is what the client has been told to show: the cookie's pair, or the
// header's value; "" nothing.
func (s *fakeStream) shown(header string) string {
	for _, line := range strings.Split(string(s.head), "\r\n") {
		if v, ok := strings.CutPrefix(line, header+": "); ok {
			pair, _, _ := strings.Cut(v, ";")
			return pair
		}
	}
	return ""
}

// TestSessionStays: a client stays with its endpoint, also when endpoints are
// added, another proxy serves it, or this one is started anew; when the endpoint
// goes, it gets another and is told so.
func TestSessionStays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		noun       model.Session
		told, show string
	}{
		{model.Session{Kind: model.SessionCookie}, "Set-Cookie", "Cookie"},
		{model.Session{Kind: model.SessionHeader, Name: "X-Session"}, "X-Session", "X-Session"},
	} {
		kept := func(r *model.Route) { r.Session = &c.noun }
		w := newWorld(t, 1)
		w.apply(shop(5, kept))
		s := w.get("/")
		home := w.served()
		show := s.shown(c.told)
		if show == "" {
			t.Fatalf("%s: the client was told nothing: %q", c.noun.Kind, s.head)
		}
		if strings.Contains(show, home.Addr().String()) {
			t.Errorf("%s: the address is told: %q", c.noun.Kind, show)
		}
		other := newWorld(t, 1) // another proxy, or this one later
		other.apply(shop(7, kept))
		for _, w := range []*world{w, other} {
			for range 20 {
				s := w.get("/", c.show, show)
				if addr := w.served(); addr != home {
					t.Fatalf("%s: a request of the session went to %v, not %v", c.noun.Kind, addr, home)
				}
				if again := s.shown(c.told); again != "" {
					t.Fatalf("%s: the client is told what it knows: %q", c.noun.Kind, again)
				}
			}
		}
		// The endpoint goes.
		cfg := shop(5, kept)
		var left []*model.Endpoint
		for _, e := range cfg.Services[0].Endpoints {
			if e.Host != home.Addr().String() {
				left = append(left, e)
			}
		}
		cfg.Services[0].Endpoints = left
		w.apply(cfg)
		s = w.get("/", c.show, show)
		next := w.served()
		if now := s.shown(c.told); now == "" || now == show {
			t.Fatalf("%s: the endpoint is gone and the client was told %q", c.noun.Kind, now)
		} else {
			show = now
		}
		for range 20 {
			w.get("/", c.show, show)
			if addr := w.served(); addr != next {
				t.Fatalf("%s: the new session went to %v, not %v", c.noun.Kind, addr, next)
			}
		}
		w.settled(42)
	}
}

// What a client makes up leads where requests without a session go, and nowhere
// else.
func TestSessionOfNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, func(r *model.Route) { r.Session = &model.Session{Kind: model.SessionCookie} }))
	for _, made := range []string{"", "x", "AAAAAAAAAAAAAAAA", "________________", "!!!!!!!!!!!!!!!!", "10.0.9.9:80", strings.Repeat("A", 4000)} {
		s := w.get("/", "Cookie", model.DefaultSessionName+"="+made)
		if addr := w.served().Addr().String(); addr != "10.0.0.1" && addr != "10.0.0.2" {
			t.Errorf("%q led to %s", made, addr)
		}
		if s.shown("Set-Cookie") == "" {
			t.Errorf("who showed %q was not told of a session", made)
		}
	}
}

// Of several backends it is the one with the endpoint, whatever the weights say.
func TestSessionIsWithABackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := shop(2, func(r *model.Route) {
		r.Session = &model.Session{Kind: model.SessionCookie}
		r.Backends = append(r.Backends, model.Backend{Service: "m", Weight: 1})
	})
	w.apply(cfg)
	for range 10 {
		s := w.get("/")
		home, show := w.served(), s.shown("Set-Cookie")
		for range 10 {
			w.get("/", "Cookie", show)
			if addr := w.served(); addr != home {
				t.Fatalf("a session with %v went to %v", home, addr)
			}
		}
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(3, func(r *model.Route) {
		r.Session = &model.Session{Kind: model.SessionCookie, Name: "s", Lifetime: time.Hour, Permanent: true}
	}))
	s := w.get("/")
	w.served()
	show := s.shown("Set-Cookie")
	if !strings.HasPrefix(show, "s=") || !strings.Contains(string(s.head), "; Max-Age=3600") || !strings.Contains(string(s.head), "; HttpOnly") {
		t.Errorf("the client was told %q", s.head)
	}
	w.loops[0].pass(59 * time.Minute)
	s = w.get("/", "Cookie", show)
	if w.served(); s.shown("Set-Cookie") != "" {
		t.Error("the session was over before its time")
	}
	w.loops[0].pass(2 * time.Minute)
	s = w.get("/", "Cookie", show)
	if w.served(); s.shown("Set-Cookie") == "" {
		t.Error("the session goes on after its time")
	}
}

// An endpoint that cannot be connected to is left, and the client told.
func TestSessionLeavesTheUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(3, func(r *model.Route) { r.Session = &model.Session{Kind: model.SessionCookie} }))
	s := w.get("/")
	home, show := w.served(), s.shown("Set-Cookie")
	w.conn(0).end(nil)
	w.run()
	s = w.get("/", "Cookie", show)
	if c := w.conn(-1); c.addr != home {
		t.Fatalf("the session went to %v", c.addr)
	}
	w.conn(-1).fail(wire.Failure{Reason: observe.ConnectRefused, Unsent: true})
	if addr := w.served(); addr == home {
		t.Error("the second try went to the same endpoint")
	}
	if now := s.shown("Set-Cookie"); now == "" || now == show {
		t.Errorf("the client was told %q", now)
	}
}
