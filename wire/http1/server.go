package http1

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// inbound is where the requests of a connection stand.
type inbound uint8

const (
	inHead   inbound = iota // no request, or (server.x set) part of a head
	inBody                  // the head was told, the body comes
	inWait                  // the request is complete, its response is not
	inDrain                 // the response ended first; the body is thrown away
	inTunnel                // after 101, or CONNECT: raw bytes
	inClosed                // the connection is given up
)

// outbound is where the response in hand stands, and how its end is told.
type outbound uint8

const (
	outNone    outbound = iota // nothing was sent but 1xx
	outLength                  // server.left bytes are due
	outChunks                  // chunked
	outClose                   // until the connection ends
	outNothing                 // no body may be sent: HEAD, 204, 304
	outTunnel                  // raw bytes
	outConnect                 // likewise, by CONNECT: the end of a direction is not the other's
	outHalf                    // of those the one to the client has ended
)

// maxDrained bounds how much of a body is read after its response, so that the
// connection can be used again. Beyond it, closing is cheaper.
const maxDrained = 256 << 10

// server is the machine of a connection from a client. It is 208 bytes; the
// connections that idle are the many.
type server struct {
	conn wire.Conn
	srv  wire.Server
	sink wire.RequestSink
	x    *wire.Exchange // lent from Begin until the response ended
	lim  *wire.Limits
	loc  *local
	kept *kept // not used yet; nil when there is nothing

	timer    wire.Timer
	at       time.Duration // when the clock of the inbound state began
	since    time.Duration // when the connection came
	progress time.Duration // when the client last took something
	pending  uint32        // Conn.Buffered at that time

	body   body
	left   int64  // of the response's length, or of what may be drained
	served uint32 // requests so far, this one included

	in  inbound
	out outbound
	// stray counts bytes of an empty line before the request line.
	stray uint8

	busy   bool // the loop is in the machine: what must be told waits for its way out
	queued bool // later will come
	held   bool // the sink has paused the body
	paused bool // the Conn is
	asked  bool // 100 (Continue) is owed before the body comes
	toHEAD bool
	minor0 bool // the request in hand is of HTTP/1.0
	last   bool // no request after this one
	leaves bool // because the client said so
	eof    bool // the client has ended its side
	hung   bool // likewise, and what it sent before waits because of held or kept
	told   bool // the sink of a tunnel knows
}

var (
	_ wire.ServerStream  = (*server)(nil)
	_ wire.HangUpHandler = (*server)(nil)
	_ wire.TimerHandler  = (*server)(nil)
)

// Serve is wire.ServerCodec's.
func (c *Codec) Serve(conn wire.Conn, srv wire.Server, lim *wire.Limits) {
	loc := c.local(conn.Loop())
	m := loc.newServer()
	m.loc, m.conn, m.srv, m.lim = loc, conn, srv, lim
	m.timer.Handler = m
	m.at = loc.loop.Now()
	m.since = m.at
	conn.SetHandler(m)
	m.expect(m.patience())
}

// Warm implements wire.Warmer: for a request that has come, and for a response
// that has, which is written to the connection.
func (m *server) Warm() uint64 {
	n := uint64(m.at) + uint64(m.timer.Due()) + uint64(m.left) + uint64(m.served)
	if w, ok := m.conn.(wire.Warmer); ok {
		n += w.Warm()
	}
	return n
}

// Rank implements wire.Ranker. What a request that comes is about nobody knows.
func (m *server) Rank() wire.Rank {
	if m.sink == nil || m.in == inHead {
		return wire.RankFirst
	}
	return wire.RankOf(m.sink)
}

// OnOpen does not come: the connection was accepted.
func (m *server) OnOpen() {}

// OnData runs the machine over what came.
func (m *server) OnData(b []byte) {
	m.busy = true
	if m.in == inBody || m.in == inDrain {
		m.at = m.loc.loop.Now()
	}
	m.feed(b)
	m.leave()
}

// later goes on with what was kept, or tells what could not be told earlier.
func (m *server) later() {
	m.queued = false
	m.busy = true
	if m.in != inClosed {
		m.feed(nil)
	}
	if m.in == inTunnel {
		m.tellEnd()
	}
	m.leave()
}

// leave is the way out of every entry from the loop.
func (m *server) leave() {
	m.busy = false
	if m.in != inClosed || m.queued {
		return
	}
	m.abandon(observe.Internal) // only after cut is there still an exchange
	m.srv.Gone(m)
	m.loc.freeKept(m.kept)
	m.loc.freeServer(m)
}

// feed runs the machine over what was kept and b until it needs something.
func (m *server) feed(b []byte) {
	if m.kept != nil {
		b = m.kept.add(b)
	}
	for run := true; run && len(b) > 0; {
		switch m.in {
		case inHead:
			b, run = m.readHead(b)
		case inBody:
			if run = !m.held; run {
				b, run = m.pump(b, false)
			}
		case inWait:
			run = false
		case inDrain:
			b, run = m.drain(b)
		case inTunnel:
			if run = !m.held; run {
				m.x.BytesIn += int64(len(b))
				m.sink.OnRequestData(b, false)
				b = nil
			}
		case inClosed:
			return
		}
	}
	if m.in == inClosed {
		return
	}
	m.kept = m.loc.hold(m.kept, b)
	m.flow()
	m.expect(m.patience())
}

// flow pauses the connection while nothing of it can be used.
func (m *server) flow() {
	stop := m.held || m.in == inWait && m.kept != nil
	if stop == m.paused {
		return
	}
	m.paused = stop
	if stop {
		m.conn.Pause()
	} else {
		m.conn.Resume()
	}
}

// readHead reads a request's head; it gives what follows, and false while the
// head is incomplete.
func (m *server) readHead(b []byte) (rest []byte, run bool) {
	var fresh scanner
	s := &fresh
	if m.x == nil {
		if m.served == 0 && b[0] == preface[0] && m.mayHandOver() {
			switch n := min(len(b), len(preface)); {
			case string(b[:n]) != preface[:n]:
			case n < len(preface):
				return b, false // nothing is decided yet
			default:
				m.handOver(b)
				return nil, false
			}
		}
		// One empty line before the request line is passed over (RFC 9112
		// section 2.2); it is not yet a request.
		if b[0] == '\r' && m.stray == 0 {
			m.stray = 1
			return b[1:], true
		}
		if m.stray == 1 {
			m.stray = 2
			if b[0] == '\n' {
				return b[1:], true
			}
			m.begin()
			m.fail(observe.BadRequestLine)
			return nil, false
		}
		m.begin()
	} else if m.kept != nil {
		s = &m.kept.s
	}
	x := m.x
	n, why := s.request(b, &x.Request, &bounds{m.lim.HeadBytes, m.lim.Fields, m.lim.URIBytes})
	if n == 0 && why == 0 {
		if s == &fresh {
			m.kept = m.loc.hold(m.kept, b)
			m.kept.s = fresh
			b = m.kept.b[m.kept.off:]
		}
		return b, false
	}
	x.Headed = m.loc.loop.Now()
	var f framing
	if why == 0 {
		why = fillRequest(x, b[:n], s, &f, m.lim.Forward)
	} else {
		partly(x, b, s)
	}
	m.toHEAD = string(x.Request.Method) == "HEAD"
	if why == 0 && m.lim.BodyBytes >= 0 && x.Request.Length > m.lim.BodyBytes {
		why = observe.BodyTooLarge
	}
	if why != 0 {
		m.fail(why)
		return nil, false
	}
	m.minor0 = s.minor == 0
	m.leaves = !f.persistent(s.minor)
	if wire.Connects(x) {
		// What follows is for the tunnel, and where there is none it is no request.
		m.leaves, m.last = false, true
	}
	m.last = m.last || m.leaves || m.lim.Requests >= 0 && int(m.served) >= m.lim.Requests || m.lim.Age > 0 && x.Headed-m.since >= m.lim.Age
	m.body = body{}
	switch {
	case x.Request.Length < 0:
		m.body.kind = byChunks
	case x.Request.Length > 0:
		m.body.kind, m.body.left = byLength, x.Request.Length
	}
	m.in = inBody
	m.at = x.Headed
	return m.pump(b[n:], true)
}

// preface is how a client begins that knows that HTTP/2 is spoken here (RFC
// 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// mayHandOver says whether HTTP/2 is understood without TLS having chosen it.
func (m *server) mayHandOver() bool {
	return m.lim.HTTP2 && m.loc.http2 != nil && m.conn.Peer().TLS == nil
}

// handOver gives the connection, which began with b, to HTTP/2's machine. This
// one ends, and nobody hears of it.
func (m *server) handOver(b []byte) {
	m.in = inClosed
	m.loc.loop.Disarm(&m.timer)
	if m.paused {
		m.conn.Resume()
	}
	m.loc.http2.Take(m.conn, m.srv, m.lim, b)
}

// begin asks for a place for the request whose first byte is here.
func (m *server) begin() {
	m.x, m.sink = m.srv.Begin(m)
	m.x.Request.Reset()
	m.x.Peer = m.conn.Peer()
	m.x.Upgrade, m.x.ExpectContinue = nil, false
	m.x.BytesIn, m.x.BytesOut = 0, 0
	m.at = m.loc.loop.Now()
	m.x.Began = m.at
	m.served++
	m.out = outNone
}

// partly fills in what was read of a refused request, for the log.
func partly(x *wire.Exchange, b []byte, s *scanner) {
	h := &x.Request
	h.Fields = h.Fields[:0]
	if s.method > 0 {
		h.Method = h.Keep(b[:s.method])
	}
	if s.target > 0 {
		h.Path = h.Keep(b[s.method+1 : s.target])
	}
}

// pump undoes the framing of b and hands the body on; first says that the
// head has still to be told. It gives what it did not use, and false when
// more bytes are needed for that.
func (m *server) pump(b []byte, first bool) (rest []byte, run bool) {
	x := m.x
	// A client that sends already need not be asked to.
	m.asked = first && x.ExpectContinue && len(b) == 0
	for {
		piece, n, e := m.body.gather(m.loc, b)
		b = b[n:]
		x.BytesIn += int64(len(piece))
		if e == broken {
			m.fail(observe.BadChunk)
			return nil, false
		}
		if m.body.kind == byChunks && m.lim.BodyBytes >= 0 && x.BytesIn > m.lim.BodyBytes {
			m.fail(observe.BodyTooLarge)
			return nil, false
		}
		if e == done {
			m.in = inWait
		}
		if first {
			m.sink.OnRequest(piece, e == done)
			if m.asked && !m.held {
				m.proceed()
			}
		} else if len(piece) > 0 || e == done {
			m.sink.OnRequestData(piece, e == done)
		}
		first = false
		switch {
		case m.in != inBody || m.x != x:
			return b, true // the response ended, or the body did
		case e == trailers && !m.held:
			return m.trailers(b)
		case m.held:
			return b, false
		case len(b) == 0:
			return nil, true
		}
	}
}

// proceed sends 100 (Continue), when the body is wanted and nothing else was
// said (RFC 9110 section 10.1.1).
func (m *server) proceed() {
	if m.asked && m.out == outNone && m.in == inBody {
		m.asked = false
		m.write([]byte(statusLines[0]+"\r\n"), nil)
		m.at = m.loc.loop.Now()
	}
}

// trailers reads the trailer section at the start of b and ends the request.
func (m *server) trailers(b []byte) (rest []byte, run bool) {
	k := m.kept
	if k == nil {
		k = m.loc.newKept()
		k.b = append(k.b, b...)
		b = k.b
		m.kept = k
	}
	if m.body.step != chunkFields {
		m.body.step = chunkFields
		k.s = scanner{step: stepFields}
		k.t.Reset()
	}
	n, why := k.s.trailers(b, &k.t, &bounds{m.lim.HeadBytes, m.lim.Fields, -1})
	if why != 0 {
		if m.in == inDrain {
			m.shut(finish)
		} else {
			m.fail(why)
		}
		return nil, false
	}
	if n == 0 {
		return b, false
	}
	if m.in == inDrain {
		m.ready() // nobody waits for them
		return b[n:], true
	}
	k.t.Buf = append(k.t.Buf[:0], b[:n]...)
	m.in = inWait
	var f framing
	f.read(&k.t, 0)
	if wire.DropForbidden(&k.t) {
		m.sink.OnRequestTrailers(&k.t)
	} else {
		m.sink.OnRequestData(nil, true)
	}
	return b[n:], true
}

// drain throws a body away whose response has ended.
func (m *server) drain(b []byte) (rest []byte, run bool) {
	_, n, e := m.body.next(b)
	m.left -= int64(n)
	switch {
	case e == broken, m.left < 0:
		m.shut(finish)
		return nil, false
	case e == trailers:
		return m.trailers(b[n:])
	case e == done:
		m.ready()
	}
	return b[n:], true
}

// ready makes the machine ready for the next request.
func (m *server) ready() {
	m.in, m.out = inHead, outNone
	m.stray = 0
	m.asked = false
	m.at = m.loc.loop.Now()
	if m.eof {
		m.shut(orderly)
	}
}

// OnDrained passes on that the client takes bytes again.
func (m *server) OnDrained() {
	m.busy = true
	m.taken()
	if m.x != nil && m.in != inClosed && m.in != inHead {
		m.sink.OnResponseDrained()
		if m.in != inClosed {
			m.feed(nil)
		}
	}
	m.leave()
}
