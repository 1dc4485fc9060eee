package http2

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Inform is wire.ServerStream's.
func (s *stream) Inform(h *wire.Head) {
	m := s.m
	if s.closed || s.x == nil || s.begun || h.Status < 100 || h.Status > 199 || h.Status == 101 {
		return
	}
	if h.Status == 100 {
		s.asked = false
	}
	m.appendInform(s, h)
}

// Respond is wire.ServerStream's.
func (s *stream) Respond(h *wire.Head, data []byte, end bool) {
	m := s.m
	if s.closed || s.x == nil {
		s.disown(end)
		return
	}
	if s.begun {
		return
	}
	if m.srv.Draining() {
		m.retire()
	}
	if h.Status == 101 {
		s.grant(h, data, end)
		return
	}
	empty := s.noBody || h.Status == 204 || h.Status == 304
	s.left = h.Length
	if s.left < 0 && end {
		s.left = int64(len(data)) // it is here as a whole
	}
	if end && (empty || len(data) == 0 && s.left <= 0) {
		// The head is all there is: it ends the stream.
		s.outEnd = true
	}
	m.respond(s, h)
	s.noBody = empty
	if s.outEnd {
		m.over(s)
		m.finished(s)
		return
	}
	s.send(data, end)
}

// grant answers an extended CONNECT: what the service of HTTP/1.1 answers with
// 101 is 200 here (RFC 8441 section 5.1).
func (s *stream) grant(h *wire.Head, data []byte, end bool) {
	m := s.m
	if !s.upgrade {
		m.cut(s, end)
		return
	}
	s.upgrade, s.tunnel = false, true
	s.left = -1
	m.appendGrant(s, h)
	s.begun = true
	s.send(data, end)
	if !s.closed && s.x != nil {
		s.resumed = true // what followed the head belongs to the tunnel
		m.rouse(s)
	}
}

// Reset is wire.ServerStream's.
func (s *stream) Reset(why observe.Reason) {
	if s.closed || s.x == nil {
		s.disown(true)
		return
	}
	m := s.m
	with := codeInternal
	switch why {
	case observe.WriteTimeout, observe.ClientGone, observe.Draining, observe.PolicyDenied:
		with = codeCancel
	}
	s.x, s.req = nil, nil
	m.out = appendReset(m.room(), s.id, with)
	m.forget(s, true)
}

// failLater closes s now and tells its sink from the loop's top.
func (m *session) failLater(s *stream) {
	s.why = observe.Internal
	s.fail = wire.Failure{Reason: observe.Internal, Err: errFraming}
	m.forget(s, true)
	if s.failing {
		m.rouse(s)
	}
}

// tellFailure tells what failLater put off.
func (m *session) tellFailure(s *stream) {
	if s.x == nil {
		return
	}
	s.x = nil
	if m.client {
		m.ended()
		s.res.OnResponseAbort(s.fail)
		return
	}
	s.req.OnRequestAbort(s.why)
}
