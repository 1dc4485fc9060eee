package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func TestFilterAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, filters(does(201, "answer mark"))))
	s := w.open("POST", "/", 10)
	s.request("half", false)
	w.expect(s, 201, "ok", observe.Responded)
	if !strings.Contains(string(s.head), "X-Marked: 201") {
		t.Errorf("the response half did not run: %q", s.head)
	}
	s = w.open("HEAD", "/", 0)
	s.request("", true)
	w.expect(s, 201, "", observe.Responded)
	if len(s.body) != 0 || len(w.codec.conns) != 0 {
		t.Errorf("HEAD got a body (%q) or the service was asked", s.body)
	}
	w.settled(2)
}

func TestBackendFilters(t *testing.T) {
	t.Parallel()
	with := func(words string) func(*model.Route) {
		return func(r *model.Route) {
			r.Filters = []model.Filter{does(1, "mark")}
			r.Backends[0].Filters = []model.Filter{does(2, words)}
		}
	}
	both := "X-Marked: 2\r\nX-Marked: 1\r\n"
	w := newWorld(t, 1)
	w.apply(shop(1, with("mark")))
	s := w.get("/")
	w.conn(0).respond(200, "", true)
	if !strings.HasSuffix(string(s.head), both) {
		t.Errorf("response: %q", s.head)
	}
	// On naru's own answers too: see filter.
	s = w.get("/")
	w.conn(0).fail(dropped)
	if !strings.HasSuffix(string(s.head), both) {
		t.Errorf("own answer: %q", s.head)
	}
	w.apply(shop(1, with("answer mark")))
	s = w.get("/")
	if w.expect(s, 2, "ok", observe.Responded); !strings.HasSuffix(string(s.head), both) {
		t.Errorf("answer of the backend's filter: %q", s.head)
	}
	w.settled(3)
}

func TestPanicsAreOneRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, filters(does(0, "panic"))))
	s := w.open("POST", "/", 10)
	s.request("half", false)
	w.expect(s, 500, "", observe.Internal)
	if !strings.Contains(w.log.String(), "in the request half") || !strings.Contains(w.log.String(), "route=r") {
		t.Errorf("log: %s", w.log.String())
	}
	w.apply(shop(1, filters(does(0, "panic-back"))))
	s = w.get("/")
	w.conn(0).respond(200, "secret", true)
	w.expect(s, 500, "", observe.Internal)
	if strings.Contains(string(s.body), "secret") {
		t.Error("what the filter should have seen was sent")
	}
	s = w.get("/")
	w.conn(0).respond(200, "part", false) // the service is still sending
	w.expect(s, 500, "", observe.Internal)
	s = w.get("/")
	w.conn(-1).fail(dropped) // naru's own answer passes the filter too
	w.expect(s, 500, "", observe.Internal)
	s = w.get("/")
	w.conn(-1).stand()
	w.loops[0].pass(2 * model.DefaultBackendTimeout)
	w.expect(s, 500, "", observe.Internal)
	w.settled(5)
	w.apply(shop(1))
	s = w.get("/")
	w.conn(-1).respond(200, "fine", true)
	w.expect(s, 200, "fine", observe.ReasonNone)
	w.settled(6)
	w.checkTraffic(6)
}

// brokenRecorder panics, as a defect of whoever takes Records would.
type brokenRecorder struct{}

func (brokenRecorder) Write(*observe.Record) { panic("in the recorder") }

func TestPanicAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	w.proxy.SetRecorder(brokenRecorder{})
	s := w.get("/")
	w.conn(0).respond(200, "ok", true)
	if s.status != 200 || !s.ended {
		t.Errorf("status %d, ended %v", s.status, s.ended)
	}
	w.proxy.SetRecorder(nil)
	w.get("/")
	w.conn(0).respond(200, "ok", true)
	w.settled(0)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := shop(1)
	c.Listeners[0].Hostname = "*.example"
	c.Routes[0].Matches = []model.Match{{PathKind: model.PathPrefix, Path: "/here"}}
	c.Routes = append(c.Routes,
		&model.Route{Name: "empty", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/empty"}}},
		&model.Route{Name: "gone", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/gone"}},
			Backends: []model.Backend{{Weight: 1}}},
		&model.Route{Name: "wrong", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/wrong"}},
			Filters: []model.Filter{does(0, "fail")}, Backends: []model.Backend{{Service: "a", Weight: 1}}},
		&model.Route{Name: "wronged", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/wronged"}},
			Backends: []model.Backend{{Service: "a", Weight: 1, Filters: []model.Filter{does(0, "fail")}}}})
	w := newWorld(t, 1)
	w.apply(c)
	w.expect(w.get("/there"), 404, "", observe.NoRoute)
	w.expect(w.get("/a/../../b"), 400, "", observe.BadTarget)
	w.expect(w.get("/empty"), 500, "", observe.NoBackend)
	w.expect(w.get("/gone"), 500, "", observe.InvalidBackend)
	w.expect(w.get("/wrong"), 500, "", observe.InvalidFilter)
	w.expect(w.get("/wronged"), 500, "", observe.InvalidFilter)
	s := w.open("GET", "/here", 0)
	s.x.Request.Authority = []byte("elsewhere.test")
	s.request("", true)
	w.expect(s, 404, "", observe.NoListener)
	w.settled(7)
	w.checkTraffic2(7, "", "empty", "gone", "wrong", "wronged", "r")
}

// checkTraffic2 is checkTraffic for other routes.
func (w *world) checkTraffic2(n uint64, names ...string) {
	w.t.Helper()
	var sum observe.Totals
	for _, name := range names {
		w.proxy.opt.Registry.Traffic(observe.ScopeRoute, name, 0).Read(&sum)
	}
	if sum.Requests() != n {
		w.t.Errorf("%d requests were counted, of %d", sum.Requests(), n)
	}
}

func TestBeforeTheFirstProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := &fakeStream{w: w}
	s.beginAt(&door{worker: w.proxy.workers[0]})
	s.ask("GET", "/", 0)
	s.request("", true)
	w.expect(s, 503, "", observe.NoProgram)
	if w.proxy.Active() != 0 || w.wrote != 1 {
		t.Errorf("%d active, %d records", w.proxy.Active(), w.wrote)
	}
}

func TestMisdirected(t *testing.T) {
	t.Parallel()
	c := shop(1)
	c.Listeners = append(c.Listeners, &model.Listener{Name: "b", Port: 8080, Protocol: model.HTTP, Hostname: "b.example"})
	c.Routes[0].Parents = []string{"l", "b"}
	w := newWorld(t, 1)
	w.apply(c)
	s := w.open("GET", "/", 0)
	s.peer.TLS = &wire.TLSState{ServerName: "b.example"}
	s.request("", true)
	w.expect(s, 421, "", observe.Misdirected)
	if w.last.Scheme != "https" {
		t.Errorf("scheme %q", w.last.Scheme)
	}
	w.settled(1)
}

func TestRecordTellsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	c := shop(1, filters(does(0, "rewrite")))
	c.Services[0].Host = "inside.example"
	w := newWorld(t, 1)
	w.apply(c)
	w.get("/asked", "User-Agent", "t")
	if got := w.conn(0); string(got.path) != "/rewritten" || string(got.host) != "inside.example" {
		t.Errorf("the service got %s %s", got.host, got.path)
	}
	w.conn(0).respond(200, "", true)
	r := &w.last
	if string(r.Host) != "a.example" || string(r.Path) != "/asked" || string(r.Method) != "GET" || string(r.UserAgent) != "t" || len(r.RequestID) != 32 || r.Service != "a" || r.Listener != "l" {
		t.Errorf("record: %+v", r)
	}
	w.settled(1)
}

func TestMirrors(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*world, *fakeStream, *fakeClient, *fakeClient) {
		c := shop(1, mirrored)
		c.Services[0].Host = "inside.example"
		w := newWorld(t, 1)
		w.apply(c)
		s := w.open("POST", "/", -1)
		s.request("a", false)
		return w, s, w.conn(0), w.conn(1)
	}
	t.Run("answers later", func(t *testing.T) {
		w, s, m, c := start(t)
		if string(m.host) != "a.example" || string(c.host) != "inside.example" {
			t.Errorf("hosts %s and %s", m.host, c.host)
		}
		s.send("b", true)
		c.respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
		if string(m.body) != "ab" || m.x == nil {
			t.Errorf("the mirror got %q, or was given up", m.body)
		}
		m.respond(200, "x", false)
		m.data("y", true)
		w.settled(1)
		if n := len(w.proxy.workers[0].spare); n != 1 {
			t.Errorf("%d mirrors are spare", n)
		}
		counted(t, w, "2xx 1")
	})
	t.Run("answers earlier", func(t *testing.T) {
		w, s, m, c := start(t)
		m.respond(200, "", true)
		s.send("b", true)
		c.respond(200, "", true)
		w.settled(1)
		if n := len(w.proxy.workers[0].spare); n != 1 {
			t.Errorf("%d mirrors are spare", n)
		}
		counted(t, w, "2xx 1")
	})
	t.Run("is slow to take the body", func(t *testing.T) {
		w, s, m, c := start(t)
		m.buffered = highWater + 1
		s.send("b", false)
		if m.canceled != 1 || s.paused {
			t.Error("the mirror holds up the request")
		}
		s.send("c", true)
		c.respond(200, "", true)
		w.settled(1)
		counted(t, w, "behind 1")
	})
	t.Run("never answers", func(t *testing.T) {
		w, s, m, c := start(t)
		m.stand()
		s.send("b", true)
		c.respond(200, "", true)
		w.loops[0].pass(2 * mirrorTime)
		if m.canceled != 1 {
			t.Error("the mirror waits for ever")
		}
		w.settled(1)
		counted(t, w, "upstream_timeout 1")
	})
	t.Run("breaks", func(t *testing.T) {
		w, s, m, c := start(t)
		m.fail(dropped)
		s.send("b", true)
		c.respond(200, "fine", true)
		w.expect(s, 200, "fine", observe.ReasonNone)
		w.settled(1)
		counted(t, w, "upstream_reset 1")
	})
	t.Run("is copied once for several tries", func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(2, mirrored, retries(1)))
		s := w.get("/")
		w.conn(0).respond(200, "", true)
		w.conn(1).fail(dropped)
		w.loops[0].pass(time.Second)
		w.conn(2).respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
		w.settled(1)
		counted(t, w, "2xx 1")
	})
	t.Run("of a request that never ends", func(t *testing.T) {
		w, _, m, c := start(t)
		c.respond(413, "", true)
		if m.canceled != 1 {
			t.Error("the mirror waits for the rest")
		}
		w.settled(1)
		counted(t, w, "incomplete 1")
	})
	t.Run("answers in part", func(t *testing.T) {
		w, s, m, c := start(t)
		s.send("b", true)
		c.respond(200, "", true)
		m.respond(500, "x", false)
		m.fail(dropped)
		w.settled(1)
		counted(t, w, "upstream_reset 1")
	})
	t.Run("has nobody to go to", func(t *testing.T) {
		c := shop(1, mirrored)
		c.Services[1].Endpoints = nil
		w := newWorld(t, 1)
		w.apply(c)
		s := w.get("/")
		w.conn(0).respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
		w.settled(1)
		counted(t, w, "no_endpoint 1")
	})
	t.Run("has no room", func(t *testing.T) {
		c := shop(1, mirrored)
		c.Services[1].Limits = &model.ServiceLimits{Requests: 1}
		w := newWorld(t, 1)
		w.apply(c)
		for range 2 {
			w.get("/")
		}
		// The first copy waits for its answer, so the second is not sent.
		w.conn(1).respond(200, "", true)
		w.conn(2).respond(200, "", true)
		w.conn(0).respond(503, "", true)
		w.settled(2)
		counted(t, w, "5xx 1", "overloaded 1")
	})
}

// counted compares what is counted of the mirrors' copies to m.
func counted(t *testing.T, w *world, want ...string) {
	t.Helper()
	var got []string
	w.proxy.opt.Registry.Collect(func(f observe.Family) {
		if f.Name == "naru_mirrored_total" {
			f.Each(func(s *observe.Sample) { got = append(got, fmt.Sprint(s.Values[1], " ", s.Value)) })
		}
	})
	if !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, func(r *model.Route) {
		r.Backends = []model.Backend{{Service: "a", Weight: 3}, {Service: "m", Weight: 1}, {Service: "a", Weight: 0}}
	}))
	got := map[string]int{}
	for range 4000 {
		w.get("/")
		for _, c := range w.codec.conns {
			if c.x != nil {
				got[c.addr.String()]++
				c.respond(200, "", true)
			}
		}
	}
	if n := got["10.0.9.9:80"]; n < 850 || n > 1150 || n+got["10.0.0.1:80"] != 4000 {
		t.Errorf("shares: %v", got)
	}
}

func TestAllocations(t *testing.T) {
	one := exchangeOf(t, shop(1, mirrored, retries(1, 503), filters(does(5, "mark"))))
	if n := testing.AllocsPerRun(200, one); n != 0 {
		t.Errorf("%v allocations for an exchange", n)
	}
}

// TestManyBodiesAllocateNothing: as many requests with bodies as run at once on a few
// connections of HTTP/2.
func TestManyBodiesAllocateNothing(t *testing.T) {
	const most = 300
	w := newWorld(t, 1)
	w.apply(shop(1))
	w.proxy.SetRecorder(quiet0{})
	d := w.proxy.ports[0].doors[0]
	body := []byte("a body of some length")
	method := []byte("PUT")
	streams := make([]*fakeStream, most)
	for i := range streams {
		streams[i] = &fakeStream{w: w}
		streams[i].peer.Remote = addrPort
	}
	round := func() {
		for _, s := range streams {
			s.anew(d, method)
			s.sink.OnRequest(nil, false)
			s.sink.OnRequestData(body, true)
		}
		for _, c := range w.codec.conns {
			if c.x != nil {
				c.answers()
				c.over(true).OnResponse(nil, true)
			}
		}
		for _, s := range streams {
			if s.status != 200 || !s.ended {
				t.Fatalf("status %d, ended %v", s.status, s.ended)
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(5, round); n != 0 {
		t.Errorf("%v allocations for %d exchanges", n, most)
	}
}

func BenchmarkExchange(b *testing.B) {
	one := exchangeOf(b, shop(1))
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

// exchangeOf gives what carries one POST in two parts and its response.
func exchangeOf(t testing.TB, c *model.Config) func() {
	w := newWorld(t, 1)
	w.apply(c)
	w.loops[0].pass(time.Second)
	w.proxy.SetRecorder(quiet0{})
	d := w.proxy.ports[0].doors[0]
	s := &fakeStream{w: w}
	s.peer.Remote = addrPort
	body := []byte("a body of some length")
	method := []byte("POST")
	one := func() {
		s.anew(d, method)
		s.sink.OnRequest(body, false)
		s.sink.OnRequestData(body, true)
		for _, c := range w.codec.conns {
			if c.x != nil {
				c.answers()
				c.sink.OnResponse(body, false)
				c.over(true).OnResponseData(body, true)
			}
		}
		if s.status != 200 || !s.ended {
			t.Fatalf("status %d, ended %v", s.status, s.ended)
		}
	}
	one()
	return one
}

// anew begins another request on the stream, allocating nothing.
func (s *fakeStream) anew(d *door, method []byte) {
	s.beginAt(d)
	s.status, s.ended, s.body = 0, false, s.body[:0]
	h := &s.x.Request
	h.Minor, h.Length, h.Method, h.Path, h.Authority = 1, -1, method, thingsPath, thingsHost
}

// answers begins a response, allocating nothing.
func (c *fakeClient) answers() {
	r := &c.x.Response
	c.x.Shelf.Lend(r)
	r.Reset()
	r.Status, r.Length = 200, -1
	c.begun = true
}

var thingsPath, thingsHost = []byte("/things/7"), []byte("a.example")

// quiet0 takes Records and does nothing.
type quiet0 struct{}

func (quiet0) Write(*observe.Record) {}

var _ filter.Request = (*testFilter)(nil)
