package http3

import (
	"strconv"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// writtenByUs are fields that the machine writes by itself or that HTTP/3 does
// not have (RFC 9114 section 4.2): they are never taken from Head.Fields.
var writtenByUs = wire.SetOf(wire.Connection, wire.ContentLength, wire.TransferEncoding, wire.KeepAlive,
	wire.ProxyConnection, wire.Upgrade, wire.HTTP2Settings, wire.Host)

// secrets are fields that never enter a compression table (RFC 9204 section
// 7.1.3), on this hop or another.
var secrets = wire.SetOf(wire.Authorization, wire.ProxyAuthorization)

// section writes a HEADERS frame with a field section, and what is framed
// after it.
func (s *stream) section(block, more []byte, end bool) {
	var header [16]byte
	head := append(appendFrame(header[:0], frameHeaders, len(block)), block...)
	if len(more) == 0 {
		s.p.write(head, nil, end)
		return
	}
	s.p.write(appendFrame(head, frameData, len(more)), more, end)
}

// appendFields writes the fields of h, their names in lower case.
func (m *session) appendFields(out []byte, h *wire.Head) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped || f.ID == wire.TE && !wire.EqualFold(h.Value(f), "trailers") {
			continue
		}
		name := m.local.name[:0]
		for _, c := range h.Name(f) {
			name = append(name, wire.ToLower(c))
		}
		m.local.name = name
		out = appendField(out, string(name), string(h.Value(f)), f.Never || secrets.Has(f.ID))
	}
	return out
}

// Inform is wire.ServerStream's.
func (s *stream) Inform(h *wire.Head) {
	if s.x == nil || s.lost || s.begun || h.Status < 100 || h.Status > 199 || h.Status == 101 {
		return
	}
	if h.Status == 100 {
		s.asked = false
	}
	h.Drop(writtenByUs)
	out := appendField(appendSection(s.m.local.out[:0]), ":status", strconv.Itoa(h.Status), false)
	out = s.m.appendFields(out, h)
	s.m.local.out = out
	s.section(out, nil, false)
}

// Respond is wire.ServerStream's.
func (s *stream) Respond(h *wire.Head, data []byte, end bool) {
	m := s.m
	if s.x == nil || s.lost {
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
	s.left = h.Length
	if s.left < 0 && end {
		s.left = int64(len(data)) // it is here as a whole
	}
	block, empty := s.head(h)
	s.noBody = empty
	if data, ok := s.account(data, end); ok {
		s.x.BytesOut += int64(len(data))
		s.outEnd = end
		s.section(block, data, end)
		s.over(end)
	}
}

// head writes the field section of a response; empty says that it has no body.
func (s *stream) head(h *wire.Head) (out []byte, empty bool) {
	m := s.m
	drop := writtenByUs
	empty = s.noBody || h.Status == 204 || h.Status == 304 // s.noBody: to HEAD
	if empty && h.Status != 204 {
		drop &^= wire.SetOf(wire.ContentLength)
	}
	there := h.Drop(drop)
	out = appendField(appendSection(m.local.out[:0]), ":status", strconv.Itoa(h.Status), false)
	out = m.appendFields(out, h)
	if !there.Has(wire.Date) {
		out = appendField(out, "date", string(m.local.date.Value(m.loop)), false)
	}
	length := int64(-1)
	switch {
	case !empty:
		length = s.left
	case s.noBody && h.Status != 204 && h.Length > 0 && !there.Has(wire.ContentLength):
		length = h.Length
	}
	if length >= 0 {
		out = appendField(out, "content-length", strconv.FormatInt(length, 10), false)
	}
	s.begun = true
	m.local.out = out
	return out, empty
}

// account checks a part of the body against the length that was announced:
// more or less is never sent. What must not be sent is left out.
func (s *stream) account(b []byte, end bool) ([]byte, bool) {
	if s.noBody {
		return nil, true
	}
	if s.left >= 0 {
		if s.left -= int64(len(b)); s.left < 0 || end && s.left > 0 {
			s.cut(end)
			return nil, false
		}
	}
	return b, true
}

// over is the end of a response as the proxy sees it: the exchange is the
// proxy's. The rest of the request is not wanted (RFC 9114 section 4.1).
func (s *stream) over(end bool) {
	if !end {
		return
	}
	s.x, s.req = nil, nil
	s.held, s.asked = false, false
	s.trailers, s.kept = nil, nil
	s.m.loop.Disarm(&s.timer.Timer)
	if !s.inEnd {
		s.inEnd = true
		s.p.stop(codeNone)
	}
	s.m.earn(wasteResets, 1)
	s.settle()
}

// grant answers an extended CONNECT: what the service of HTTP/1.1 answers with
// 101 is 200 here (RFC 9220 section 3).
func (s *stream) grant(h *wire.Head, data []byte, end bool) {
	if !s.upgrade {
		s.cut(end)
		return
	}
	m := s.m
	s.upgrade, s.tunnel, s.granted = false, true, true
	h.Drop(writtenByUs | wire.SetOf(wire.Trailer))
	h.Remove(wire.KeySocketAccept)
	out := appendField(appendSection(m.local.out[:0]), ":status", "200", false)
	out = m.appendFields(out, h)
	m.local.out = out
	s.begun, s.outEnd = true, end
	s.x.BytesOut += int64(len(data))
	s.section(out, data, end)
	s.p.rouse()
	s.over(end)
}

// Data sends more of the body.
func (s *stream) Data(b []byte, end bool) {
	switch {
	case s.x == nil || s.lost:
		s.disown(end)
		return
	case s.outEnd || !s.begun:
		s.disown(end)
		return
	}
	b, ok := s.account(b, end)
	if !ok {
		return
	}
	s.x.BytesOut += int64(len(b))
	s.outEnd = end
	var header [16]byte
	switch {
	case len(b) > 0:
		s.p.write(appendFrame(header[:0], frameData, len(b)), b, end)
	case end:
		s.p.write(nil, nil, true)
	}
	s.over(end)
}

// Trailers ends the response with trailer fields.
func (s *stream) Trailers(t *wire.Head) {
	switch {
	case s.x == nil || s.lost:
		s.disown(true)
		return
	case s.outEnd || !s.begun:
		s.disown(true)
		return
	case s.noBody || s.tunnel || !wire.DropForbidden(t):
		s.Data(nil, true)
		return
	case s.left > 0:
		s.cut(true)
		return
	}
	t.Drop(writtenByUs)
	s.outEnd = true
	out := s.m.appendFields(appendSection(s.m.local.out[:0]), t)
	s.m.local.out = out
	s.section(out, nil, true)
	s.over(true)
}

// Reset is wire.ServerStream's.
func (s *stream) Reset(why observe.Reason) {
	if s.x == nil || s.lost {
		s.disown(true)
		return
	}
	with := codeInternal
	switch why {
	case observe.WriteTimeout, observe.ClientGone, observe.Draining, observe.PolicyDenied:
		// Not codeRejected, which says that nothing was processed.
		with = codeCancelled
	}
	s.x, s.req = nil, nil
	s.end(with)
}

// Buffered is how many bytes wait.
func (s *stream) Buffered() int { return s.p.buffered() }

// disown forgets the exchange of a stream that has ended otherwise when the
// proxy has ended it: nothing is told any more.
func (s *stream) disown(end bool) {
	if end {
		s.x, s.req = nil, nil
		s.failing = false
	}
}

// cut resets s because the proxy sent what cannot be framed. The sink hears it
// from the loop's top unless this was the end anyway.
func (s *stream) cut(end bool) {
	if end {
		s.x, s.req = nil, nil
		s.end(codeInternal)
		return
	}
	s.p.reset(codeInternal)
	if !s.inEnd {
		s.p.stop(codeInternal)
	}
	s.inEnd, s.outEnd, s.outOver, s.failing = true, true, true, true
	s.p.rouse()
}

// malformed are reasons that the RFC wants a stream reset for (section 4.1.2).
// What is well-formed and passes a bound, or asks for what we do not do, gets
// an answer.
func malformed(why observe.Reason) bool {
	switch why {
	case observe.BadField, observe.BadHost, observe.BadLength, observe.BadTarget, observe.BadPseudo, observe.BadFrame:
		return true
	}
	return false
}

// refuse ends a request that is not acceptable: with an answer while none has
// begun.
func (s *stream) refuse(why observe.Reason) {
	if malformed(why) {
		s.breakFor(codeMessage, why)
		return
	}
	if s.x == nil {
		return
	}
	if s.begun {
		s.abort(why)
		s.end(codeCancelled)
		return
	}
	x, sink := s.x, s.req
	x.Response.Status = why.Info().Status
	h := &s.m.local.head
	wire.KeepProblem(h, why)
	body := wire.Problem(why)
	s.left = int64(len(body))
	block, empty := s.head(h)
	if empty {
		body = nil
	}
	x.BytesOut = int64(len(body))
	s.outEnd = true
	s.section(block, body, true)
	s.over(true)
	s.m.srv.Refused(x, sink, why)
}

// breakFor resets s because of what the client sent.
func (s *stream) breakFor(with code, why observe.Reason) {
	s.abort(why)
	s.end(with)
	s.m.spend(wasteResets)
}
