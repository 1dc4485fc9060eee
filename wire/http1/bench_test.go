package http1

import (
	"reflect"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

const (
	smallRequest = "GET /items/17?page=3 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n\r\n"
	// bigRequest is about what a browser sends.
	bigRequest = "GET /catalog/search?q=tent&sort=price HTTP/1.1\r\nHost: www.shop.example\r\nConnection: keep-alive\r\n" +
		"Cache-Control: max-age=0\r\nSec-Ch-Ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nSec-Ch-Ua-Mobile: ?0\r\n" +
		"Sec-Ch-Ua-Platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n" +
		"Referer: https://www.shop.example/catalog\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: ko-KR,ko;q=0.9,en;q=0.8\r\n" +
		"Cookie: session=4f0c9a2e6b7d48c19e35a7f2d1b8c604; consent=all; visit=1732262400; basket=17x2.23x1.42x9; theme=dark; exp=a1.b0.c3\r\n" +
		"If-None-Match: W/\"5f3-18c2b\"\r\nX-Request-Id: 0b2f9c1e-77aa-4c55-93bb-1c2d3e4f5a6b\r\n\r\n"
	smallResponse   = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n{\"ok\":true}"
	chunkedResponse = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"
)

// straight is a Server, an owner and both sinks of one exchange, which it
// passes from one side to the other as a proxy does, without thought.
type straight struct {
	x      wire.Exchange
	stream wire.ServerStream
	up     wire.ClientStream
	client wire.ClientConn
	served int
}

func (s *straight) Begin(st wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	s.stream = st
	return &s.x, s
}
func (s *straight) Refused(*wire.Exchange, wire.RequestSink, observe.Reason) { panic("refused") }
func (s *straight) Gone(wire.ServerStream)                                   {}
func (s *straight) Draining() bool                                           { return false }
func (s *straight) OnRequest(data []byte, end bool)                          { s.up = s.client.Send(&s.x, s, data, end) }
func (s *straight) OnRequestData(data []byte, end bool)                      { s.up.Data(data, end) }
func (s *straight) OnRequestTrailers(t *wire.Head)                           { s.up.Trailers(t) }
func (s *straight) OnRequestAbort(observe.Reason)                            { panic("aborted") }
func (s *straight) OnResponseDrained()                                       {}
func (s *straight) OnInform(h *wire.Head)                                    { s.stream.Inform(h) }
func (s *straight) OnResponse(data []byte, end bool) {
	s.done(end)
	s.stream.Respond(&s.x.Response, data, end)
}
func (s *straight) OnResponseData(data []byte, end bool) { s.done(end); s.stream.Data(data, end) }
func (s *straight) OnResponseTrailers(t *wire.Head)      { s.done(true); s.stream.Trailers(t) }
func (s *straight) OnResponseAbort(wire.Failure)         { panic("aborted") }
func (s *straight) OnRequestDrained()                    {}
func (s *straight) OnOpen(wire.ClientConn)               {}
func (s *straight) OnIdle(wire.ClientConn)               {}
func (s *straight) OnGone(wire.ClientConn, error)        {}
func (s *straight) done(end bool) {
	if end {
		s.served++
	}
}

// newStraight gives a client's and a service's connection, with the machines
// between them.
func newStraight(lim *wire.Limits) (s *straight, down, up *fakeConn) {
	loop := &fakeLoop{}
	codec := New(1)
	s = &straight{}
	down, up = newFakeConn(loop), newFakeConn(loop)
	down.quiet, up.quiet = true, true
	s.client = codec.Open(s, func(h wire.ConnHandler) wire.Conn { up.handler = h; return up })
	up.handler.OnOpen()
	codec.Serve(down, s, lim)
	return s, down, up
}

var openLimits = wire.Limits{
	HeadBytes: 32 << 10, Fields: 100, URIBytes: 8 << 10, BodyBytes: -1, Requests: -1,
	Idle: testLimits.Idle, Head: testLimits.Head, Body: testLimits.Body, Write: testLimits.Write,
}

// TestNoAllocations: an exchange through both machines allocates nothing.
func TestNoAllocations(t *testing.T) {
	post := "POST /orders HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 11\r\n\r\nhello world"
	chunked := "POST /orders HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n"
	for _, c := range []struct {
		name     string
		request  []string
		response []string
	}{
		{"small", []string{smallRequest}, []string{smallResponse}},
		{"big", []string{bigRequest}, []string{smallResponse}},
		{"post", []string{post}, []string{smallResponse}},
		{"post in parts", []string{post[:20], post[20:70], post[70:]}, []string{smallResponse[:30], smallResponse[30:]}},
		{"chunked both ways", []string{chunked}, []string{chunkedResponse}},
		{"chunked in parts", []string{chunked[:100], chunked[100 : len(chunked)-5], chunked[len(chunked)-5:]}, []string{chunkedResponse[:90], chunkedResponse[90:]}},
		{"http/1.0", []string{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}, []string{smallResponse}},
		{"informed", []string{smallRequest}, []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + smallResponse}},
	} {
		s, down, up := newStraight(&openLimits)
		requests, responses := bytesOf(c.request), bytesOf(c.response)
		n := testing.AllocsPerRun(100, func() {
			for _, p := range requests {
				down.handler.OnData(p)
			}
			for _, p := range responses {
				up.handler.OnData(p)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if s.served < 100 {
			t.Errorf("%s: %d served", c.name, s.served)
		}
	}
}

func bytesOf(s []string) (b [][]byte) {
	for _, p := range s {
		b = append(b, []byte(p))
	}
	return b
}

// TestNoAllocationsPipelined: answers that come late neither.
func TestNoAllocationsPipelined(t *testing.T) {
	s, down, up := newStraight(&openLimits)
	in, out := []byte(smallRequest+smallRequest+smallRequest), []byte(smallResponse)
	n := testing.AllocsPerRun(100, func() {
		down.handler.OnData(in)
		for range 3 {
			up.handler.OnData(out)
			down.loop.turn()
		}
	})
	if n != 0 || s.served < 300 {
		t.Errorf("%v allocations, %d served", n, s.served)
	}
}

// TestNoAllocationsPerConnection: machines are used again.
func TestNoAllocationsPerConnection(t *testing.T) {
	loop := &fakeLoop{}
	codec := New(1)
	s := &site{loop: loop}
	conn := newFakeConn(loop)
	in := []byte("GET / HTTP/1.1\r\n")
	codec.Serve(conn, s, &openLimits)
	first := conn.handler
	conn.handler.OnData(in)
	if conn.lose(nil); conn.ended != "lost" {
		t.Fatal("not lost")
	}
	second := newFakeConn(loop)
	codec.Serve(second, s, &openLimits)
	if second.handler != first {
		t.Error("the machine was not used again")
	}
}

// TestServerSize: the machine is what an idle connection costs here.
func TestServerSize(t *testing.T) {
	t.Parallel()
	if n := reflect.TypeFor[server]().Size(); n > 208 {
		t.Errorf("%d bytes", n)
	}
}

// TestIdleHoldsNothing: an idle connection keeps no buffer.
func TestIdleHoldsNothing(t *testing.T) {
	t.Parallel()
	s, down, up := newStraight(&openLimits)
	for i := range smallRequest {
		down.give([]byte(smallRequest[i : i+1]))
	}
	for i := range smallResponse {
		up.give([]byte(smallResponse[i : i+1]))
	}
	if m := down.handler.(*server); m.kept != nil || m.x != nil || m.sink != nil {
		t.Error("the server half holds something")
	}
	if c := up.handler.(*client); c.kept != nil || c.x != nil || c.sink != nil {
		t.Error("the client half holds something")
	}
	if s.served != 1 {
		t.Errorf("%d served", s.served)
	}
}

// TestOneWrite: what can go out together does.
func TestOneWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, request, response string
		up, down                int
	}{
		{"small", smallRequest, smallResponse, 1, 1},
		{"post", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", smallResponse, 1, 1},
		{"chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", chunkedResponse, 1, 1},
		{"stream", smallRequest, strings.TrimSuffix(chunkedResponse, "0\r\n\r\n"), 1, 1},
	} {
		_, down, up := newStraight(&openLimits)
		down.give([]byte(c.request))
		up.give([]byte(c.response))
		if up.writes != c.up || down.writes != c.down {
			t.Errorf("%s: %d writes up, %d down; want %d and %d", c.name, up.writes, down.writes, c.up, c.down)
		}
	}
}

func benchmarkExchange(b *testing.B, request, response string) {
	s, down, up := newStraight(&openLimits)
	in, out := []byte(request), []byte(response)
	b.ReportAllocs()
	for b.Loop() {
		down.handler.OnData(in)
		up.handler.OnData(out)
	}
	if s.served == 0 {
		b.Fatal("nothing served")
	}
}

// An exchange is all four: a request read and written, its response read and
// written.
func BenchmarkExchangeSmall(b *testing.B)   { benchmarkExchange(b, smallRequest, smallResponse) }
func BenchmarkExchangeBig(b *testing.B)     { benchmarkExchange(b, bigRequest, smallResponse) }
func BenchmarkExchangeChunked(b *testing.B) { benchmarkExchange(b, smallRequest, chunkedResponse) }

// benchmarkHead reads a request's head and writes it for the service.
func benchmarkHead(b *testing.B, request string) {
	in := []byte(request)
	var x wire.Exchange
	m := &client{}
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		var s scanner
		var f framing
		x.Request.Reset()
		n, why := s.request(in, &x.Request, &bounds{32 << 10, 100, 8 << 10})
		if n != len(in) || why != 0 || fillRequest(&x, in, &s, &f, false) != 0 {
			b.Fatal(n, why)
		}
		out = m.appendHead(out[:0], &x.Request, nil)
	}
}

func BenchmarkHeadSmall(b *testing.B) { benchmarkHead(b, smallRequest) }
func BenchmarkHeadBig(b *testing.B)   { benchmarkHead(b, bigRequest) }

// BenchmarkDrip is a head of 30 KiB that comes byte by byte: its time by byte
// must not grow with the head.
func BenchmarkDrip(b *testing.B) {
	in := []byte("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 30<<10) + "\r\n\r\n")
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		var s scanner
		var h wire.Head
		for i := range in {
			if n, why := s.request(in[:i+1], &h, &bounds{32 << 10, 100, 8 << 10}); why != 0 || n != 0 && n != len(in) {
				b.Fatal(n, why)
			}
		}
	}
}
