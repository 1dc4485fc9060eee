package http2

import (
	"errors"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Bounds of a response. Services are configured, not anybody; the bounds are
// there so that a broken one cannot exhaust memory.
const (
	maxResponseHead   = 64 << 10
	maxResponseFields = 200
	maxInforms        = 16 // 1xx responses before the final one
)

var (
	errFraming   = errors.New("http2: body is not as long as announced")
	errInforms   = errors.New("http2: too many 1xx responses")
	errUnusable  = errors.New("http2: connection takes no more requests")
	errNotChosen = errors.New("the service does not choose HTTP/2 (ALPN h2), which its protocol: http2 asks for")
	errConnect   = errors.New("http2: service takes no extended CONNECT")
	errSilent    = errors.New("http2: nothing came on the connection")
	errGoAway    = errors.New("http2: service wants no more requests on this connection")
)

// Open is wire.ClientCodec's. The preface goes with the first request.
func (c *Codec) Open(owner wire.ClientOwner, dial func(wire.ConnHandler) wire.Conn) wire.ClientConn {
	m := &session{client: true, owner: owner, prefaced: true, nextID: 1}
	m.conn = dial(m)
	m.start(c.local(m.conn.Loop()))
	m.out = append(m.room(), Preface...)
	m.greet()
	return m
}

// OnOpen: a dialled connection stands. For an accepted one it does not come.
func (m *session) OnOpen() {
	if t := m.conn.Peer().TLS; t != nil && t.Protocol != "h2" {
		m.conn.Abort()
		m.OnClose(&wire.DialError{Addr: m.conn.Peer().Remote, Err: errNotChosen, TLS: true})
		return
	}
	m.busy = true
	m.open = true
	m.owner.OnOpen(m)
	m.leave()
}

// Rank implements wire.Ranker: of what many share the one that matters most
// decides. What a client asks for nobody knows before it is read.
func (m *session) Rank() wire.Rank {
	if !m.client || m.streams.n == 0 || m.streams.first((*stream).first) != nil {
		return wire.RankFirst
	}
	return wire.RankLast
}

func (s *stream) first() bool { return s.res != nil && wire.RankOf(s.res) == wire.RankFirst }

// Idle is wire.ClientConn's.
func (m *session) Idle() bool {
	return !m.closed && !m.closing && !m.final && m.streams.n == 0 && m.deferrals == 0
}

// Room is wire.ClientConn's.
func (m *session) Room() int {
	if m.closed || m.closing || m.final || m.nextID > maxID-2*ourStreams {
		return 0
	}
	return int(min(m.peerStreams, ourStreams)) - m.streams.n - m.deferrals
}

// Close is wire.ClientConn's.
func (m *session) Close() {
	if m.closed {
		return
	}
	m.closing = true
	m.fail.Err = wire.ErrClosed
	if m.streams.n == 0 && m.deferrals == 0 {
		m.shut(orderly)
	}
}

// Abort is wire.ClientConn's.
func (m *session) Abort(f wire.Failure) {
	if !m.closed {
		f.Unsent = f.Unsent || !m.open
		m.fail = f
		m.shut(abort)
	}
}

// gone tells the owner once.
func (m *session) gone() {
	if m.client && !m.told {
		m.told = true
		m.owner.OnGone(m, m.fail.Err)
	}
}

// ended tells the owner that an exchange has ended.
func (m *session) ended() {
	if m.closed {
		m.gone()
	} else {
		m.owner.OnIdle(m)
	}
}

// tellIdle tells of the tries that were cancelled.
func (m *session) tellIdle() {
	for ; m.owesIdle > 0 && !m.closed; m.owesIdle-- {
		m.owner.OnIdle(m)
	}
}

// lostFailure is what a try hears whose connection ended.
func (m *session) lostFailure(s *stream) wire.Failure {
	f := m.fail
	if f.Reason == 0 {
		f.Reason = observe.UpstreamReset
	}
	f.Unsent = f.Unsent || !m.open || s.id == 0
	f.Reused = m.served > 0 && !s.answered && s.informs == 0
	return f
}

// resetFailure is what a try hears that the service has reset.
func (m *session) resetFailure(s *stream, why code) wire.Failure {
	f := wire.Failure{Reason: observe.UpstreamStreamReset, Err: streamError(why)}
	if why == codeRefused && !s.answered {
		// What went before anybody knew how many streams there may be is our doing,
		// unless there may be none.
		f.Unsent, f.Reused, f.Seen = true, true, !s.early || m.peerStreams == 0
	}
	return f
}

// farewell: the service processes no stream after last (RFC 9113 section 6.8).
func (m *session) farewell(last uint32) {
	m.final = true
	m.fail.Err = errGoAway
	after := func(s *stream) bool { return s.id > last }
	lost := uint32(0)
	m.streams.first(func(s *stream) bool {
		if after(s) {
			lost++
		}
		return false
	})
	// Who leaves politely leaves few behind. Where most requests are left behind the
	// next connection would not be better.
	seen := lost > m.served+uint32(m.streams.n)-lost
	for s := m.streams.first(after); s != nil; s = m.streams.first(after) {
		s.fail = wire.Failure{Reason: observe.UpstreamReset, Err: errGoAway, Unsent: !s.answered, Reused: !s.answered}
		s.fail.Seen = !s.answered && seen
		m.lose(s, true, 0)
	}
	m.endDeferred()
	if m.streams.n == 0 {
		m.shut(orderly)
	}
}

// onResponse reads the head of a response.
func (m *session) onResponse(s *stream, block []byte, end bool) code {
	x := s.x
	h := &x.Response
	x.Shelf.Lend(h)
	h.Reset()
	h.Minor = 2
	r := &m.loc.fields
	r.stream = nil
	r.StartResponse(h, m.headBounds())
	if why := m.readBlock(block, r); why != codeNone {
		return why
	}
	r.FinishResponse(end, s.noBody)
	switch {
	case r.Why == observe.HeadTooLarge || r.Why == observe.TooManyFields:
		s.fail = wire.Failure{Reason: observe.UpstreamHeadTooLarge}
		m.out = appendReset(m.room(), s.id, codeCancel)
		m.lose(s, true, 0)
		return codeNone
	case r.Why != 0 || m.blockSelf || h.Status < 200 && end:
		return m.breakStream(s, codeProtocol)
	case h.Status < 200:
		if s.informs++; s.informs > maxInforms {
			s.fail = wire.Failure{Reason: observe.UpstreamBadResponse, Err: errInforms}
			m.out = appendReset(m.room(), s.id, codeCancel)
			m.lose(s, true, 0)
		} else if h.Status != 100 {
			s.res.OnInform(h)
		}
		return codeNone
	}
	s.answered, s.untold = true, true
	s.inEnd = end
	s.expect = -1
	switch {
	case s.connect && h.Status < 300:
		s.tunnel = true
		h.Length = -1 // RFC 9110 section 9.3.6
	case s.upgrade && h.Status < 300:
		s.tunnel = true
		m.loc.name = wire.Granted(x, m.loc.name)
	case h.Length >= 0 && !end:
		s.expect = h.Length
	}
	s.upgrade = false
	m.collect(s, nil, end)
	return codeNone
}

// finish ends an exchange. The owner hears of it before the sink hears the
// last event: from within it the connection may be lent again.
func (m *session) finish(s *stream, data []byte, first bool, t *wire.Head) {
	res := s.res
	s.x = nil
	m.served++
	if !s.finished {
		// The rest of the request is not wanted any more.
		m.out = appendReset(m.room(), s.id, codeCancel)
	}
	m.forget(s, !s.finished)
	m.ended()
	switch {
	case t != nil:
		res.OnResponseTrailers(t)
	case first:
		res.OnResponse(data, true)
	default:
		res.OnResponseData(data, true)
	}
}
