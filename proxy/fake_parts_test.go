package proxy

import (
	"crypto/tls"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

var (
	errInUse    = syscall.EADDRINUSE
	errNoFamily = syscall.EAFNOSUPPORT
)

// fakeServer notes which connections it was given.
type fakeServer struct {
	servers []wire.Server
	refused int
}

func (f *fakeServer) Serve(_ wire.Conn, srv wire.Server, _ *wire.Limits) {
	f.servers = append(f.servers, srv)
}
func (f *fakeServer) Refuse(wire.Conn, observe.Reason) { f.refused++ }

// fakeConn is a connection that was accepted.
type fakeConn struct {
	wire.Conn
	loop    wire.Loop
	aborted bool
}

func (c *fakeConn) Loop() wire.Loop { return c.loop }
func (c *fakeConn) Abort()          { c.aborted = true }

// fakeTLS fails for credentials of the name "bad".
type fakeTLS struct{ made []*fakeSecurity }

type fakeSecurity struct {
	cfg     *wire.ServerTLS
	secured int
	closed  bool
}

func (f *fakeTLS) Client(*wire.ClientTLS) (wire.Dialer, error) { return wire.PlainDialer{}, nil }
func (f *fakeTLS) Server(cfg *wire.ServerTLS) (wire.ServerSecurity, error) {
	s := &fakeSecurity{}
	if err := s.Update(cfg); err != nil {
		return nil, err
	}
	f.made = append(f.made, s)
	return s, nil
}
func (s *fakeSecurity) Update(cfg *wire.ServerTLS) error {
	for _, c := range cfg.Credentials {
		if c.Name == "bad" {
			return errors.New("certificate bad is not usable")
		}
	}
	s.cfg = cfg
	return nil
}
func (s *fakeSecurity) Close()                                    { s.closed = true }
func (s *fakeSecurity) Lend(...string) *tls.Config                { return &tls.Config{} }
func (s *fakeSecurity) Agreed(tls.ConnectionState) *wire.TLSState { return &wire.TLSState{} }
func (s *fakeSecurity) Secure(c wire.Conn, ready func(wire.Conn)) {
	s.secured++
	ready(securedConn{c})
}

// securedConn is a connection after its handshake.
type securedConn struct{ wire.Conn }

func (securedConn) Peer() *wire.Peer { return &wire.Peer{TLS: &wire.TLSState{}} }

// testFilter does what a Respond's body says, word by word:
//
//	answer      answers with the status
//	mark        the response half adds X-Marked: STATUS
//	panic       the request half panics
//	panic-back  the response half panics
//	rewrite     changes path, host and X-Forwarded-For
//	fail        cannot be built
//	in=, out=   puts a testBody in the way of the request's or response's body
type testFilter struct {
	words  string
	status int
}

var testFamilies = []filter.Family{{Name: "test", Build: func(f *model.Filter) (any, error) {
	if f.Respond == nil {
		return nil, nil
	}
	if f.Respond.Body == "fail" {
		return nil, errors.New("this filter cannot be built")
	}
	return &testFilter{f.Respond.Body, f.Respond.Status}, nil
}}}

func (f *testFilter) OnRequest(x *filter.Exchange) filter.Verdict {
	switch {
	case strings.Contains(f.words, "panic-back"):
	case strings.Contains(f.words, "panic"):
		panic("in the request half")
	case strings.Contains(f.words, "rewrite"):
		x.Request.Path = []byte("/rewritten")
		x.Request.Authority = []byte("rewritten.example")
		x.Request.SetString(wire.KeyXForwardedFor, "1.1.1.1")
	case strings.Contains(f.words, "delay"):
		x.Delay = time.Second
	case strings.Contains(f.words, "slow"):
		x.Slow = &filter.Slow{Request: 2000, Response: 1000}
	case strings.Contains(f.words, "answer"):
		x.Response.Reset()
		x.Response.Status, x.Response.Length = f.status, 2
		x.Body, x.Why = okBody, observe.Responded
		return filter.Answer
	}
	for _, b := range bodies(f.words, "in=") {
		x.ThroughRequest(b)
	}
	return filter.Continue
}

var (
	okBody    = []byte("ok")
	keyMarked = wire.KeyOf("X-Marked")
)

func (f *testFilter) OnResponse(x *filter.Exchange) {
	switch {
	case strings.Contains(f.words, "panic-back"):
		panic("in the response half")
	case strings.Contains(f.words, "mark"):
		x.Response.AddString(keyMarked, strconv.Itoa(f.status))
	}
	for _, b := range bodies(f.words, "out=") {
		x.ThroughResponse(b)
	}
}

func does(status int, words string) model.Filter {
	return model.Filter{Respond: &model.Respond{Status: status, Body: words}}
}

// shop is a configuration with one port, one route "r" and services "a" (with
// n endpoints: 10.0.0.1:80 and so on) and "m", for mirrors.
func shop(n int, change ...func(*model.Route)) *model.Config {
	a := &model.Service{Name: "a"}
	for i := range n {
		a.Endpoints = append(a.Endpoints, &model.Endpoint{Host: "10.0.0." + strconv.Itoa(i+1), Port: 80})
	}
	m := &model.Service{Name: "m", Endpoints: []*model.Endpoint{{Host: "10.0.9.9", Port: 80}}}
	r := &model.Route{Name: "r", Parents: []string{"l"}, Backends: []model.Backend{{Service: "a", Weight: 1}}}
	for _, f := range change {
		f(r)
	}
	return &model.Config{
		Listeners: []*model.Listener{{Name: "l", Port: 8080, Protocol: model.HTTP}},
		Routes:    []*model.Route{r},
		Services:  []*model.Service{a, m},
	}
}

// retries declares a retry with a back-off of 100 ms.
func retries(n int, codes ...int) func(*model.Route) {
	return func(r *model.Route) { r.Retry = &model.Retry{Attempts: n, Codes: codes, Backoff: 100e6} }
}

func filters(fs ...model.Filter) func(*model.Route) {
	return func(r *model.Route) { r.Filters = append(r.Filters, fs...) }
}

func mirrored(r *model.Route) {
	r.Filters = append(r.Filters, model.Filter{Mirror: &model.Mirror{Service: "m"}})
}

var (
	stale   = wire.Failure{Reason: observe.UpstreamReset, Err: wire.ErrClosed, Reused: true}
	unsent  = wire.Failure{Reason: observe.ConnectRefused, Err: syscall.ECONNREFUSED, Unsent: true}
	dropped = wire.Failure{Reason: observe.UpstreamReset, Err: wire.ErrClosed}
)
