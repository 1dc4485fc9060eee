package http2

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// gather is what of a stream is told together: a head that was not told and
// the data that came with it. It is empty whenever the loop is not in feed.
type gather struct {
	s      *stream
	data   []byte // lent by the input, or in local.join
	joined bool
	end    bool
}

// maxJoin is up to how many bytes of DATA frames are joined.
const maxJoin = 64 << 10

// beginData reads the header of a DATA frame at the start of b.
func (m *session) beginData(f *frame, b []byte) int {
	n, pad := frameHead, 0
	if f.has(flagPadded) && f.length > 0 {
		if len(b) == n {
			return 0
		}
		pad = 1 + int(b[n])
		n++
	}
	if f.has(flagPadded) && (f.length == 0 || pad > f.length) || f.id == 0 || m.neverOpened(f.id) {
		m.broken(codeProtocol)
		return n
	}
	size := int32(f.length)
	if size > m.recv {
		m.broken(codeFlowControl)
		return n
	}
	m.recv -= size
	if size == int32(pad) && !f.has(flagEndStream) && !m.spend(wasteEmpties) {
		m.broken(codeEnhanceYourCalm)
		return n
	}
	m.data, m.dataLeft, m.padLeft, m.dataEnd = m.streams.find(f.id), size-int32(pad), int32(max(0, pad-1)), f.has(flagEndStream)
	s := m.data
	if s == nil {
		if ours, found := m.recently(f.id); found && !ours && !m.client {
			m.broken(codeStreamClosed)
			return n
		}
	} else if why, reason := m.takeData(s, size); why != codeNone {
		m.breakFor(s, why, reason)
	}
	if m.data == nil {
		m.returnCredit(size)
		return n
	}
	m.used(s, int32(pad)) // padding and its length
	if m.dataLeft > 0 {
		m.earn(wastePings, 1)
	} else if m.dataEnd {
		m.collect(s, nil, true)
	}
	return n
}

// takeData checks a DATA frame of s: its windows, its place, and the length
// that was announced.
func (m *session) takeData(s *stream, size int32) (code, observe.Reason) {
	switch {
	case s.inEnd:
		return codeStreamClosed, observe.BadFrame
	case m.client && !s.headed():
		return codeProtocol, observe.BadFrame // content before a head
	case size > s.recv:
		return codeFlowControl, observe.BadFrame
	}
	s.recv -= size
	s.inEnd = m.dataEnd
	if s.expect >= 0 {
		if s.expect -= int64(m.dataLeft); s.expect < 0 || s.inEnd && s.expect > 0 {
			return codeProtocol, observe.BadLength
		}
	}
	return codeNone, 0
}

// readData takes what of a DATA frame's data is in b.
func (m *session) readData(b []byte) int {
	n := min(int(m.dataLeft), len(b))
	m.dataLeft -= int32(n)
	if s := m.data; s != nil {
		m.collect(s, b[:n], m.dataLeft == 0 && m.dataEnd)
	}
	return n
}

// collect adds a piece of s to what is told together.
func (m *session) collect(s *stream, b []byte, end bool) {
	g := &m.loc.gather
	if g.s != nil && (g.s != s || len(g.data)+len(b) > maxJoin) {
		m.tell()
		if s.closed {
			m.returnCredit(int32(len(b)))
			return
		}
	}
	switch {
	case g.s == nil:
		*g = gather{s: s, data: b}
	case len(b) == 0:
	case len(g.data) == 0:
		g.data = b
	default:
		if !g.joined {
			m.loc.join = append(m.loc.join[:0], g.data...)
			g.joined = true
		}
		m.loc.join = append(m.loc.join, b...)
		g.data = m.loc.join
	}
	if g.end = end; end {
		m.tell()
	}
}

// tell tells what was gathered.
func (m *session) tell() {
	g := &m.loc.gather
	if s := g.s; s != nil {
		data, end := g.data, g.end
		*g = gather{}
		m.deliver(s, data, end)
	}
}

// deliver hands data of s on, or keeps them while its sink has paused, or until its
// turn has come.
func (m *session) deliver(s *stream, data []byte, end bool) {
	if s.x == nil && !m.client {
		m.used(s, int32(len(data))) // the response has ended
		return
	}
	if s.held || s.in.Len() > 0 || !s.untold && (s.upgrade || m.putOff(s)) {
		s.in.Push(&m.loc.chunks, data)
		s.inOver = s.inOver || end
		return
	}
	m.hand(s, data, end)
}

// putOff puts off what comes on s, a request that is known, while that matters less
// than what else the loop has to do. New requests, and the end of what a client takes
// back, are told at once: what is kept is bounded by windows.
func (m *session) putOff(s *stream) bool {
	if s.late || m.client || m.loc.sorter == nil || !m.loc.sorter.Behind() {
		return s.late
	}
	rank := wire.RankOf(s.req)
	if s.late = rank != wire.RankFirst; s.late {
		m.loc.sorter.PutOff(rank, s)
	}
	return s.late
}

// OnTurn implements wire.Latecomer.
func (s *stream) OnTurn() {
	if m := s.m; s.late { // or it has ended
		s.late = false
		m.busy = true
		m.unhold(s)
		m.leave()
	}
}

// hand calls the sink.
func (m *session) hand(s *stream, data []byte, end bool) {
	m.used(s, int32(len(data)))
	first := s.untold
	s.untold = false
	if s.connect && s.tunnel && end {
		s.inTold = true
		defer m.bothEnded(s)
	}
	if m.client {
		switch {
		case s.inTold && first:
			s.res.OnResponse(data, true)
		case s.inTold:
			s.res.OnResponseData(data, true)
		case end:
			m.finish(s, data, first, nil)
		case first:
			s.res.OnResponse(data, false)
		case len(data) > 0:
			s.res.OnResponseData(data, false)
		}
		return
	}
	x := s.x
	s.at = m.loc.loop.Now()
	if n := x.BytesIn + int64(len(data)); m.lim.BodyBytes >= 0 && n > m.lim.BodyBytes && !s.tunnel {
		s.untold = first
		m.refuse(s, observe.BodyTooLarge)
		return
	}
	x.BytesIn += int64(len(data))
	if !first {
		if len(data) > 0 || end {
			s.req.OnRequestData(data, end)
		}
		return
	}
	s.asked = x.ExpectContinue && len(data) == 0 && !end
	if s.upgrade && end {
		s.inOver = true // the tunnel's end, should there be one
	}
	s.req.OnRequest(data, end || s.upgrade)
	m.proceed(s)
	m.expectBody(s)
}

// unhold goes on with what was kept.
func (m *session) unhold(s *stream) {
	for !s.closed && !s.held && !s.late && !s.upgrade && s.x != nil && (s.in.Len() > 0 || s.untold && m.client && s.headed() || s.inOver) {
		n := min(s.in.Len(), maxJoin)
		m.loc.join = s.in.Take(&m.loc.chunks, m.loc.join[:0], n)
		end := s.in.Len() == 0 && s.inOver && s.inTrailers == nil
		if end || s.in.Len() == 0 && s.inTrailers != nil {
			s.inOver = false
		}
		if n > 0 || end || s.untold {
			m.hand(s, m.loc.join, end)
		}
	}
	if t := s.inTrailers; t != nil && !s.closed && !s.held && !s.late && s.in.Len() == 0 && s.x != nil {
		s.inTrailers = nil
		m.handTrailers(s, t)
		m.loc.freeHead(t)
	}
	m.expectBody(s)
}

// onTrailers reads the fields that end the peer's half of s.
func (m *session) onTrailers(s *stream, block []byte, end bool) code {
	t := m.loc.newHead()
	r := &m.loc.fields
	r.stream = nil
	r.StartTrailers(t, m.headBounds())
	if why := m.readBlock(block, r); why != codeNone {
		m.loc.freeHead(t)
		return why
	}
	s.inEnd = end
	switch {
	case !end || m.blockSelf:
		r.Why = observe.BadFrame
	case r.Why == 0 && s.expect > 0:
		r.Why = observe.BadLength
	case s.tunnel || s.upgrade:
		r.Why = observe.BadFrame // RFC 9113 section 8.5
	}
	if r.Why != 0 {
		m.loc.freeHead(t)
		return m.breakFor(s, codeProtocol, r.Why)
	}
	if s.untold && !m.client {
		m.deliver(s, nil, false) // of a fickle client: this is all of it
	}
	if s.x == nil || s.closed {
		m.loc.freeHead(t)
		return codeNone
	}
	if !wire.DropForbidden(t) {
		m.loc.freeHead(t)
		m.deliver(s, nil, true)
		return codeNone
	}
	if s.held || s.in.Len() > 0 || m.putOff(s) {
		s.inTrailers, s.inOver = t, true
		return codeNone
	}
	m.handTrailers(s, t)
	m.loc.freeHead(t)
	return codeNone
}

func (m *session) handTrailers(s *stream, t *wire.Head) {
	if m.client {
		m.finish(s, nil, false, t)
		return
	}
	s.req.OnRequestTrailers(t)
}

// used gives back n bytes of s's window, and of the connection's. Small
// amounts wait for each other.
func (m *session) used(s *stream, n int32) {
	m.returnCredit(n)
	if s.inEnd || s.x == nil || s.closed {
		return
	}
	if s.credit += n; s.credit >= ourWindow/2 {
		m.out = appendWindow(m.room(), s.id, s.credit)
		s.recv += s.credit
		s.credit = 0
	}
}

// returnCredit gives back n bytes of the connection's window.
func (m *session) returnCredit(n int32) {
	if m.credit += n; m.credit >= ourConnWindow/2 && !m.closed {
		m.out = appendWindow(m.room(), 0, m.credit)
		m.recv += m.credit
		m.credit = 0
	}
}

// bothEnded lets a tunnel by CONNECT go once each direction has ended, and our
// sink knows of the peer's end. The owner hears of it from the loop's top.
func (m *session) bothEnded(s *stream) {
	if !s.finished || !s.inTold || s.closed || s.x == nil {
		return
	}
	s.x = nil
	m.forget(s, false)
	if m.client {
		m.served++
		m.owesIdle++
		m.soon()
	}
}
