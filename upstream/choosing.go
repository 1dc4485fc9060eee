package upstream

import "github.com/naru-mesh/naru/wire"

// choosing is the codec of services whose protocol the handshake decides
// (ALPN, RFC 7301).
type choosing struct{ http1, http2 wire.ClientCodec }

// Open starts a connection that will speak one or the other.
func (c *choosing) Open(owner wire.ClientOwner, dial func(wire.ConnHandler) wire.Conn) wire.ClientConn {
	k := &chooser{codecs: c, owner: owner}
	k.conn = dial(k)
	return k
}

// chooser is a connection of choosing. Until the handshake has ended it keeps
// one exchange, which either protocol can carry; from then on it is a name for
// the machine that was chosen. Whatever happens before that is told to an
// HTTP/1 machine, so that failures are the same for all.
type chooser struct {
	codecs *choosing
	owner  wire.ClientOwner
	conn   wire.Conn

	machine wire.ClientConn
	handler wire.ConnHandler // of machine
	stream  wire.ClientStream

	// What waits for the handshake.
	x        *wire.Exchange
	sink     wire.ResponseSink
	data     []byte
	trailers *wire.Head
	end      bool
	closing  bool
}

var (
	_ wire.ClientConn   = (*chooser)(nil)
	_ wire.ClientStream = (*chooser)(nil)
	_ wire.ConnHandler  = (*chooser)(nil)
)

// choose makes the machine and gives it what waits.
func (k *chooser) choose(codec wire.ClientCodec) {
	k.machine = codec.Open(k.owner, func(h wire.ConnHandler) wire.Conn {
		k.handler = h
		k.conn.SetHandler(h)
		return k.conn
	})
}

// hand gives the machine the exchange that waited.
func (k *chooser) hand() {
	if k.x == nil {
		return
	}
	x, sink, data, end := k.x, k.sink, k.data, k.end
	k.x, k.sink, k.data = nil, nil, nil
	k.stream = k.machine.Send(x, sink, data, end && k.trailers == nil)
	if k.trailers != nil {
		k.stream.Trailers(k.trailers)
		k.trailers = nil
	}
}

// OnOpen: the handshake has chosen.
func (k *chooser) OnOpen() {
	codec := k.codecs.http1
	if t := k.conn.Peer().TLS; t != nil && t.Protocol == "h2" {
		codec = k.codecs.http2
	}
	k.choose(codec)
	k.handler.OnOpen()
	sink, waited := k.sink, len(k.data)
	k.hand()
	if k.closing {
		k.machine.Close()
	}
	if waited > wire.HighWater && k.stream.Buffered() <= wire.LowWater {
		// It was held while it waited, and nothing else lets it go on.
		sink.OnRequestDrained()
	}
}

// OnClose: there is no connection.
func (k *chooser) OnClose(err error) {
	k.choose(k.codecs.http1)
	k.hand()
	k.handler.OnClose(err)
}

// OnData, OnEOF and OnDrained come to the machine: nothing is read or written
// before the handshake has ended.
func (k *chooser) OnData([]byte) {}
func (k *chooser) OnEOF()        {}
func (k *chooser) OnDrained()    {}

// Send is wire.ClientConn's.
func (k *chooser) Send(x *wire.Exchange, sink wire.ResponseSink, data []byte, end bool) wire.ClientStream {
	if k.machine != nil {
		return k.machine.Send(x, sink, data, end)
	}
	k.x, k.sink, k.end = x, sink, end
	k.data = append([]byte(nil), data...)
	return k
}

// Room is wire.ClientConn's.
func (k *chooser) Room() int {
	switch {
	case k.machine != nil:
		return k.machine.Room()
	case k.x == nil && !k.closing:
		return 1
	}
	return 0
}

// Idle is wire.ClientConn's.
func (k *chooser) Idle() bool {
	if k.machine != nil {
		return k.machine.Idle()
	}
	return k.x == nil && !k.closing
}

// Close is wire.ClientConn's.
func (k *chooser) Close() {
	switch {
	case k.machine != nil:
		k.machine.Close()
	case k.x != nil:
		k.closing = true
	default:
		k.choose(k.codecs.http1)
		k.machine.Close()
	}
}

// Abort is wire.ClientConn's.
func (k *chooser) Abort(f wire.Failure) {
	if k.machine == nil {
		k.choose(k.codecs.http1)
		k.hand()
	}
	k.machine.Abort(f)
}

// Data is wire.ClientStream's.
func (k *chooser) Data(b []byte, end bool) {
	if k.stream != nil {
		k.stream.Data(b, end)
		return
	}
	k.data = append(k.data, b...)
	k.end = end
}

// Trailers is wire.ClientStream's.
func (k *chooser) Trailers(t *wire.Head) {
	if k.stream != nil {
		k.stream.Trailers(t)
		return
	}
	k.trailers, k.end = &wire.Head{}, true
	k.trailers.CopyFrom(t)
}

// Cancel is wire.ClientStream's.
func (k *chooser) Cancel() {
	if k.stream == nil {
		k.choose(k.codecs.http1)
		k.hand()
	}
	s := k.stream
	k.stream = nil
	s.Cancel()
}

// Pause is wire.ClientStream's. Before the handshake there is no response.
func (k *chooser) Pause() {
	if k.stream != nil {
		k.stream.Pause()
	}
}

// Resume is wire.ClientStream's.
func (k *chooser) Resume() {
	if k.stream != nil {
		k.stream.Resume()
	}
}

// Buffered is wire.ClientStream's.
func (k *chooser) Buffered() int {
	if k.stream != nil {
		return k.stream.Buffered()
	}
	return len(k.data)
}
