package proxy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// fakeAuthorizer refuses what a rule of its policies matches, all of which are
// denies, and notes what it was asked about again.
type fakeAuthorizer struct {
	policies []*model.Policy
	again    *[]string
}

func (a *fakeAuthorizer) refuses(x *filter.Exchange) bool {
	h := &x.Request
	for _, p := range a.policies {
		for _, r := range p.Rules {
			ok := (len(r.Methods) == 0 || slices.Contains(r.Methods, string(h.Method))) &&
				(len(r.Paths) == 0 || slices.Contains(r.Paths, string(h.Path))) &&
				(len(r.Hosts) == 0 || slices.Contains(r.Hosts, string(h.Authority)))
			for _, f := range r.Headers {
				v, _ := h.Get(wire.KeyOf(f.Name))
				ok = ok && string(v) == f.Value
			}
			for _, c := range r.Claims {
				ok = ok && x.Caller != nil && slices.Contains(c.Values, x.Caller.Subject)
			}
			if ok {
				return true
			}
		}
	}
	return false
}

func (a *fakeAuthorizer) Connection(*wire.Peer, uint16, string) filter.Decision {
	return filter.Decision{}
}
func (a *fakeAuthorizer) Request(uint16) filter.Request { return a }
func (a *fakeAuthorizer) OnRequest(x *filter.Exchange) filter.Verdict {
	if a.refuses(x) {
		return x.Refuse(observe.PolicyDenied)
	}
	return filter.Continue
}
func (a *fakeAuthorizer) Recheck(_ *wire.Peer, _ uint16, _ string, x *filter.Exchange) filter.Decision {
	*a.again = append(*a.again, string(x.Request.Path))
	if !a.refuses(x) {
		return filter.Decision{}
	}
	x.Refuse(observe.PolicyDenied)
	return filter.Decision{Why: observe.PolicyDenied, Detail: errors.New("policy no")}
}
func (a *fakeAuthorizer) Bars(p *wire.Peer, port uint16) bool {
	return slices.ContainsFunc(a.policies, func(p *model.Policy) bool { return p.Closed })
}
func (a *fakeAuthorizer) Same(o filter.Authorizer) bool {
	return slices.Equal(a.policies, o.(*fakeAuthorizer).policies)
}

// guarded is a world whose one listener is under the policies that it is given.
func guarded(t testing.TB) (w *world, again *[]string, apply func(change func(*model.Route), rules ...model.PolicyRule)) {
	w, again = newWorld(t, 1), new([]string)
	w.proxy.opt.Authorize = func(all []*model.Policy, _ filter.Target) (filter.Authorizer, error) {
		return &fakeAuthorizer{all, again}, nil
	}
	return w, again, func(change func(*model.Route), rules ...model.PolicyRule) {
		t.Helper()
		c := shop(1, change)
		c.Policies = []*model.Policy{{Name: "no", Action: model.Deny, Rules: rules}}
		w.apply(c)
	}
}

func plainly(*model.Route) {}

// TestRecheckEnds: what a new policy forbids is ended as its protocol has it,
// whatever filters have made of the request since; the rest goes on.
func TestRecheckEnds(t *testing.T) {
	t.Parallel()
	deny := model.PolicyRule{
		Methods: []string{"GET"}, Paths: []string{"/secret"}, Hosts: []string{"a.example"},
		Headers: []model.FieldMatch{{Name: "X-Forwarded-For", Value: "192.0.2.9"}, {Name: "X-Kind", Value: "old"}},
	}
	for _, c := range []struct {
		name    string
		fields  []string
		respond func(*fakeClient)
		expect  func(w *world, s *fakeStream)
	}{
		{"before its response", nil, func(*fakeClient) {}, func(w *world, s *fakeStream) {
			w.expect(s, 403, string(wire.Problem(observe.PolicyDenied)), observe.PolicyDenied)
		}},
		{"in its response", nil, func(c *fakeClient) { c.respond(200, "one", false) }, func(w *world, s *fakeStream) {
			if w.expect(s, 200, "one", observe.PolicyDenied); s.reset != observe.PolicyDenied {
				t.Errorf("not reset: %v", s.reset)
			}
		}},
		{"events", nil, func(c *fakeClient) {
			c.stand()
			c.x.Shelf.Lend(&c.x.Response)
			c.x.Response.AddString(wire.KeyContentType, "text/event-stream")
			c.x.Response.Status, c.x.Response.Length = 200, -1
			c.sink.OnResponse([]byte("data: 1\n\n"), false)
		}, func(w *world, s *fakeStream) {
			if w.expect(s, 200, "data: 1\n\n", observe.PolicyDenied); !s.ended || s.reset != observe.ReasonNone {
				t.Error("a stream of events is not ended well")
			}
		}},
		{"a WebSocket", []string{"Upgrade", "websocket"}, func(c *fakeClient) { c.respond(101, "", false) }, func(w *world, s *fakeStream) {
			if w.expect(s, 101, "", observe.PolicyDenied); s.reset != observe.PolicyDenied {
				t.Errorf("not reset: %v", s.reset)
			}
		}},
		{"a call", []string{"Content-Type", "application/grpc"}, func(c *fakeClient) { c.respond(200, "m", false) }, func(w *world, s *fakeStream) {
			if w.expect(s, 200, "m", observe.PolicyDenied); !s.trailers || w.last.GRPCStatus != observe.GRPCPermissionDenied {
				t.Errorf("trailers %v, status %d", s.trailers, w.last.GRPCStatus)
			}
		}},
		{"a call before its response", []string{"Content-Type", "application/grpc"}, func(*fakeClient) {}, func(w *world, s *fakeStream) {
			if w.expect(s, 200, "", observe.PolicyDenied); !strings.Contains(string(s.head), "grpc-status: 7\r\n") {
				t.Errorf("%s", s.head)
			}
		}},
	} {
		w, again, apply := guarded(t)
		rewrite := filters(does(0, "rewrite"))
		apply(rewrite)
		open := func(path string) (*fakeStream, *fakeClient) {
			s := w.get(path, append([]string{"X-Kind", "old"}, c.fields...)...)
			c.respond(w.conn(-1))
			return s, w.conn(-1)
		}
		good, goodConn := open("/public")
		bad, badConn := open("/x/../secret")
		if len(*again) != 0 || bad.ended {
			t.Fatalf("%s: asked too early: %v", c.name, *again)
		}
		apply(rewrite, deny)
		if slices.Sort(*again); !slices.Equal(*again, []string{"/public", "/secret"}) {
			t.Errorf("%s: asked about %v", c.name, *again)
		}
		if !bad.ended || badConn.canceled != 1 {
			t.Fatalf("%s: goes on", c.name)
		}
		c.expect(w, bad)
		if w.last.Detail == nil || w.last.Detail.Error() != "policy no" || string(w.last.Path) != "/x/../secret" {
			t.Errorf("%s: the record says %v of %s", c.name, w.last.Detail, w.last.Path)
		}
		// A change of something else asks nobody.
		*again = nil
		if apply(plainly, deny); good.ended || w.wrote != 1 || len(*again) > 0 {
			t.Errorf("%s: what may go on was ended (%+v) or asked about: %v", c.name, w.last, *again)
		}
		goodConn.sink.OnResponseAbort(dropped)
		w.run()
	}
}

// TestRecheckClaims: who a request was made for is what was proved when it came.
func TestRecheckClaims(t *testing.T) {
	t.Parallel()
	w, _, apply := guarded(t)
	apply(plainly)
	alice, bob := w.get("/"), w.get("/")
	for s, who := range map[*fakeStream]string{alice: "alice", bob: "bob"} {
		s.sink.(*exchange).Caller = &filter.Caller{Subject: who}
	}
	apply(plainly, model.PolicyRule{Claims: []model.ClaimMatch{{Name: "sub", Values: []string{"bob"}}}})
	if alice.ended || bob.status != 403 {
		t.Errorf("alice: %d, bob: %d", alice.status, bob.status)
	}
	alice.leave(observe.ClientGone)
	w.settled(2)
}

// TestRecheckMany: thousands are asked about in many turns of the loop, while
// some end, others begin, and the policies change once more.
func TestRecheckMany(t *testing.T) {
	t.Parallel()
	w, again, apply := guarded(t)
	apply(plainly)
	const many = 4*asked + 7
	var open []*fakeStream
	for range many {
		open = append(open, w.get("/"))
	}
	turn := func() {
		posts := w.loops[0].posts
		w.loops[0].posts = nil
		for _, fn := range posts {
			fn()
		}
	}
	change := func(path string) {
		t.Helper()
		c := shop(1)
		c.Policies = []*model.Policy{{Name: "no", Rules: []model.PolicyRule{{Paths: []string{path}}}}}
		if err := w.try(c); err != nil {
			t.Fatal(err)
		}
	}
	change("/nothing")
	for turn(); len(*again) == 0; {
		turn()
	}
	if len(*again) > asked {
		t.Fatalf("%d in one turn", len(*again))
	}
	// That which is about to be asked about goes, and so does the newest.
	next := w.proxy.workers[0].place.older
	for _, s := range open {
		if s.sink == wire.RequestSink(next) || s == open[many-1] {
			s.leave(observe.ClientGone)
		}
	}
	late := w.get("/late")
	turn()
	change("/") // begins again
	w.run()
	ended := 0
	for _, s := range open {
		if s.status == 403 {
			ended++
		}
	}
	if ended != many-2 || late.ended {
		t.Errorf("%d of %d were ended; the late one: %v", ended, many-2, late.ended)
	}
	if wk := w.proxy.workers[0]; wk.walking || wk.running != late.sink.(*exchange) || wk.running.older != nil {
		t.Error("something is left of the walk")
	}
	late.leave(observe.ClientGone)
	w.settled(many + 1)
}

// drainer is a codec with one connection.
type drainer struct {
	fakeServer
	server wire.Server
	peer   wire.Peer
	told   int
}

func (d *drainer) Drain(_ wire.Loop, leaves func(wire.Server, *wire.Peer) bool) {
	if d.server.Draining() || leaves != nil && leaves(d.server, &d.peer) {
		d.told++
	}
}

// TestRecheckIdle: a connection of whose client nothing would be let in ends.
func TestRecheckIdle(t *testing.T) {
	t.Parallel()
	w, _, apply := guarded(t)
	codec := &drainer{}
	w.proxy.opt.HTTP2 = codec
	apply(plainly)
	codec.server = w.proxy.ports[0].doors[0]
	apply(plainly, model.PolicyRule{Paths: []string{"/some"}})
	if codec.told != 0 {
		t.Error("a connection ends that may be of use")
	}
	c := shop(1)
	c.Policies = []*model.Policy{{Name: "no", Closed: true}}
	w.apply(c)
	if codec.told != 1 {
		t.Errorf("told %d times", codec.told)
	}
	w.apply(c)
	if codec.told != 1 {
		t.Error("told again without a change")
	}
}
