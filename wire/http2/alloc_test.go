package http2

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// straight is a Server, an owner and both sinks, which passes exchanges from
// one side to the other as a proxy does, without thought.
type straight struct {
	client wire.ClientConn
	free   []*passage
	served int
	shelf  wire.Shelf
}

type passage struct {
	*straight
	x      wire.Exchange
	stream wire.ServerStream
	up     wire.ClientStream
}

func (s *straight) Begin(st wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	var p *passage
	if n := len(s.free); n > 0 {
		p, s.free = s.free[n-1], s.free[:n-1]
	} else {
		p = &passage{straight: s}
		p.x.Shelf = &s.shelf
	}
	p.stream = st
	return &p.x, p
}
func (s *straight) Refused(_ *wire.Exchange, _ wire.RequestSink, why observe.Reason) {
	panic("refused " + why.String())
}
func (s *straight) Gone(wire.ServerStream)            {}
func (s *straight) Draining() bool                    { return false }
func (s *straight) OnOpen(wire.ClientConn)            {}
func (s *straight) OnIdle(wire.ClientConn)            {}
func (s *straight) OnGone(_ wire.ClientConn, e error) { panic(fmt.Sprint("gone ", e)) }

func (p *passage) OnRequest(data []byte, end bool)      { p.up = p.client.Send(&p.x, p, data, end) }
func (p *passage) OnRequestData(data []byte, end bool)  { p.up.Data(data, end) }
func (p *passage) OnRequestTrailers(t *wire.Head)       { p.up.Trailers(t) }
func (p *passage) OnRequestAbort(why observe.Reason)    { panic("aborted " + why.String()) }
func (p *passage) OnResponseDrained()                   {}
func (p *passage) OnInform(h *wire.Head)                { p.stream.Inform(h) }
func (p *passage) OnResponseData(data []byte, end bool) { p.stream.Data(data, end); p.done(end) }
func (p *passage) OnResponseTrailers(t *wire.Head)      { p.stream.Trailers(t); p.done(true) }
func (p *passage) OnResponseAbort(f wire.Failure)       { panic("aborted " + f.Reason.String()) }
func (p *passage) OnRequestDrained()                    {}
func (p *passage) OnResponse(data []byte, end bool) {
	p.stream.Respond(&p.x.Response, data, end)
	p.done(end)
}

func (p *passage) done(end bool) {
	if end {
		p.served++
		p.shelf.Return(&p.x.Response)
		p.free = append(p.free, p)
	}
}

var openLimits = wire.Limits{
	HeadBytes: 32 << 10, Fields: 100, URIBytes: 8 << 10, BodyBytes: -1, Requests: -1,
	Idle: testLimits.Idle, Head: testLimits.Head, Body: testLimits.Body, Write: testLimits.Write,
}

// newStraight gives a client's and a service's connection, with the machines
// between them.
func newStraight() (s *straight, down, up *fakeConn) {
	loop := &fakeLoop{}
	codec := New(1)
	s = &straight{}
	down, up = newFakeConn(loop), newFakeConn(loop)
	down.quiet, up.quiet = true, true
	s.client = codec.Open(s, func(h wire.ConnHandler) wire.Conn { up.handler = h; return up })
	up.handler.OnOpen()
	codec.Serve(down, s, &openLimits)
	return s, down, up
}

const (
	browser = ":method=GET :scheme=https :path=/catalog/search?q=tent :authority=www.shop.example cache-control=max-age=0 upgrade-insecure-requests=1 " +
		"user-agent=Mozilla/5.0(X11;Linuxx86_64)AppleWebKit/537.36 accept=text/html,application/xhtml+xml accept-encoding=gzip cookie=session=4f0c9a2e6b7d48c1 cookie=theme=dark"
	answer = ":status=200 content-type=application/json content-length=11 server=svc"
)

// TestNoAllocations: exchanges through both machines allocate nothing, and
// what came in one read is written at once.
func TestNoAllocations(t *testing.T) {
	get := "HEADERS # end_stream end_headers " + browser
	ok := "HEADERS # end_headers " + answer + "\nDATA # end_stream {\"ok\":true}"
	post := "HEADERS # end_headers :method=POST :scheme=https :path=/svc/Call :authority=a te=trailers content-type=application/grpc\nDATA # hello\nDATA # end_stream"
	grpc := "HEADERS # end_headers :status=200 content-type=application/grpc\nDATA # hello\nHEADERS # end_stream end_headers grpc-status=0"
	for _, c := range []struct {
		name, request, response string
		batch                   int
	}{
		{"get", get, ok, 1}, {"gets", get, ok, 100}, {"grpc", post, grpc, 1}, {"grpcs", post, grpc, 20},
		{"early hints", get, "HEADERS # end_headers :status=103 link=a\n" + ok, 1},
	} {
		s, down, up := newStraight()
		in, out := newScribe(), newScribe()
		down.handler.OnData(append(in.frames(t, "PREFACE"), in.frames(t, "WINDOW_UPDATE 0 1000000000")...))
		up.handler.OnData(append(out.frames(t, "SETTINGS"), out.frames(t, "WINDOW_UPDATE 0 1000000000")...))
		down.loop.turn()
		const runs = 60
		var requests, responses [][]byte
		for run := range runs + 20 {
			var req, res []byte
			for i := range c.batch {
				id := fmt.Sprint(2*(run*c.batch+i) + 1)
				for line := range strings.Lines(c.request) {
					req = append(req, in.frames(t, strings.ReplaceAll(line, "#", id))...)
				}
				for line := range strings.Lines(c.response) {
					res = append(res, out.frames(t, strings.ReplaceAll(line, "#", id))...)
				}
			}
			requests, responses = append(requests, req), append(responses, res)
		}
		run := 0
		step := func() {
			down.handler.OnData(requests[run])
			down.loop.turn()
			up.handler.OnData(responses[run])
			down.loop.turn()
			run++
		}
		for range 10 {
			step()
		}
		before := down.writes + up.writes
		if n := testing.AllocsPerRun(runs, step); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if s.served != run*c.batch {
			t.Errorf("%s: %d served", c.name, s.served)
		}
		if w := down.writes + up.writes - before; w != 2*(runs+1) {
			t.Errorf("%s: %d writes for %d batches", c.name, w, runs+1)
		}
	}
}

// TestIdleMemory: what an idle connection costs here, tables of both
// directions included.
func TestIdleMemory(t *testing.T) {
	if n := reflect.TypeFor[session]().Size(); n > 1400 {
		t.Errorf("a session is %d bytes", n)
	}
	loop := &fakeLoop{}
	codec := New(1)
	s := &site{loop: loop}
	in := newScribe()
	first := in.frames(t, "PREFACE")
	first = append(first, in.frames(t, "HEADERS 1 end_stream end_headers "+browser)...)
	const conns = 200
	all := make([]*fakeConn, conns)
	for i := range all {
		all[i] = &fakeConn{loop: loop, quiet: true}
	}
	codec.Serve(all[0], s, &openLimits)
	all[0].handler.OnData(first)
	s.open = make([]*visit, 0, conns)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, c := range all[1:] {
		codec.Serve(c, s, &openLimits)
		c.handler.OnData(first)
		s.log.Reset()
		s.open = s.open[:0]
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int64(after.HeapAlloc-before.HeapAlloc) / conns; each > 5<<10 {
		t.Errorf("%d bytes for each connection", each)
	} else {
		t.Logf("%d bytes for each connection", each)
	}
	runtime.KeepAlive(all)
}
