package wire

import (
	"time"

	"github.com/naru-mesh/naru/observe"
)

// Exchange is one request and its response. The proxy owns it, lends it to
// the server codec from Server.Begin until the response has ended, and to a
// client codec from ClientConn.Send until its response has ended or was
// aborted. Everything in it is valid until the proxy releases it.
type Exchange struct {
	// Request is filled by the server codec; the proxy changes it; the client
	// codec writes it.
	Request Head
	// Response is filled by the client codec (or by whoever answers); the
	// proxy changes it; the server codec writes it.
	Response Head
	// Shelf is where memory for Response comes from when its head arrives;
	// nil: from the allocator. A codec that fills Response asks it first.
	Shelf *Shelf
	// Peer is the client; it belongs to the connection.
	Peer *Peer
	// Upgrade is the protocol the client asks to change to (the Upgrade
	// header's value, as sent) when the request has Connection: upgrade; empty
	// otherwise. The client codec asks the service for the same. When the
	// service agrees, Response.Status is 101 and both codecs become tunnels.
	Upgrade []byte
	// ExpectContinue: the client waits for 100 (Continue) before it sends the
	// body. The server codec sends it by itself when the sink first lets the
	// body come (the sink has not paused, or resumes), unless a final response
	// came first. The client codec does not forward the expectation.
	ExpectContinue bool
	// Began is when the first byte of the head came; Headed is when the head
	// was complete (Loop.Now).
	Began, Headed time.Duration
	// BytesIn and BytesOut count the request's and response's bodies as they
	// passed the server codec, without framing.
	BytesIn, BytesOut int64
}

// Server is asked for a place to put each request: the proxy, one object for
// each loop and listener.
type Server interface {
	// Begin lends an Exchange for the next request of s and the sink for its
	// events. Called when the first byte of a head is there.
	Begin(s ServerStream) (*Exchange, RequestSink)
	// Refused reports a request that the codec answered by itself, because it
	// is malformed or passes a bound. x is the exchange that Begin lent (the
	// Request may be filled in part), back in the proxy's hands; its sink was
	// never called, or gets no further call.
	Refused(x *Exchange, sink RequestSink, why observe.Reason)
	// Gone reports that s will never be used again: its connection is closed or,
	// where a connection has a stream for each request, the stream is.
	Gone(s ServerStream)
	// Draining says that each response should be the last of its connection.
	Draining() bool
}

// RequestSink receives the request half of an exchange. data and end come
// together wherever they arrived together, so that a small message costs one
// call and one write.
type RequestSink interface {
	// OnRequest: Exchange.Request is complete. data is the part of the body
	// that came with the head; end says that the request is complete.
	OnRequest(data []byte, end bool)
	// OnRequestData: more of the body. data may be empty when end.
	OnRequestData(data []byte, end bool)
	// OnRequestTrailers ends the request with trailer fields, lent.
	OnRequestTrailers(t *Head)
	// OnRequestAbort: the client is gone or broke the protocol; no response can
	// reach it any more. The stream and its exchange are the proxy's alone.
	OnRequestAbort(why observe.Reason)
	// OnResponseDrained: see ConnHandler.OnDrained.
	OnResponseDrained()
}

// ServerStream is told the response half. Implemented by server codecs; valid
// from Server.Begin until the response has ended. None of its methods calls
// the sink: what must be told comes from the loop's top.
type ServerStream interface {
	Loop() Loop
	Peer() *Peer
	// Inform sends a 1xx response other than 101.
	Inform(h *Head)
	// Respond sends Exchange.Response with the first part of the body. end
	// says that it is complete. h.Length is the body's length, or -1 when
	// unknown: the codec chooses the framing. With status 101 the stream
	// becomes a tunnel: from now on request data are raw bytes both ways.
	Respond(h *Head, data []byte, end bool)
	// Data sends more of the body.
	Data(b []byte, end bool)
	// Trailers ends the response with trailer fields. A protocol or message
	// that cannot carry them ends without.
	Trailers(t *Head)
	// Reset ends the exchange without a complete response: the client must be
	// able to tell that it is broken.
	Reset(why observe.Reason)
	// Pause and Resume hold the request's body.
	Pause()
	Resume()
	// Buffered is how many response bytes wait for the client.
	Buffered() int
}

// ResponseSink receives the response half of one try.
type ResponseSink interface {
	// OnInform: a 1xx response other than 101 and 100 came, lent.
	OnInform(h *Head)
	// OnResponse: Exchange.Response is complete; see RequestSink.OnRequest.
	// After end the ClientStream must not be used.
	OnResponse(data []byte, end bool)
	OnResponseData(data []byte, end bool)
	OnResponseTrailers(t *Head)
	// OnResponseAbort: this try failed. The ClientStream must not be used.
	OnResponseAbort(f Failure)
	// OnRequestDrained: the service takes the request's body again.
	OnRequestDrained()
}

// Failure is why a try failed, and what may be done about it.
type Failure struct {
	Reason observe.Reason
	// Err is the cause for the log; may be nil.
	Err error
	// Unsent: no byte of the request can have been processed by the service
	// (the connection never stood): any request may be tried again.
	Unsent bool
	// Reused: the connection had served before and ended without a byte of a
	// response, as servers do that close an idle connection in the same moment.
	// An idempotent request may be tried again; with Unsent, any. On a new
	// connection it cannot happen again.
	Reused bool
	// Seen, with Unsent: the service has read the request, and says that it has not
	// begun with it. Another try is safe, and costs the service as much as this one.
	Seen bool
}

// ClientStream is told the request half of one try. Implemented by client
// codecs; valid from ClientConn.Send until the response ended or was aborted.
// Neither Send nor any of its methods calls the sink: what must be told comes
// from the loop's top.
type ClientStream interface {
	// Data sends more of the request's body.
	Data(b []byte, end bool)
	// Trailers ends the request with trailer fields.
	Trailers(t *Head)
	// Cancel gives up this try; no event follows. The connection is closed
	// when the protocol has no other way.
	Cancel()
	// Pause and Resume hold the response's body.
	Pause()
	Resume()
	// Buffered is how many request bytes wait for the service.
	Buffered() int
}

// ClientConn is a connection to a service, with room for one exchange
// (HTTP/1) or many. Implemented by client codecs, kept by upstream's pools.
type ClientConn interface {
	// Send starts a try: it writes x.Request and the first part of the body,
	// and will fill x.Response and call sink. The connection may still be
	// opening; what is sent waits.
	Send(x *Exchange, sink ResponseSink, data []byte, end bool) ClientStream
	// Close ends the connection when nothing runs on it, and at the end of
	// what runs otherwise. Its owner hears OnGone when it is over.
	Close()
	// Abort ends the connection now; a running try gets OnResponseAbort with why.
	Abort(f Failure)
	// Idle says whether nothing runs on it and it is open or opening.
	Idle() bool
	// Room is how many more exchanges Send takes now: 0 or 1 for HTTP/1. It
	// changes with what the service says (HTTP/2 GOAWAY and SETTINGS), so it is
	// asked before each Send; without room a try fails as Unsent. It is negative
	// where more run than the service allows, by how many.
	Room() int
}

// ClientOwner is told what becomes of a ClientConn: upstream's pool.
type ClientOwner interface {
	// OnOpen: the connection stands (TLS included).
	OnOpen(c ClientConn)
	// OnIdle: an exchange ended and the connection stays. It comes before the
	// sink's last event, so that the same connection can be lent again from
	// within it. On a connection with many exchanges it comes for each that
	// ended, by a response, an abort or Cancel (then from the loop's top), while
	// others may run on: Room and Idle tell how it stands. Where the connection
	// ends with the exchange OnGone comes instead.
	OnIdle(c ClientConn)
	// OnGone: the connection is closed or must not be used again. It comes
	// once, before the sink's OnResponseAbort if one is due.
	OnGone(c ClientConn, err error)
}

// Leaver is a Server that counts connections: it is told of each of HTTP/2 that
// it has served when that is over.
type Leaver interface{ Left(p *Peer) }

// ServerCodec makes a connection from a client speak a protocol.
type ServerCodec interface {
	// Serve takes c over, which becomes the codec's. lim holds for its life.
	Serve(c Conn, srv Server, lim *Limits)
	// Refuse answers c with the reason and closes it, without a Server: for
	// connections beyond a listener's bound.
	Refuse(c Conn, why observe.Reason)
}

// ClientCodec makes a connection to a service speak a protocol.
type ClientCodec interface {
	// Open returns the machine for a connection that dial starts; dial is
	// called once, within Open, with the machine as the handler.
	Open(owner ClientOwner, dial func(h ConnHandler) Conn) ClientConn
}

// Drainer is a server codec whose connections can be told to end while no
// response is due on them.
type Drainer interface {
	// Drain tells the connections of l whose Server is Draining, and those for
	// which leaves, where it is not nil, says true. It is called on l.
	Drain(l Loop, leaves func(s Server, p *Peer) bool)
}

// Cutter is a server codec whose connections can be ended at once.
type Cutter interface {
	// Cut ends the connections of l for which gone says true, with all that they
	// carry, for a reason. It is called on l.
	Cut(l Loop, gone func(s Server, p *Peer) bool, why observe.Reason)
}

// Limits of a server codec; all set, negative is none. See model.Limits.
type Limits struct {
	HeadBytes, Fields, URIBytes int
	BodyBytes                   int64
	Requests                    int
	// Age is for how long a connection takes new requests, of HTTP/2 give or take a
	// tenth; then its client is told to make another (Connection: close, GOAWAY), and
	// it ends with what it carries. 0 or less is no bound.
	Age                     time.Duration
	Idle, Head, Body, Write time.Duration
	// HTTP2 is understood too: where ALPN chose it, and on a plain connection
	// by prior knowledge (RFC 9113 section 3.3).
	HTTP2 bool
	// Connect: CONNECT of HTTP/2 is let in, Forward: that of HTTP/1, too, of
	// clients that say where they want to go; otherwise it is refused.
	Connect, Forward bool
}

// Taker is a server codec that may be given a connection of which another
// codec has read the beginning, which says that it is this one's.
type Taker interface {
	// Take is ServerCodec.Serve for a connection that began with first, which
	// is lent. It is called from within the connection's OnData.
	Take(c Conn, srv Server, lim *Limits, first []byte)
}
