package http2

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Send is wire.ClientConn's.
func (m *session) Send(x *wire.Exchange, sink wire.ResponseSink, data []byte, end bool) wire.ClientStream {
	s := m.loc.newStream()
	s.m, s.x, s.res = m, x, sink
	s.upgrade, s.connect = x.Upgrade != nil, wire.Connects(x)
	s.urgency = middling
	switch {
	case m.Room() <= 0:
		s.fail = wire.Failure{Reason: observe.UpstreamReset, Err: errUnusable, Unsent: true, Reused: true}
		m.unsent(s)
	case s.upgrade && !s.connect && !m.settled:
		// Whether the service takes extended CONNECT stands in its SETTINGS.
		s.deferred = true
		m.deferrals++
		last := &m.deferred
		for *last != nil {
			last = &(*last).next
		}
		*last = s
	default:
		m.request(s, data, end)
	}
	return s
}

// unsent ends a try that could not begin; it is told from the loop's top.
func (m *session) unsent(s *stream) {
	s.closed, s.failing = true, true
	s.next, m.grave = m.grave, s
	m.rouse(s)
}

// request sends the head, and what there is of the body.
func (m *session) request(s *stream, data []byte, end bool) {
	if s.upgrade && !s.connect && !m.mayConnect {
		s.fail = wire.Failure{Reason: observe.UpstreamBadResponse, Err: errConnect}
		m.unsent(s)
		return
	}
	h := &s.x.Request
	s.id = m.nextID
	m.nextID += 2
	s.window, s.recv = m.peerWindow, ourWindow
	s.expect = -1
	s.begun, s.early, s.sent = true, !m.settled, m.loc.loop.Now()
	s.noBody = string(h.Method) == "HEAD"
	m.streams.add(s)
	s.left = h.Length
	switch {
	case s.upgrade:
		s.left = -1 // a tunnel, if it is granted
	case h.Length < 0 && end:
		s.left = int64(len(data)) // it is here as a whole
	}
	s.outEnd = end && !s.upgrade && len(data) == 0 && s.left <= 0
	m.appendRequest(s, h)
	switch {
	case s.outEnd:
		s.finished = true
	case !s.upgrade:
		s.send(data, end)
	}
}

// sendDeferred sends what has waited for SETTINGS.
func (m *session) sendDeferred() {
	for s := m.deferred; s != nil; s = m.deferred {
		m.deferred, s.next = s.next, nil
		m.deferrals--
		s.deferred = false
		m.request(s, nil, true)
	}
}

// endDeferred ends it, because the connection does.
func (m *session) endDeferred() {
	for s := m.deferred; s != nil; s = m.deferred {
		m.deferred, s.next = s.next, nil
		m.deferrals--
		s.deferred = false
		s.fail = m.lostFailure(s)
		m.lose(s, true, 0)
	}
}

// discard lets a stream go that was never sent.
func (m *session) discard(s *stream) {
	s.closed = true
	s.next, m.grave = m.grave, s
	m.soon()
}

// A connection is trusted no more when nothing has come on it for silent, while a
// request waited, or inVain of them that were given up sooner.
const (
	silent = time.Second
	inVain = 3
)

// doubt is called when somebody has waited for s in vain. Where nothing at all has
// come since it was sent, the connection may be dead without anybody having said
// so: a machine without power, a firewall that has forgotten it. The kernel would
// find that out in a quarter of an hour, and until then every request would wait
// here in vain. So what comes goes over another one, and this one ends with what
// it carries. No PING is sent: servers take those for an attack that do not expect
// them, and a new connection costs less than to be wrong.
func (m *session) doubt(s *stream) {
	if !m.open || s.answered || m.heard > s.sent {
		return
	}
	if m.vain == 0 || m.heard > m.vainSince {
		m.vain, m.vainSince = 0, s.sent
	}
	m.vain++
	now := m.loc.loop.Now()
	if now-s.sent >= silent || m.vain >= inVain && now-m.vainSince >= silent {
		m.closing = true
		m.fail.Err = errSilent
	}
}

// Cancel is wire.ClientStream's.
func (s *stream) Cancel() {
	m := s.m
	if s.x == nil {
		return
	}
	s.x, s.failing = nil, false
	m.owesIdle++
	if s.deferred {
		at := &m.deferred
		for *at != s {
			at = &(*at).next
		}
		*at, s.deferred = s.next, false
		m.deferrals--
		m.discard(s)
	} else if !s.closed {
		m.out = appendReset(m.room(), s.id, codeCancel)
		m.doubt(s)
		m.forget(s, true)
	}
	m.soon()
}
