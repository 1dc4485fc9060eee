package http2

import (
	"encoding/binary"

	"github.com/naru-mesh/naru/wire"
)

// Priorities of RFC 9218: urgency 0 (first) to 7, and whether parts of the
// response are of use by themselves.
const (
	middling    = 3
	leastUrgent = 7
	// quantum is how many frames a response in turn sends that is of use only as
	// a whole; one that is incremental sends one.
	quantum = 4
)

// prioritize reads a priority field's value (RFC 9218 section 4). Unknown
// parameters and broken ones are passed over.
func (s *stream) prioritize(v []byte) {
	for len(v) > 0 {
		var e []byte
		e, v = wire.Element(v)
		switch {
		case len(e) == 3 && e[0] == 'u' && e[1] == '=' && '0' <= e[2] && e[2] <= '7':
			s.urgency = e[2] - '0'
		case string(e) == "i", string(e) == "i=?1":
			s.incremental = true
		case string(e) == "i=?0":
			s.incremental = false
		}
	}
}

// onPriority takes RFC 7540's frame, which says nothing any more (RFC 9113
// section 6.3).
func (m *session) onPriority(f *frame, p []byte) code {
	if f.id == 0 {
		return codeProtocol
	}
	if !m.spend(wastePriorities) {
		return codeEnhanceYourCalm
	}
	why := codeNone
	switch {
	case len(p) != 5:
		why = codeFrameSize
	case binary.BigEndian.Uint32(p)&maxID == f.id:
		why = codeProtocol // a stream that depends on itself
	default:
		return codeNone
	}
	if s := m.streams.find(f.id); s != nil {
		return m.breakStream(s, why)
	}
	return why
}

// onPriorityUpdate takes RFC 9218's (section 7.1). One that comes before its
// request is forgotten: the request's own field says the same.
func (m *session) onPriorityUpdate(f *frame, p []byte) code {
	switch {
	case m.client || f.id != 0:
		return codeProtocol
	case len(p) < 4:
		return codeFrameSize
	case !m.spend(wastePriorities):
		return codeEnhanceYourCalm
	}
	id := binary.BigEndian.Uint32(p) & maxID
	if id == 0 || id&1 == 0 {
		return codeProtocol
	}
	if s := m.streams.find(id); s != nil {
		s.urgency, s.incremental = middling, false
		s.prioritize(p[4:])
		if s.ready {
			m.withdraw(s)
			m.offer(s)
		}
	}
	return codeNone
}
