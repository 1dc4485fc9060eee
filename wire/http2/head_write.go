package http2

import (
	"strconv"

	"github.com/naru-mesh/naru/wire"
)

// writtenByUs are fields that the machine writes by itself or that HTTP/2 does
// not have: they are never taken from Head.Fields.
var writtenByUs = wire.SetOf(wire.Connection, wire.ContentLength, wire.TransferEncoding, wire.KeepAlive,
	wire.ProxyConnection, wire.Upgrade, wire.HTTP2Settings, wire.Host)

// secrets are fields that never enter a compression table, whose size on the
// wire could tell an attacker that a guess was right (RFC 7541 section 7.1).
var secrets = wire.SetOf(wire.Authorization, wire.ProxyAuthorization)

// openBlock begins a HEADERS frame, closeBlock ends it.
func (m *session) openBlock() (out []byte, at int) {
	out = m.room()
	at = len(out)
	out = append(out, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return m.write.begin(out), at
}

// closeBlock writes the frame's header, and cuts a block that is too large for
// one frame into CONTINUATION frames.
func (m *session) closeBlock(out []byte, at int, id uint32, end bool) {
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	n := len(out) - at - frameHead
	if n <= ourFrame {
		appendFrame(out[:at], n, frameHeaders, flags|flagEndHeaders, id)
		m.out = out
		return
	}
	block := append(m.loc.borrow(), out[at+frameHead:]...)
	out = appendFrame(out[:at], ourFrame, frameHeaders, flags, id)
	out = append(out, block[:ourFrame]...)
	for rest := block[ourFrame:]; len(rest) > 0; {
		n = min(len(rest), ourFrame)
		flags = 0
		if n == len(rest) {
			flags = flagEndHeaders
		}
		out = appendFrame(out, n, frameContinuation, flags, id)
		out = append(out, rest[:n]...)
		rest = rest[n:]
	}
	m.loc.giveBack(block)
	m.out = out
}

// appendFields writes the fields of h, their names in lower case.
func (m *session) appendFields(out []byte, h *wire.Head) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped || f.ID == wire.TE && !wire.EqualFold(h.Value(f), "trailers") {
			continue
		}
		name := m.loc.name[:0]
		for _, c := range h.Name(f) {
			name = append(name, wire.ToLower(c))
		}
		m.loc.name = name
		out = m.write.field(out, name, h.Value(f), f.Never || secrets.Has(f.ID))
	}
	return out
}

func (m *session) appendLength(out []byte, n int64) []byte {
	var digits [20]byte
	return m.write.field(out, nameLength, strconv.AppendInt(digits[:0], n, 10), false)
}

// respond writes the head of a response.
func (m *session) respond(s *stream, h *wire.Head) {
	drop := writtenByUs
	empty := s.noBody || h.Status == 204 || h.Status == 304 // s.noBody: to HEAD
	if empty && h.Status != 204 {
		drop &^= wire.SetOf(wire.ContentLength)
	}
	there := h.Drop(drop)
	out, at := m.openBlock()
	out = m.write.status(out, h.Status)
	out = m.appendFields(out, h)
	if !there.Has(wire.Date) {
		out = m.write.field(out, nameDate, m.loc.date.Value(m.loc.loop), false)
	}
	switch {
	case !empty && s.left >= 0:
		out = m.appendLength(out, s.left)
	case !empty && h.Length >= 0:
		out = m.appendLength(out, h.Length)
	case s.noBody && h.Status != 204 && h.Length > 0 && !there.Has(wire.ContentLength):
		out = m.appendLength(out, h.Length)
	}
	m.closeBlock(out, at, s.id, s.outEnd)
	s.begun = true
	m.unreadHeads()
}

var (
	nameDate   = []byte("date")
	nameLength = []byte("content-length")
)

// appendInform writes an interim response.
func (m *session) appendInform(s *stream, h *wire.Head) {
	h.Drop(writtenByUs)
	out, at := m.openBlock()
	out = m.write.status(out, h.Status)
	m.closeBlock(m.appendFields(out, h), at, s.id, false)
	m.unreadHeads()
}

// appendGrant writes the answer that opens a tunnel.
func (m *session) appendGrant(s *stream, h *wire.Head) {
	h.Drop(writtenByUs | wire.SetOf(wire.Trailer))
	h.Remove(wire.KeySocketAccept)
	out, at := m.openBlock()
	out = m.write.status(out, 200)
	m.closeBlock(m.appendFields(out, h), at, s.id, false)
}

// appendTrailers writes what ends a message.
func (m *session) appendTrailers(s *stream, t *wire.Head) {
	t.Drop(writtenByUs)
	out, at := m.openBlock()
	m.closeBlock(m.appendFields(out, t), at, s.id, true)
}

// appendRequest writes the head of a request.
func (m *session) appendRequest(s *stream, h *wire.Head) {
	h.Drop(writtenByUs | wire.SetOf(wire.Expect))
	out, at := m.openBlock()
	if s.connect {
		out = m.write.fieldString(out, ":method", "CONNECT", false)
		out = m.write.field(out, nameAuthority, h.Authority, false)
		m.closeBlock(m.appendFields(out, h), at, s.id, false)
		return
	}
	if s.upgrade {
		out = m.write.fieldString(out, ":method", "CONNECT", false)
		out = m.write.field(out, nameProtocol, s.x.Upgrade, false)
	} else {
		out = m.write.field(out, nameMethod, h.Method, false)
	}
	scheme := "http"
	if m.conn.Peer().TLS != nil {
		scheme = "https"
	}
	out = m.write.fieldString(out, ":scheme", scheme, false)
	path := h.Path
	if len(path) == 0 {
		path = root
	}
	if h.HasQuery {
		p := append(m.loc.name[:0], path...)
		p = append(p, '?')
		p = append(p, h.Query...)
		m.loc.name, path = p, p
	}
	out = m.write.field(out, namePath, path, false)
	out = m.write.field(out, nameAuthority, h.Authority, false)
	key := -1
	if s.upgrade {
		key = h.Next(wire.KeySocketKey, 0)
	}
	if key >= 0 { // not sent, and needed for the answer or another try
		h.Fields[key].Dropped = true
	}
	out = m.appendFields(out, h)
	if key >= 0 {
		h.Fields[key].Dropped = false
	}
	if s.left > 0 || s.left == 0 && (h.Length < 0 || hasContent(h.Method)) {
		out = m.appendLength(out, s.left)
	}
	m.closeBlock(out, at, s.id, s.outEnd)
}

var (
	root          = []byte("/")
	nameMethod    = []byte(":method")
	namePath      = []byte(":path")
	nameAuthority = []byte(":authority")
	nameProtocol  = []byte(":protocol")
)

// hasContent says whether a method is expected to have content, so that its
// absence is stated (RFC 9110 section 8.6).
func hasContent(method []byte) bool {
	switch string(method) {
	case "POST", "PUT", "PATCH":
		return true
	}
	return false
}

// unreadHeads ends a connection whose client asks and does not read.
func (m *session) unreadHeads() {
	if !m.client && !m.closed && m.unread() {
		m.shut(abort)
	}
}
