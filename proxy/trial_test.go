package proxy

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/tunnel"
)

// TestTrial: what counts for a rollout is how the service did, whatever was made
// of it for the client, and nothing else.
func TestTrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	rolling := func(live bool) func(*model.Route) {
		return func(r *model.Route) {
			r.Rollout = &model.Rollout{Name: "orders", To: r.Backends[0].Service, Run: "run", Live: live}
		}
	}
	w.apply(shop(1, rolling(true), retries(1, 503)))
	counts := func(requests, failed, times uint64) {
		t.Helper()
		all := w.proxy.opt.Registry.Trials()
		if len(all) != 1 || all[0].Run != "run" {
			t.Fatalf("trials %v", all)
		}
		if c := all[0].Arms[observe.Canary]; c.Requests != requests || c.Failed != failed || c.Times.Total() != times {
			t.Errorf("%d requests, %d failed, %d times; want %d, %d, %d", c.Requests, c.Failed, c.Times.Total(), requests, failed, times)
		}
		if b := all[0].Arms[observe.Baseline]; b.Requests != 0 {
			t.Errorf("the baseline has %d", b.Requests)
		}
	}
	s := w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(0).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	counts(1, 0, 1)
	s = w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(500, "", true)
	w.expect(s, 500, "", observe.ReasonNone)
	counts(2, 1, 2)
	s = w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(501, "", true) // the request's fault
	w.expect(s, 501, "", observe.ReasonNone)
	counts(3, 1, 3)
	// What was tried again has failed, although nobody has seen it.
	s = w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(503, "", true)
	w.loops[0].pass(time.Second)
	w.conn(-1).respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	counts(4, 2, 4)
	// A pooled connection that turned out to be closed has not.
	s = w.get("/")
	w.conn(-1).fail(stale)
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(200, "", true)
	w.expect(s, 200, "", observe.ReasonNone)
	counts(5, 2, 5)
	// Who goes away has waited at least so long; it says nothing else.
	s = w.get("/")
	w.loops[0].pass(3 * time.Second)
	if c := w.proxy.opt.Registry.Trials()[0].Arms[observe.Canary]; c.Begun != 6 || c.Headed != 5 {
		t.Errorf("%d have begun and %d have a head, while one waits", c.Begun, c.Headed)
	}
	s.leave(observe.ClientGone)
	counts(5, 2, 6)
	// Cut off in mid-response.
	w.get("/")
	w.loops[0].pass(5 * time.Millisecond)
	w.conn(-1).respond(200, "half", false)
	w.conn(-1).fail(dropped)
	counts(6, 3, 7)
	w.settled(7)
	if c := w.proxy.opt.Registry.Trials()[0].Arms[observe.Canary]; c.Begun != 7 || c.Headed != 7 {
		t.Errorf("%d have begun and %d have a head", c.Begun, c.Headed)
	}
	// It is over: nobody counts, and what was is forgotten.
	w.apply(shop(1, rolling(false)))
	s = w.get("/")
	w.conn(-1).respond(500, "", true)
	w.expect(s, 500, "", observe.ReasonNone)
	if all := w.proxy.opt.Registry.Trials(); len(all) != 0 {
		t.Errorf("trials %v", all)
	}
}

// TestBlame: what naru refuses by itself, or cannot do, is not the service's fault;
// that a service cannot be reached, breaks off or is late is.
func TestBlame(t *testing.T) {
	t.Parallel()
	blamed := 0
	for why := observe.ReasonNone + 1; why < observe.Reasons; why++ {
		x := &exchange{}
		if status := why.Info().Status; x.fault(&observe.Record{Reason: why, Status: status}) == services {
			if blamed++; status < 500 {
				t.Errorf("%s (%d) is the service's fault", why, status)
			}
		}
	}
	if blamed != 15 {
		t.Errorf("%d reasons are the service's fault", blamed)
	}
	for _, why := range []observe.Reason{observe.Internal, observe.Draining, observe.NoProgram, observe.NoIdentity, observe.InvalidBackend, observe.InvalidFilter, observe.PortRemoved, observe.ClientGone, observe.PolicyDenied} {
		if x := (&exchange{}); x.fault(&observe.Record{Reason: why, Status: why.Info().Status}) != nobodys {
			t.Errorf("%s is the service's fault", why)
		}
	}
}

// rolls is a configuration with a rollout from the service "m", of one endpoint, to
// "a", of n, which gets share of a million requests.
func rolls(n, share int, change ...func(*model.Route)) *model.Config {
	cfg := shop(n, append(change, func(r *model.Route) {
		r.Rollout = &model.Rollout{Name: "orders", To: "a", Run: "run", Live: true}
		r.Backends = model.Weigh([]model.Backend{{Service: "m", Weight: 1}, {Service: "a"}}, "a", share)
	})...)
	return cfg
}

// TestFallback: a request that the new version could not be sent goes to the old
// one, and counts against the new one.
func TestFallback(t *testing.T) {
	t.Parallel()
	timeout := wire.Failure{Reason: observe.ConnectTimeout, Unsent: true}
	refused := wire.Failure{Reason: observe.UpstreamReset, Unsent: true, Reused: true, Seen: true}
	off := func(r *model.Route) { r.Retry = &model.Retry{} }
	filtered := func(r *model.Route) {
		r.Backends[1].Filters = []model.Filter{does(200, "mark")}
	}
	const nearly = model.Million - 1 // one in a million is not drawn
	for _, c := range []struct {
		name      string
		endpoints int
		share     int
		rule      func(*model.Route)
		fails     []wire.Failure // of the tries at the new version
		falls     bool
	}{
		{"no endpoint", 0, nearly, nil, nil, true},
		{"no endpoint, and it gets everything", 0, model.Million, nil, nil, true},
		{"refused", 1, nearly, nil, []wire.Failure{unsent}, true},
		{"refused by each", 3, nearly, nil, []wire.Failure{unsent, unsent, unsent}, true},
		{"refused by more than are tried", 6, nearly, nil, []wire.Failure{unsent, unsent, unsent, unsent}, true},
		{"refused, with a retry of its own", 1, nearly, retries(3, 503), []wire.Failure{unsent}, true},
		{"one that does not answer: nobody waits for the next", 3, nearly, nil, []wire.Failure{timeout}, true},
		{"asked to go elsewhere by all streams", 1, nearly, nil, []wire.Failure{refused, refused, refused, refused}, true},
		{"off", 1, nearly, off, []wire.Failure{unsent}, false},
		{"broken off: it may have been sent", 1, nearly, nil, []wire.Failure{dropped}, false},
		{"with a filter of its own", 1, nearly, filtered, []wire.Failure{unsent}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			cfg := rolls(c.endpoints, c.share)
			if c.rule != nil {
				c.rule(cfg.Routes[0])
			}
			cfg.Services[0].Host = "next.example" // the old one has the client's
			w.apply(cfg)
			s := w.open("POST", "/", 4)
			s.request("body", true)
			for _, f := range c.fails {
				k := w.busy()
				if string(k.host) != "next.example" {
					t.Fatalf("%q was asked", k.host)
				}
				k.fail(f)
			}
			if c.falls {
				k := w.busy()
				if k.addr.Addr().String() != "10.0.9.9" || string(k.body) != "body" || string(k.host) != "a.example" {
					t.Fatalf("%v of %q got %q", k.addr, k.host, k.body)
				}
				w.loops[0].pass(time.Millisecond)
				k.respond(200, "old", true)
				w.expect(s, 200, "old", observe.ReasonNone)
				if w.last.Service != "m" || w.last.Retried != "fallback" {
					t.Errorf("the record says %q, retried for %q", w.last.Service, w.last.Retried)
				}
				if made, won, _ := w.retried(); made["fallback"] != 1 || won["fallback"] != 1 {
					t.Errorf("made %v, won %v", made, won)
				}
			} else if !s.ended {
				t.Fatal("another try is made")
			}
			all := w.proxy.opt.Registry.Trials()
			if k, o := all[0].Arms[observe.Canary], all[0].Arms[observe.Baseline]; k.Begun != 1 || k.Headed != 1 || k.Requests != 1 || k.Failed != 1 || o.Begun != 0 || o.Requests != 0 {
				t.Errorf("the new version has %+v, the old one %+v", k, o)
			}
			for _, service := range []string{"a", "m"} {
				sum, of := w.proxy.opt.Registry.Totals(observe.ScopeService, service), uint64(1)
				if service == "m" && !c.falls {
					of = 0
				}
				if sum.Active != 0 || sum.Requests() != of {
					t.Errorf("service %s: %d requests, %d have not ended", service, sum.Requests(), sum.Active)
				}
			}
			w.settled(1)
		})
	}
}

// TestFallbackEnds: nobody falls twice, and an old version that cannot be asked
// either is what the client hears of.
func TestFallbackEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(rolls(1, model.Million))
	s := w.get("/")
	w.busy().fail(unsent)
	w.busy().fail(wire.Failure{Reason: observe.ConnectTimeout, Unsent: true})
	w.expect(s, 504, "", observe.ConnectTimeout)
	// An answer of the old one, whatever it is, is the answer; the new one has failed.
	s = w.get("/")
	w.busy().fail(unsent)
	w.busy().respond(500, "no", true)
	w.expect(s, 500, "no", observe.ReasonNone)
	if k := w.proxy.opt.Registry.Trials()[0].Arms[observe.Canary]; k.Requests != 2 || k.Failed != 2 {
		t.Errorf("the new version has %+v", k)
	}
	// A client that goes meanwhile leaves nothing behind.
	s = w.get("/")
	w.busy().fail(unsent)
	s.leave(observe.ClientGone)
	// It is over: what is written is what serves.
	cfg := rolls(1, model.Million)
	cfg.Routes[0].Rollout.Live = false
	w.apply(cfg)
	s = w.get("/")
	w.busy().fail(unsent)
	w.expect(s, 502, "", observe.ConnectRefused)
	w.settled(4)
}

// TestFallbackRests: the old version is left alone as it asks, whatever the new one has
// asked for.
func TestFallbackRests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := rolls(1, model.Million)
	retries(4, 503)(cfg.Routes[0])
	w.apply(cfg)
	s := w.get("/")
	w.busy().answerStatus(503, "Retry-After", "1")
	w.loops[0].pass(1200 * time.Millisecond)
	w.busy().fail(unsent)
	w.busy().answerStatus(503, "Retry-After", "1")
	sent := w.sent()
	if w.loops[0].pass(900 * time.Millisecond); w.sent() != sent {
		t.Error("the old version is not left alone")
	}
	w.loops[0].pass(300 * time.Millisecond)
	w.busy().respond(200, "old", true)
	w.expect(s, 200, "old", observe.ReasonNone)
	w.settled(1)
}

// TestFallbackOfTooMuch: also what the new version's limits do not let in was not
// sent, whether it has waited for its turn or not.
func TestFallbackOfTooMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := rolls(1, model.Million)
	cfg.Services[0].Limits = &model.ServiceLimits{Requests: 1, Pending: 1, Wait: time.Second}
	w.apply(cfg)
	first := w.get("/")
	kept := w.busy()
	kept.stand() // a connection that is being made counts as one that waits
	waits := w.open("POST", "/", 4)
	waits.request("body", true)
	beyond := w.get("/")
	old := w.conn(-1)
	if old.addr.Addr().String() != "10.0.9.9" || old.x == nil {
		t.Fatalf("what is beyond goes to %v", old.addr)
	}
	old.respond(200, "beyond", true)
	w.expect(beyond, 200, "beyond", observe.ReasonNone)
	w.loops[0].pass(2 * time.Second)
	if string(old.body) != "body" || old.x == nil {
		t.Fatalf("what has waited in vain brings %q", old.body)
	}
	old.respond(200, "waited", true)
	w.expect(waits, 200, "waited", observe.ReasonNone)
	kept.respond(200, "first", true)
	w.expect(first, 200, "first", observe.ReasonNone)
	if k := w.proxy.opt.Registry.Trials()[0].Arms[observe.Canary]; k.Requests != 3 || k.Failed != 2 {
		t.Errorf("the new version has %+v", k)
	}
	w.settled(3)
}

// TestFallbackInTurn: whose turn comes when the new version is gone may have to wait at
// the old one, and waits at the new one no more.
func TestFallbackInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config := func(n int) *model.Config {
		cfg := rolls(n, model.Million)
		for _, v := range cfg.Services {
			v.Limits = &model.ServiceLimits{Requests: 1, Pending: 1, Wait: time.Second}
		}
		return cfg
	}
	waiting := func() (n int) {
		w.set.Stats(func(st *upstream.ServiceStats) { n += st.Pending })
		return n
	}
	w.apply(config(1))
	fell := w.get("/")
	w.busy().fail(unsent)
	old := w.busy()
	old.stand()
	first := w.get("/")
	kept := w.conn(-1)
	kept.stand()
	waits := w.get("/")
	w.apply(config(0))
	kept.respond(200, "first", true)
	w.expect(first, 200, "first", observe.ReasonNone)
	if w.run(); waiting() != 1 {
		t.Errorf("%d wait, want one at the old version", waiting())
	}
	old.respond(200, "fell", true)
	w.expect(fell, 200, "fell", observe.ReasonNone)
	w.run()
	w.busy().respond(200, "waited", true)
	w.expect(waits, 200, "waited", observe.ReasonNone)
	if waiting() != 0 {
		t.Errorf("%d wait at last", waiting())
	}
	w.settled(3)
}

// TestFallbackOfTheUnseen: where the proxy of the new version's only workload says that
// this does not listen, the old one is asked.
func TestFallbackOfTheUnseen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := rolls(1, model.Million)
	set := upstream.NewSet(upstream.Env{
		Driver: w.driver, Codec: w.codec, HTTP2: w.codec, Tunnels: tunnel.Tunnels{},
		Identity: func(string, string, string) (wire.Dialer, error) { return wire.PlainDialer{}, nil },
	})
	t.Cleanup(set.Close)
	w.proxy.opt.Clusters = set
	e := cfg.Services[0].Endpoints[0]
	e.Identity, e.Authority = "spiffe://example.org/ns/shop/sa/next", "10.0.0.1:80"
	w.apply(cfg)
	for _, end := range []bool{true, false} {
		s := w.open("POST", "/", 4)
		s.request("body", true)
		k := w.busy()
		k.stand()
		h := &k.x.Response
		k.x.Shelf.Lend(h)
		h.Reset()
		h.Status, h.Length, h.Minor = 502, -1, 1
		h.AddString(keyProxyStatus, string(inboundName)+`"; error=connection_refused`+string(hopDetails)+observe.ConnectRefused.String()+`"`)
		k.begun = true
		k.over(end).OnResponse([]byte("nobody"), end)
		if k = w.busy(); k.addr.Addr().String() != "10.0.9.9" || string(k.body) != "body" {
			t.Fatalf("%v got %q", k.addr, k.body)
		}
		k.respond(200, "old", true)
		w.expect(s, 200, "old", observe.ReasonNone)
	}
	if k := w.proxy.opt.Registry.Trials()[0].Arms[observe.Canary]; k.Requests != 2 || k.Failed != 2 || k.Headed != 2 {
		t.Errorf("the new version has %+v", k)
	}
	w.settled(2)
}

// TestFallbackOfASession: who is in a session with an endpoint of the new version
// that is gone is led to the old one, and told so.
func TestFallbackOfASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(rolls(1, model.Million, func(r *model.Route) { r.Session = &model.Session{Kind: model.SessionCookie} }))
	s := w.get("/")
	w.served()
	show := s.shown("Set-Cookie")
	w.conn(0).end(nil)
	w.run()
	s = w.get("/", "Cookie", show)
	w.busy().fail(unsent)
	if addr := w.served(); addr.Addr().String() != "10.0.9.9" {
		t.Fatalf("%v was asked", addr)
	}
	if now := s.shown("Set-Cookie"); now == "" || now == show {
		t.Errorf("the client was told %q", now)
	}
	w.settled(2)
}
