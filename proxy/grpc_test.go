package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// call begins a gRPC call.
func (w *world) call(path string, fields ...string) *fakeStream {
	return w.open("POST", path, -1, append([]string{"Content-Type", "application/grpc", "TE", "trailers"}, fields...)...)
}

// answer sends a head with fields and the first part of the body.
func (c *fakeClient) answer(body string, end bool, fields ...string) {
	c.stand()
	h := &c.x.Response
	c.x.Shelf.Lend(h)
	h.Reset()
	h.Status, h.Length, h.Minor = 200, -1, 2
	for i := 0; i < len(fields); i += 2 {
		h.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	c.begun = true
	c.over(end).OnResponse([]byte(body), end)
}

// trail ends the response with trailers.
func (c *fakeClient) trail(fields ...string) {
	var t wire.Head
	for i := 0; i < len(fields); i += 2 {
		t.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	c.over(true).OnResponseTrailers(&t)
}

func bounded(request, try time.Duration) func(*model.Route) {
	return func(r *model.Route) { r.Timeouts = model.Timeouts{Request: request, Backend: try} }
}

func (w *world) wantGRPC(code observe.GRPCCode, method string) {
	w.t.Helper()
	if !w.last.GRPC || w.last.GRPCStatus != code || string(w.last.GRPCMethod) != method {
		w.t.Errorf("the record says %t %v %q, want %v of %q", w.last.GRPC, w.last.GRPCStatus, w.last.GRPCMethod, code, method)
	}
}

func TestGRPCRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, typ, want string
		config          *model.Config
		do              func(*world)
		why             observe.Reason
	}{
		{"no route", "application/grpc", "grpc-status: 12\r\ngrpc-message: No route matches\r\nx-naru-reason: no_route\r\n",
			shop(1, func(r *model.Route) { r.Matches = []model.Match{{PathKind: model.PathExact, Path: "/other"}} }), nil, observe.NoRoute},
		{"no endpoint", "application/grpc+proto", "grpc-status: 14\r\ngrpc-message: The service has no endpoint\r\nx-naru-reason: no_endpoint\r\n",
			shop(0), nil, observe.NoEndpoint},
		{"refused", "application/grpc-web-text", "grpc-status: 14\r\ngrpc-message: The service closed the connection\r\nx-naru-reason: upstream_reset\r\n",
			shop(1), func(w *world) { w.conn(0).stand(); w.conn(0).fail(dropped) }, observe.UpstreamReset},
		{"too slow", "application/grpc", "grpc-status: 4\r\ngrpc-message: The request took too long\r\nx-naru-reason: request_timeout\r\n",
			shop(1, bounded(time.Second, 0)), func(w *world) { w.loops[0].pass(2 * time.Second) }, observe.RequestTimeout},
		{"filter", "application/grpc", "grpc-status: 7\r\ngrpc-message: ok\r\n",
			shop(1, filters(does(403, "answer"))), nil, observe.Responded},
		{"panic", "application/grpc", "grpc-status: 13\r\ngrpc-message: The gateway failed\r\nx-naru-reason: internal\r\n",
			shop(1, filters(does(403, "panic"))), nil, observe.Internal},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.apply(c.config)
			s := w.open("POST", "/p.S/M", -1, "Content-Type", c.typ)
			s.request("x", true)
			if c.do != nil {
				c.do(w)
			}
			w.expect(s, 200, "", c.why)
			if got := string(s.head); !strings.HasSuffix(got, c.want) || !strings.HasPrefix(got, "Content-Type: application/grpc") {
				t.Errorf("%q, want %q", got, c.want)
			}
			if len(s.body) > 0 || !s.ended {
				t.Errorf("body %q, ended %t", s.body, s.ended)
			}
			if c.name == "filter" && w.last.GRPCStatus != observe.GRPCPermissionDenied {
				t.Errorf("the record says %v", w.last.GRPCStatus)
			}
			if !w.last.GRPC {
				t.Error("the record does not know that it was gRPC")
			}
		})
	}
}

func TestGRPCStatusOfTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	s := w.call("/p.S/M")
	s.request("in", true)
	w.conn(0).answer("out", false, "Content-Type", "application/grpc")
	w.conn(0).trail("grpc-status", "5", "grpc-message", "gone")
	w.expect(s, 200, "out", observe.ReasonNone)
	w.wantGRPC(observe.GRPCNotFound, "p.S/M")

	s = w.call("/p.S/N")
	s.request("in", true)
	w.conn(0).answer("", true, "Content-Type", "application/grpc", "grpc-status", "0")
	w.expect(s, 200, "", observe.ReasonNone)
	w.wantGRPC(observe.GRPCOK, "p.S/N")

	s = w.call("/p.S/O")
	s.request("in", true)
	w.conn(0).respond(503, "html", true)
	w.wantGRPC(observe.GRPCUnavailable, "p.S/O")

	s = w.call("/p.S/P")
	s.request("in", true)
	s.leave(observe.ClientGone)
	w.wantGRPC(observe.GRPCCancelled, "p.S/P")
	w.get("/")
	w.conn(-1).respond(200, "", true)
	if w.last.GRPC {
		t.Error("a page is a call")
	}
	w.settled(5)
}

// TestGRPCCallsAreCounted where the route says so, and are forgotten with it.
func TestGRPCCallsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	counted := func() (all []string) {
		w.proxy.opt.Registry.Collect(func(f observe.Family) {
			if f.Name == "naru_grpc_requests_total" {
				f.Each(func(s *observe.Sample) { all = append(all, strings.Join(s.Values, " ")) })
			}
		})
		return all
	}
	call := func() {
		w.call("/p.S/M").request("x", true)
		w.busy().answer("", true, "Content-Type", "application/grpc", "grpc-status", "0")
	}
	w.apply(shop(1))
	call()
	if got := counted(); len(got) > 0 {
		t.Errorf("counted %q", got)
	}
	counts := shop(1, func(r *model.Route) { r.CountCalls = true })
	for range 2 { // a reload does not count anew
		w.apply(counts)
		call()
	}
	w.get("/")
	w.busy().respond(200, "", true)
	if got := counted(); len(got) != 1 || got[0] != "r p.S M OK" {
		t.Errorf("counted %q", got)
	}
	w.apply(shop(1))
	if got := counted(); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

func TestGRPCDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, asked string
		rule        time.Duration
		wait        time.Duration // until the call fails
		told        string
	}{
		{"the client's", "2S", 0, 2 * time.Second, "2000000u"},
		{"the client's, shorter than the rule's", "500m", time.Second, 500 * time.Millisecond, "500000u"},
		{"the rule's", "1H", time.Second, time.Second, "1000000u"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.apply(shop(1, bounded(c.rule, -1)))
			s := w.call("/p.S/M", "grpc-timeout", c.asked)
			s.x.Headed = w.loops[0].now
			s.request("x", true)
			if got := string(w.conn(0).fields); !strings.Contains(got, "grpc-timeout: "+c.told+"\r\n") {
				t.Errorf("the service is told %q", got)
			}
			w.loops[0].pass(c.wait - 50*time.Millisecond)
			if s.ended {
				t.Fatal("it ended early")
			}
			w.loops[0].pass(100 * time.Millisecond)
			w.expect(s, 200, "", observe.RequestTimeout)
			w.wantGRPC(observe.GRPCDeadlineExceeded, "p.S/M")
			if w.conn(0).canceled != 1 {
				t.Error("the try was not cancelled")
			}
			w.settled(1)
		})
	}
}

// TestGRPCDeadlineShrinks: the second try is told what is left; when nothing
// is there is none.
func TestGRPCDeadlineShrinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, retries(3)))
	s := w.call("/p.S/M", "grpc-timeout", "1S")
	s.x.Headed = w.loops[0].now
	s.request("x", true)
	w.loops[0].pass(300 * time.Millisecond)
	w.conn(0).stand()
	w.conn(0).fail(dropped)
	w.loops[0].pass(200 * time.Millisecond)
	fields := string(w.conn(-1).fields)
	_, told, _ := strings.Cut(fields, "grpc-timeout: ")
	told, _, _ = strings.Cut(told, "\r\n")
	left, ok := wire.ParseGRPCTimeout([]byte(told))
	if !ok || left > 660*time.Millisecond || left < 500*time.Millisecond || strings.Count(fields, "grpc-timeout") != 1 {
		t.Errorf("the second try is told %q", fields)
	}
	w.loops[0].pass(time.Second)
	w.expect(s, 200, "", observe.RequestTimeout)

	// What nobody can read is the service's to refuse, and without gRPC it is
	// a field like any other.
	for _, typ := range []string{"application/grpc", "text/plain"} {
		s = w.open("POST", "/", -1, "Content-Type", typ, "grpc-timeout", map[bool]string{true: "soon", false: "1n"}[typ == "application/grpc"])
		s.request("x", true)
		w.loops[0].pass(time.Second)
		w.conn(-1).respond(200, "", true)
		w.expect(s, 200, "", observe.ReasonNone)
	}
	// The service gave up first.
	s = w.call("/p.S/M", "grpc-timeout", "1S")
	s.x.Headed = w.loops[0].now
	s.request("x", true)
	w.busy().stand()
	w.loops[0].now += time.Second - time.Millisecond
	w.busy().fail(dropped)
	w.expect(s, 200, "", observe.RequestTimeout)
	// Its time was over when it came.
	s = w.call("/p.S/M", "grpc-timeout", "1m")
	s.x.Headed = w.loops[0].now - time.Second
	s.request("x", true)
	w.loops[0].pass(100 * time.Millisecond)
	w.expect(s, 200, "", observe.RequestTimeout)
	w.settled(5)
}

func TestGRPCRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1, func(r *model.Route) {
		r.Retry = &model.Retry{Attempts: 2, GRPC: []int{int(observe.GRPCUnavailable), 99}, Backoff: 100e6}
	}))
	s := w.call("/p.S/M")
	s.request("x", true)
	w.conn(0).answer("", true, "Content-Type", "application/grpc", "grpc-status", "14")
	w.loops[0].pass(time.Second)
	if got := string(w.conn(-1).body); got != "x" {
		t.Fatalf("the second try sent %q", got)
	}
	w.conn(-1).answer("ok", false, "Content-Type", "application/grpc")
	// Once a message came the status is the call's.
	w.conn(-1).trail("grpc-status", "14")
	w.expect(s, 200, "ok", observe.ReasonNone)
	w.wantGRPC(observe.GRPCUnavailable, "p.S/M")
	if w.last.Attempts != 2 {
		t.Errorf("%d attempts", w.last.Attempts)
	}
	// Another status is not tried again, nor is a page that looks like one.
	s = w.call("/p.S/M")
	s.request("x", true)
	w.conn(-1).answer("", true, "grpc-status", "5")
	w.expect(s, 200, "", observe.ReasonNone)
	s = w.open("POST", "/", 0)
	s.request("", true)
	w.conn(-1).answer("", true, "grpc-status", "14")
	w.expect(s, 200, "", observe.ReasonNone)
	w.settled(3)
}
