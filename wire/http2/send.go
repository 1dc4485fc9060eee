package http2

import (
	"github.com/naru-mesh/naru/wire"
)

// flushAt is how much is written together: more would only take memory.
const flushAt = 64 << 10

// room gives the frames of the next write, to append to.
func (m *session) room() []byte {
	if m.out == nil {
		m.out = m.loc.borrow()
	}
	m.soon()
	return m.out
}

// flush sends what was written in this turn as one write. A service is sent
// nothing before it is known to speak HTTP/2.
func (m *session) flush() {
	unopened := m.client && !m.open
	if unopened && !m.closed {
		return
	}
	if len(m.out) > 0 && m.how != lost && !unopened {
		m.conn.Write(m.out, nil)
		m.watch()
	}
	m.loc.giveBack(m.out)
	m.out = nil
}

// roomy says whether the connection takes more data. Frames that carry none
// always go.
func (m *session) roomy() bool {
	if len(m.out) >= flushAt && (m.open || !m.client) {
		m.conn.Write(m.out, nil)
		m.out = m.out[:0]
		m.watch()
	}
	return m.conn.Buffered()+len(m.out) < wire.HighWater
}

// offer puts s among the streams that may send, behind those that are as
// urgent.
func (m *session) offer(s *stream) {
	if s.ready || s.closed || s.out.Len() > 0 && s.window <= 0 || s.out.Len() == 0 && (!s.outEnd || s.finished) {
		return
	}
	s.ready = true
	p := m.readyTail
	for p != nil && p.urgency > s.urgency {
		p = p.before
	}
	s.before = p
	if p == nil {
		s.after, m.ready = m.ready, s
	} else {
		s.after, p.after = p.after, s
	}
	if s.after == nil {
		m.readyTail = s
	} else {
		s.after.before = s
	}
	m.soon()
}

// withdraw takes s out again.
func (m *session) withdraw(s *stream) {
	if !s.ready {
		return
	}
	s.ready = false
	if s.before == nil {
		m.ready = s.after
	} else {
		s.before.after = s.after
	}
	if s.after == nil {
		m.readyTail = s.before
	} else {
		s.after.before = s.before
	}
	s.before, s.after = nil, nil
}

// pump sends what waits in streams, in turn, as far as windows and the
// connection let it.
func (m *session) pump() {
	for s := m.ready; s != nil && m.roomy(); s = m.ready {
		if m.window <= 0 && s.out.Len() > 0 {
			break
		}
		m.withdraw(s)
		frames := quantum
		if s.incremental {
			frames = 1
		}
		for ; frames > 0 && s.out.Len() > 0; frames-- {
			n := int(min(int32(min(s.out.Len(), ourFrame)), s.window, m.window))
			if n <= 0 {
				break
			}
			m.appendData(s, n, nil)
		}
		if s.out.Len() == 0 && s.outEnd && !s.finished {
			m.sendEnd(s)
		}
		if s.high && s.out.Len() <= streamLow && !s.stuck() {
			s.high = false
			if s.x != nil {
				s.drained = true
				m.rouse(s)
			}
		}
		m.offer(s)
	}
}

// appendData writes one DATA frame of n bytes: of b, or of what waits. The
// last one ends the stream where no trailers do.
func (m *session) appendData(s *stream, n int, b []byte) {
	flags := uint8(0)
	queued := b == nil
	if s.outEnd && s.outTrailers == nil && (queued && n == s.out.Len() || !queued && n == len(b)) {
		flags = flagEndStream
	}
	m.out = appendFrame(m.room(), n, frameData, flags, s.id)
	if queued {
		m.out = s.out.Take(&m.loc.chunks, m.out, n)
		m.waiting -= n
	} else {
		m.out = append(m.out, b[:n]...)
	}
	s.window -= int32(n)
	m.window -= int32(n)
	s.progress = m.loc.loop.Now()
	m.earn(wasteWindows, 8)
	m.earn(wastePings, 1)
	if flags != 0 {
		m.finished(s)
	}
}

// sendEnd ends a stream all of whose data are sent.
func (m *session) sendEnd(s *stream) {
	if t := s.outTrailers; t != nil {
		s.outTrailers = nil
		m.appendTrailers(s, t)
		m.loc.freeHead(t)
	} else {
		m.out = appendFrame(m.room(), 0, frameData, flagEndStream, s.id)
	}
	m.finished(s)
}

// push sends b, and what cannot be sent now later.
func (s *stream) push(b []byte) {
	m := s.m
	if s.out.Len() == 0 && m.ready == nil && !s.deferred {
		for len(b) > 0 && m.roomy() {
			n := int(min(int32(min(len(b), ourFrame)), s.window, m.window))
			if n <= 0 {
				break
			}
			m.appendData(s, n, b)
			b = b[n:]
		}
		if len(b) == 0 {
			if s.outEnd && !s.finished {
				m.sendEnd(s)
			}
			return
		}
	}
	if len(b) > 0 {
		if s.out.Len() == 0 {
			s.progress = m.loc.loop.Now()
			m.wakeAt(s.progress, m.writeBound())
		}
		s.out.Push(&m.loc.chunks, b)
		m.waiting += len(b)
		s.high = s.high || s.out.Len() > streamLow
	}
	if !s.deferred {
		m.offer(s)
	}
}

// Data is both streams'. More or less than the length that was announced is
// never sent: the next reader would have to decide what that means.
func (s *stream) Data(b []byte, end bool) {
	if s.closed || s.x == nil {
		s.disown(end)
		return
	}
	if s.outEnd || !s.begun && !s.deferred {
		return
	}
	s.send(b, end)
}

// send frames b.
func (s *stream) send(b []byte, end bool) {
	m := s.m
	if s.noBody && !m.client {
		b = nil
	} else if s.left >= 0 {
		if s.left -= int64(len(b)); s.left < 0 || end && s.left > 0 {
			m.cut(s, end)
			return
		}
	}
	s.outEnd = end
	if m.client {
		s.push(b)
		return
	}
	s.x.BytesOut += int64(len(b))
	if end && (!s.connect || !s.tunnel) {
		m.over(s)
	}
	s.push(b)
}

// Trailers is both streams'.
func (s *stream) Trailers(t *wire.Head) {
	m := s.m
	switch {
	case s.closed || s.x == nil:
		s.disown(true)
		return
	case s.outEnd || !s.begun && !s.deferred:
		return
	case s.noBody && !m.client || s.tunnel || !wire.DropForbidden(t):
		s.send(nil, true)
		return
	case s.left > 0:
		m.cut(s, true)
		return
	}
	s.outEnd = true
	if !m.client {
		m.over(s)
	}
	if s.out.Len() == 0 && !s.deferred {
		m.appendTrailers(s, t)
		m.finished(s)
		return
	}
	s.outTrailers = m.loc.newHead()
	s.outTrailers.CopyFrom(t)
	if !s.deferred {
		m.offer(s)
	}
}

// disown forgets the exchange of a stream that is closed when the proxy has
// ended it: nothing is told any more.
func (s *stream) disown(end bool) {
	if end && !s.m.client {
		s.x = nil
		s.failing = false
	}
}

// cut resets s because the proxy sent what cannot be framed. The sink hears it
// from the loop's top unless this was the end anyway.
func (m *session) cut(s *stream, end bool) {
	m.out = appendReset(m.room(), s.id, codeInternal)
	if m.client || !end {
		s.failing = true
	} else {
		s.x = nil
	}
	m.failLater(s)
}
