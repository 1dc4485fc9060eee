package http1

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Send is wire.ClientConn's.
func (m *client) Send(x *wire.Exchange, sink wire.ResponseSink, data []byte, end bool) wire.ClientStream {
	m.x, m.sink = x, sink
	if m.in == replyClosed {
		m.fail = wire.Failure{Reason: observe.UpstreamReset, Err: errUnusable, Unsent: true, Reused: true}
		m.soon()
		return m
	}
	if m.doubt && m.conn.Waiting() {
		m.fail = wire.Failure{Reason: observe.UpstreamReset, Err: errUnsolicited, Unsent: true, Reused: true}
		m.in = replyClosed
		m.conn.Abort()
		m.soon()
		return m
	}
	m.in = replyHead
	m.begun, m.sent, m.informs = false, false, 0
	h := &x.Request
	m.toHEAD = string(h.Method) == "HEAD"
	m.chunked = h.Length < 0 && !end
	m.left = h.Length
	if h.Length < 0 {
		m.left = int64(len(data)) // it is here as a whole, or chunked
	}
	out := m.appendHead(m.loc.out[:0], h, x.Upgrade)
	m.loc.out = out
	m.put(out, data, end)
	return m
}

// appendHead writes a request's head.
func (m *client) appendHead(out []byte, h *wire.Head, upgrade []byte) []byte {
	out = append(out, h.Method...)
	out = append(out, ' ')
	if len(h.Path) == 0 {
		out = append(out, '/')
	}
	out = append(out, h.Path...)
	if h.HasQuery {
		out = append(out, '?')
		out = append(out, h.Query...)
	}
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, h.Authority...)
	out = append(out, "\r\n"...)
	drop := writtenByUs | wire.SetOf(wire.Expect)
	if !m.chunked {
		drop |= wire.SetOf(wire.Trailer)
	}
	if upgrade != nil {
		drop |= wire.SetOf(wire.TE)
	}
	te := h.Drop(drop).Has(wire.TE)
	out = h.AppendFields(out)
	switch {
	case upgrade != nil:
		out = append(out, "Connection: Upgrade\r\nUpgrade: "...)
		out = append(out, upgrade...)
		out = append(out, "\r\n"...)
	case te:
		out = append(out, "Connection: TE\r\n"...)
	}
	switch {
	case m.chunked:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case m.left > 0 || h.Length < 0 || hasContent(h.Method):
		out = appendLength(out, m.left)
	}
	return append(out, "\r\n"...)
}

// hasContent says whether a method is expected to have content, so that its
// absence is stated (RFC 9110 section 8.6).
func hasContent(method []byte) bool {
	switch string(method) {
	case "POST", "PUT", "PATCH":
		return true
	}
	return false
}

// put writes head and then b as the framing has it.
func (m *client) put(head, b []byte, end bool) {
	switch {
	case m.in == replyTunnel:
		if len(b) > 0 {
			m.conn.Write(b, nil)
		}
		if end {
			m.conn.CloseWrite()
		}
		return
	case m.sent:
		return
	case m.chunked:
		if head == nil {
			head = m.loc.out[:0]
		}
		m.loc.writeChunk(m.conn, head, b, end)
	default:
		if m.left -= int64(len(b)); m.left < 0 || end && m.left > 0 {
			m.shut(wire.Failure{Reason: observe.Internal, Err: errFraming})
			return
		}
		if len(head) > 0 || len(b) > 0 {
			m.conn.Write(head, b)
		}
	}
	m.sent = end
}

// Data is wire.ClientStream's.
func (m *client) Data(b []byte, end bool) {
	if m.in != replyClosed && m.x != nil {
		m.put(nil, b, end)
	}
}

// Trailers is wire.ClientStream's.
func (m *client) Trailers(t *wire.Head) {
	if m.in == replyClosed || m.x == nil || m.sent {
		return
	}
	if m.chunked {
		m.loc.writeTrailers(m.conn, t)
		m.sent = true
		return
	}
	m.put(nil, nil, true)
}

// Cancel is wire.ClientStream's.
func (m *client) Cancel() {
	if m.x == nil {
		return
	}
	m.x, m.sink = nil, nil
	m.shut(wire.Failure{})
}

// Pause is wire.ClientStream's.
func (m *client) Pause() {
	if m.in != replyClosed && m.x != nil {
		m.held = true
		if !m.busy {
			m.flow()
		}
	}
}

// Resume is wire.ClientStream's.
func (m *client) Resume() {
	if !m.held || m.in == replyClosed {
		return
	}
	m.held = false
	switch {
	case m.busy:
	case m.kept != nil:
		m.soon()
	default:
		m.flow()
	}
}

// Buffered is wire.ClientStream's.
func (m *client) Buffered() int { return m.conn.Buffered() }

// Close is wire.ClientConn's.
func (m *client) Close() {
	if m.in == replyNone {
		m.shut(wire.Failure{Err: wire.ErrClosed})
		return
	}
	m.closing = true
}

// Abort is wire.ClientConn's.
func (m *client) Abort(f wire.Failure) {
	if m.in == replyClosed {
		return
	}
	f.Unsent = f.Unsent || !m.open
	m.in = replyClosed
	m.fail = f
	m.conn.Abort()
	m.soon()
}
