package http1

import (
	"errors"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// reply is where the response of a connection to a service stands.
type reply uint8

const (
	replyNone   reply = iota // nothing runs
	replyHead                // a request was sent, its response's head is awaited
	replyBody                // its body comes
	replyTunnel              // after 101: raw bytes
	replyClosed              // the connection is given up
)

// Bounds of a response. Services are configured, not anybody; the bounds are
// there so that a broken one cannot exhaust memory.
const (
	maxResponseHead   = 64 << 10
	maxResponseFields = 200
	maxInforms        = 16 // 1xx responses before the final one
)

var (
	errUnsolicited = errors.New("bytes that answer no request")
	errMalformed   = errors.New("malformed response")
	errFraming     = errors.New("request body is not as long as announced")
	errUnasked     = errors.New("101 without an upgrade")
	errInforms     = errors.New("too many 1xx responses")
	errUnusable    = errors.New("connection is closed")
)

// client is the machine of a connection to a service: wire.ClientConn and, as
// there is one exchange at a time, its wire.ClientStream.
type client struct {
	conn  wire.Conn
	owner wire.ClientOwner
	sink  wire.ResponseSink
	x     *wire.Exchange // from Send until the response ended
	loc   *local
	kept  *kept

	body   body
	left   int64        // bytes of the request's body that are due, by length
	fail   wire.Failure // told to the sink from the loop's top
	served int          // complete responses
	in     reply

	informs  uint8
	chunked  bool // the request's body
	sent     bool // the request is complete
	toHEAD   bool
	keep     bool // the service keeps the connection
	open     bool
	closing  bool // Close was called while an exchange ran
	begun    bool // a byte of the response came
	busy     bool
	queued   bool
	held     bool // the sink has paused the body
	paused   bool // the Conn is
	reported bool // OnGone was told
	// doubt: the response before this had no body because it must not have
	// one. Services that send one all the same send it late, too.
	doubt bool
}

var (
	_ wire.ClientConn   = (*client)(nil)
	_ wire.ClientStream = (*client)(nil)
	_ wire.ConnHandler  = (*client)(nil)
)

// Open is wire.ClientCodec's.
func (c *Codec) Open(owner wire.ClientOwner, dial func(wire.ConnHandler) wire.Conn) wire.ClientConn {
	m := &client{owner: owner}
	m.conn = dial(m)
	m.loc = c.local(m.conn.Loop())
	return m
}

// Warm implements wire.Warmer: a response has come.
func (m *client) Warm() uint64 {
	n := uint64(m.left) + uint64(m.served)
	if m.sink == nil {
		return n
	}
	if w, ok := m.sink.(wire.Warmer); ok {
		n += w.Warm()
	}
	if w, ok := m.owner.(wire.Warmer); ok {
		n += w.Warm()
	}
	return n
}

// Rank implements wire.Ranker: how much the response that comes matters.
func (m *client) Rank() wire.Rank {
	if m.sink == nil {
		return wire.RankFirst // what comes ends the connection
	}
	return wire.RankOf(m.sink)
}

// OnOpen tells the owner that the connection stands.
func (m *client) OnOpen() {
	m.busy = true
	m.open = true
	m.owner.OnOpen(m)
	m.leave()
}

// Idle is wire.ClientConn's.
func (m *client) Idle() bool { return m.in == replyNone && !m.closing }

// Room is wire.ClientConn's.
func (m *client) Room() int {
	if m.Idle() {
		return 1
	}
	return 0
}

// OnData runs the machine over what came.
func (m *client) OnData(b []byte) {
	m.busy = true
	m.feed(b)
	m.leave()
}

// later goes on with what was kept, or tells what could not be told earlier.
func (m *client) later() {
	m.queued = false
	m.busy = true
	if m.in != replyClosed {
		m.feed(nil)
	}
	m.leave()
}

// leave is the way out of every entry from the loop.
func (m *client) leave() {
	m.busy = false
	if m.in == replyClosed && !m.queued {
		m.report()
		m.loc.freeKept(m.kept)
		m.kept = nil
	}
}

// report tells of a connection that was given up: first the owner, then the
// sink of what ran on it.
func (m *client) report() {
	x, sink := m.x, m.sink
	m.x, m.sink = nil, nil
	m.gone(m.fail.Err)
	if x != nil {
		sink.OnResponseAbort(m.fail)
	}
}

// gone tells the owner once.
func (m *client) gone(err error) {
	if !m.reported {
		m.reported = true
		m.owner.OnGone(m, err)
	}
}

// feed runs the machine over what was kept and b until it needs more.
func (m *client) feed(b []byte) {
	k := m.kept
	if k != nil {
		b = k.add(b)
	}
	for run := true; run && len(b) > 0; {
		switch m.in {
		case replyNone:
			// Nobody asked for these bytes. Whatever they are, they must not
			// answer the next request.
			m.shut(wire.Failure{Reason: observe.UpstreamBadResponse, Err: errUnsolicited})
			return
		case replyHead:
			b, run = m.readHead(b)
		case replyBody:
			if run = !m.held; run {
				b, run = m.pump(b, false)
			}
		case replyTunnel:
			if run = !m.held; run {
				m.sink.OnResponseData(b, false)
				b = nil
			}
		case replyClosed:
			return
		}
	}
	if m.in == replyClosed {
		return
	}
	m.kept = m.loc.hold(m.kept, b)
	m.flow()
}

// flow pauses the connection while nothing of it can be used.
func (m *client) flow() {
	if m.held == m.paused {
		return
	}
	m.paused = m.held
	if m.held {
		m.conn.Pause()
	} else {
		m.conn.Resume()
	}
}

// readHead reads a response's head; it gives what follows, and false while
// the head is incomplete.
func (m *client) readHead(b []byte) (rest []byte, run bool) {
	var fresh scanner
	s := &fresh
	x := m.x
	if m.begun && m.kept != nil {
		s = &m.kept.s
	} else {
		x.Shelf.Lend(&x.Response)
		x.Response.Reset()
		m.begun = true
	}
	n, why := s.response(b, &x.Response, &bounds{maxResponseHead, maxResponseFields, -1})
	if why != 0 {
		f := wire.Failure{Reason: observe.UpstreamBadResponse, Err: errMalformed}
		if why == observe.HeadTooLarge || why == observe.TooManyFields {
			f = wire.Failure{Reason: observe.UpstreamHeadTooLarge}
		}
		m.shut(f)
		return nil, false
	}
	if n == 0 {
		if s == &fresh {
			m.kept = m.loc.hold(m.kept, b)
			m.kept.s = fresh
			b = m.kept.b[m.kept.off:]
		}
		return b, false
	}
	var f framing
	until, why := fillResponse(x, b[:n], s, &f, m.toHEAD)
	if why != 0 {
		m.shut(wire.Failure{Reason: why, Err: errMalformed})
		return nil, false
	}
	b = b[n:]
	*s = scanner{} // another head may follow, in what is kept too
	if h := &x.Response; h.Status < 200 {
		return m.informed(h, b)
	}
	m.keep = f.persistent(x.Response.Minor) && !until && !f.denies(x.Response.Status)
	m.body = body{}
	switch {
	case until:
		m.body.kind = byClose
	case x.Response.Length < 0:
		m.body.kind = byChunks
	case x.Response.Length > 0:
		m.body.kind, m.body.left = byLength, x.Response.Length
	}
	m.in = replyBody
	return m.pump(b, true)
}

// informed handles a 1xx response; b is what follows it.
func (m *client) informed(h *wire.Head, b []byte) (rest []byte, run bool) {
	if h.Status == 101 {
		if m.x.Upgrade == nil || !m.sent {
			m.shut(wire.Failure{Reason: observe.UpstreamBadResponse, Err: errUnasked})
			return nil, false
		}
		m.in = replyTunnel
		h.Length = -1
		m.keep = false
		m.sink.OnResponse(nil, false)
		return b, true
	}
	if m.informs++; m.informs > maxInforms {
		m.shut(wire.Failure{Reason: observe.UpstreamBadResponse, Err: errInforms})
		return nil, false
	}
	if h.Status != 100 {
		m.sink.OnInform(h)
	}
	if m.in == replyHead {
		// The head that follows is read afresh, also when it is kept.
		h.Reset()
	}
	return b, true
}

// pump undoes the framing of b and hands the body on; see server.pump.
func (m *client) pump(b []byte, first bool) (rest []byte, run bool) {
	x := m.x
	for {
		piece, n, e := m.body.gather(m.loc, b)
		b = b[n:]
		switch e {
		case broken:
			m.shut(wire.Failure{Reason: observe.UpstreamBadResponse, Err: errMalformed})
			return nil, false
		case done:
			m.finish(piece, b, first, nil)
			return nil, false
		}
		if first {
			m.sink.OnResponse(piece, false)
		} else if len(piece) > 0 {
			m.sink.OnResponseData(piece, false)
		}
		first = false
		switch {
		case m.in != replyBody || m.x != x:
			return nil, false
		case e == trailers && !m.held:
			return m.trailers(b)
		case m.held:
			return b, false
		case len(b) == 0:
			return nil, true
		}
	}
}

// trailers reads the trailer section at the start of b and ends the response.
func (m *client) trailers(b []byte) (rest []byte, run bool) {
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
	n, why := k.s.trailers(b, &k.t, &bounds{maxResponseHead, maxResponseFields, -1})
	if why != 0 {
		m.shut(wire.Failure{Reason: observe.UpstreamBadResponse, Err: errMalformed})
		return nil, false
	}
	if n == 0 {
		return b, false
	}
	k.t.Buf = append(k.t.Buf[:0], b[:n]...)
	var f framing
	f.read(&k.t, 0)
	if wire.DropForbidden(&k.t) {
		m.finish(nil, b[n:], false, &k.t)
	} else {
		m.finish(nil, b[n:], false, nil)
	}
	return nil, false
}

// finish ends the exchange. The connection is idle, or gone, before the sink
// hears the last event: from within it the connection may be lent again.
func (m *client) finish(piece, rest []byte, first bool, t *wire.Head) {
	sink, k, sent := m.sink, m.kept, m.sent
	m.doubt = m.toHEAD || m.x.Response.Status == 304 || m.x.Response.Status == 204
	m.x, m.sink, m.kept = nil, nil, nil
	m.held = false
	m.served++
	reuse := m.keep && m.sent && len(rest) == 0 && !m.closing
	if reuse {
		m.in = replyNone
		m.owner.OnIdle(m)
	} else {
		m.in = replyClosed
		var err error
		if len(rest) > 0 {
			err = errUnsolicited
		}
		m.gone(err)
	}
	switch {
	case t != nil:
		sink.OnResponseTrailers(t)
	case first:
		sink.OnResponse(piece, true)
	default:
		sink.OnResponseData(piece, true)
	}
	// Not before: the last event's bytes are lent by the connection.
	switch {
	case reuse:
	case sent:
		m.conn.Close()
	default:
		m.conn.Abort() // the rest of the request does not come
	}
	m.loc.freeKept(k)
}

// OnEOF: the service will send no more.
func (m *client) OnEOF() {
	m.busy = true
	switch m.in {
	case replyNone:
		m.shut(wire.Failure{Reason: observe.UpstreamReset, Err: wire.ErrClosed})
	case replyBody, replyTunnel:
		if m.in == replyTunnel || m.body.kind == byClose {
			m.keep = false
			m.finish(nil, nil, false, nil)
		} else {
			m.shut(m.lost(wire.ErrEnded))
		}
	case replyHead:
		m.shut(m.lost(wire.ErrEnded))
	}
	m.leave()
}

// lost is the failure of a connection that ended too early.
func (m *client) lost(err error) wire.Failure {
	return wire.Failure{Reason: observe.UpstreamReset, Err: err, Unsent: !m.open, Reused: m.served > 0 && !m.begun}
}

// OnDrained passes on that the service takes bytes again.
func (m *client) OnDrained() {
	m.busy = true
	if m.x != nil && m.in != replyClosed {
		m.sink.OnRequestDrained()
		if m.in != replyClosed {
			m.feed(nil)
		}
	}
	m.leave()
}

// OnClose: the connection is gone, or never came to be.
func (m *client) OnClose(err error) {
	m.busy = true
	if m.in != replyClosed {
		m.in = replyClosed
		m.fail = m.lost(err)
		switch {
		case !m.open:
			m.fail.Reason = wire.DialReason(err)
		case m.fail.Reason == observe.UpstreamReset:
			m.fail.Reason = wire.LostReason(err)
		}
	}
	m.leave()
}

// shut gives the connection up; why is told to what runs on it, on the way
// out or from the loop's top.
func (m *client) shut(why wire.Failure) {
	if m.in == replyClosed {
		return
	}
	idle := m.in == replyNone
	m.in = replyClosed
	m.fail = why
	if idle && why.Err != errUnsolicited {
		m.conn.Close()
	} else {
		m.conn.Abort()
	}
	m.soon()
}

// soon has later called, unless the machine is running anyway.
func (m *client) soon() {
	if !m.busy && !m.queued {
		m.queued = true
		m.loc.later(m)
	}
}
