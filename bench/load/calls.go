package load

import (
	"net/netip"
	"strings"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/http2"
)

// CallPath is where the origin answers gRPC's unary calls.
const CallPath = "/bench.Bench/Call"

// Call is a gRPC message of that size with its prefix, as requests and answers
// have it.
func Call() []byte {
	const size = 32
	return append([]byte{0, 0, 0, 0, size}, strings.Repeat("m", size)...)
}

// calls is a gRPC service over HTTP/2 in plain text. It implements
// wire.Server.
type calls struct {
	free [][]*call // by loop
	body []byte
}

// listenCalls serves gRPC on a free port of addr.
func listenCalls(d wire.Driver, addr netip.AddrPort) (wire.Listening, error) {
	n := len(d.Loops())
	codec, s := http2.New(n), &calls{free: make([][]*call, n), body: Call()}
	lim := &wire.Limits{
		HeadBytes: 32 << 10, Fields: 100, URIBytes: 8 << 10, BodyBytes: -1, Requests: -1,
		Idle: -1, Head: -1, Body: -1, Write: -1, HTTP2: true,
	}
	return d.Listen(addr, wire.ListenOptions{}, func(c wire.Conn, _ bool) { codec.Serve(c, s, lim) })
}

// call is one in hand. It implements wire.RequestSink.
type call struct {
	wire.Exchange
	of       *calls
	stream   wire.ServerStream
	trailers wire.Head
}

var (
	keyContentType = wire.KeyOf("Content-Type")
	keyGRPCStatus  = wire.KeyOf("Grpc-Status")
)

func (s *calls) Begin(st wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	i := st.Loop().Index()
	var c *call
	if n := len(s.free[i]); n > 0 {
		c = s.free[i][n-1]
		s.free[i] = s.free[i][:n-1]
	} else {
		c = &call{of: s}
	}
	c.stream = st
	return &c.Exchange, c
}

// over takes the call back.
func (c *call) over() {
	i := c.stream.Loop().Index()
	c.stream = nil
	c.of.free[i] = append(c.of.free[i], c)
}

func (s *calls) Refused(_ *wire.Exchange, sink wire.RequestSink, _ observe.Reason) {
	sink.(*call).over()
}
func (s *calls) Gone(wire.ServerStream) {}
func (s *calls) Draining() bool         { return false }

func (c *call) OnRequest(_ []byte, end bool)      { c.answer(end) }
func (c *call) OnRequestData(_ []byte, end bool)  { c.answer(end) }
func (c *call) OnRequestTrailers(*wire.Head)      { c.answer(true) }
func (c *call) OnRequestAbort(why observe.Reason) { c.over() }
func (c *call) OnResponseDrained()                {}

// answer says that all is well, once the request is complete.
func (c *call) answer(end bool) {
	if !end {
		return
	}
	h := &c.Response
	h.Reset()
	h.Status, h.Length = 200, -1
	h.AddString(keyContentType, "application/grpc")
	c.stream.Respond(h, c.of.body, false)
	c.trailers.Reset()
	c.trailers.AddString(keyGRPCStatus, "0")
	c.stream.Trailers(&c.trailers)
	c.over()
}
