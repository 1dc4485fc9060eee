package http1

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Loop, Peer and Buffered are wire.ServerStream's.
func (m *server) Loop() wire.Loop  { return m.loc.loop }
func (m *server) Peer() *wire.Peer { return m.conn.Peer() }
func (m *server) Buffered() int    { return m.conn.Buffered() }

// Inform is wire.ServerStream's. HTTP/1.0 has no 1xx.
func (m *server) Inform(h *wire.Head) {
	if m.in == inClosed || m.out != outNone || m.minor0 || h.Status < 100 || h.Status > 199 || h.Status == 101 {
		return
	}
	if h.Status == 100 {
		m.asked = false
	}
	h.Drop(writtenByUs)
	out := append(m.loc.out[:0], statusLine(h.Status)...)
	out = h.AppendFields(out)
	out = append(out, "\r\n"...)
	m.loc.out = out
	m.taken()
	m.write(out, nil)
}

// Respond is wire.ServerStream's.
func (m *server) Respond(h *wire.Head, data []byte, end bool) {
	if m.in == inClosed {
		m.disown(end)
		return
	}
	if m.x == nil || m.out != outNone {
		return
	}
	if h.Status == 101 {
		m.switchProtocols(h, data, end)
		return
	}
	if h.Status < 300 && wire.Connects(m.x) {
		m.cut(end) // the client would take the body for the tunnel's
		return
	}
	m.out = m.frame(h, len(data), end)
	m.last = m.last || m.out == outClose || m.srv.Draining() || !m.drainable()
	drop := writtenByUs | wire.SetOf(wire.Trailer)
	switch {
	case m.out == outChunks:
		drop = writtenByUs
	case m.out == outNothing && h.Status != 204:
		drop = drop &^ wire.SetOf(wire.ContentLength)
	}
	if h.Status == 426 {
		drop = drop &^ wire.SetOf(wire.Upgrade)
	}
	there := h.Drop(drop)
	out := append(m.loc.out[:0], statusLine(h.Status)...)
	out = h.AppendFields(out)
	if !there.Has(wire.Date) {
		out = append(out, m.loc.date.Line(m.loc.loop)...)
	}
	out = m.appendConnection(out, there.Has(wire.Upgrade))
	switch m.out {
	case outLength:
		out = appendLength(out, m.left)
	case outChunks:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case outNothing:
		if m.toHEAD && h.Length > 0 && !there.Has(wire.ContentLength) {
			out = appendLength(out, h.Length)
		}
	}
	out = append(out, "\r\n"...)
	m.loc.out = out
	m.taken()
	m.send(out, data, end)
}

// frame decides how the end of the response's body is told (RFC 9112 section
// 6.3). A body of unknown length that is here as a whole gets its length.
func (m *server) frame(h *wire.Head, have int, end bool) outbound {
	switch {
	case m.toHEAD, h.Status == 204, h.Status == 304:
		return outNothing
	case h.Length >= 0:
		m.left = h.Length
		return outLength
	case end:
		m.left = int64(have)
		return outLength
	case m.minor0:
		return outClose
	}
	return outChunks
}

// drainable says whether what is still to come of the request may be worth
// reading, so that the connection can stay. Not while the client waits for
// 100 (Continue): it may send the body or leave it out, and nobody could tell
// which.
func (m *server) drainable() bool {
	return m.in == inWait || !m.asked && (m.body.kind == byChunks || m.body.left <= maxDrained)
}

// appendConnection writes the Connection line where one is needed.
func (m *server) appendConnection(out []byte, upgrade bool) []byte {
	switch {
	case m.last && upgrade:
		return append(out, "Connection: close, Upgrade\r\n"...)
	case m.last:
		return append(out, "Connection: close\r\n"...)
	case upgrade:
		return append(out, "Connection: Upgrade\r\n"...)
	case m.minor0:
		return append(out, "Connection: keep-alive\r\n"...)
	}
	return out
}

// switchProtocols sends 101, or grants a CONNECT, and makes the connection a
// tunnel.
func (m *server) switchProtocols(h *wire.Head, data []byte, end bool) {
	if m.x.Upgrade == nil || m.in != inWait {
		m.cut(end)
		return
	}
	m.out = outTunnel
	out := m.loc.out[:0]
	if wire.Connects(m.x) {
		m.out = outConnect
		out = append(out, "HTTP/1.1 200 Connection established\r\n\r\n"...)
	} else {
		h.Drop(writtenByUs&^wire.SetOf(wire.Upgrade) | wire.SetOf(wire.Trailer))
		out = append(out, statusLine(101)...)
		out = h.AppendFields(out)
		out = append(out, "Connection: Upgrade\r\n\r\n"...)
	}
	m.loc.out = out
	m.in = inTunnel
	m.last = true
	m.taken()
	m.send(out, data, end)
	if m.in != inTunnel {
		return
	}
	m.flow()
	if m.kept != nil || m.eof {
		m.soon() // bytes that followed the head belong to the tunnel
	}
}

// Data is wire.ServerStream's.
func (m *server) Data(b []byte, end bool) {
	switch {
	case m.in == inClosed:
		m.disown(end)
	case m.x == nil || m.out == outNone || m.out == outHalf:
	default:
		m.taken()
		m.send(nil, b, end)
	}
}

// send writes head and then b as the framing has it. More or less than the
// length is never sent: the client would take the rest for the next response.
func (m *server) send(head, b []byte, end bool) {
	n := int64(len(b))
	switch m.out {
	case outNothing:
		if len(head) > 0 {
			m.write(head, nil)
		}
		n = 0
	case outLength:
		if m.left -= n; m.left < 0 || end && m.left > 0 {
			m.cut(end)
			return
		}
		if len(head) > 0 || n > 0 {
			m.write(head, b)
		}
	case outChunks:
		if head == nil {
			head = m.loc.out[:0]
		}
		m.loc.writeChunk(m.conn, head, b, end)
		m.watch()
	case outClose, outTunnel, outConnect:
		if len(head) > 0 || n > 0 {
			m.write(head, b)
		}
	}
	m.x.BytesOut += n
	if end {
		m.ended()
	}
}

// Trailers is wire.ServerStream's.
func (m *server) Trailers(t *wire.Head) {
	switch {
	case m.in == inClosed:
		m.disown(true)
	case m.x == nil || m.out == outNone:
	case m.out == outChunks:
		m.taken()
		m.loc.writeTrailers(m.conn, t)
		m.watch()
		m.ended()
	default:
		m.taken()
		m.send(nil, nil, true)
	}
}

// Reset is wire.ServerStream's. With a length or chunks the client sees that
// the end is missing; otherwise only a reset tells it.
func (m *server) Reset(why observe.Reason) {
	if m.in == inClosed {
		m.disown(true)
		return
	}
	if m.x == nil {
		return
	}
	m.x, m.sink = nil, nil
	switch m.out {
	case outLength, outChunks, outNone:
		if why == observe.WriteTimeout {
			m.shut(abort)
		} else {
			m.shut(finish)
		}
	case outHalf:
		m.shut(finish) // it has all that is for it
	default:
		m.shut(abort)
	}
}

// Pause is wire.ServerStream's.
func (m *server) Pause() {
	if m.in != inClosed && m.x != nil {
		m.held = true
		if !m.busy {
			m.flow()
		}
	}
}

// Resume is wire.ServerStream's.
func (m *server) Resume() {
	if !m.held || m.in == inClosed {
		return
	}
	m.held = false
	m.at = m.loc.loop.Now()
	if m.busy {
		return
	}
	m.proceed()
	m.release()
	m.expect(m.patience())
}

// release lets bytes come again: what was kept first.
func (m *server) release() {
	if m.kept != nil {
		m.soon()
		return
	}
	m.flow()
}

// ended is the end of a response: the exchange is the proxy's.
func (m *server) ended() {
	if m.out == outConnect {
		m.out = outHalf
		m.conn.CloseWrite()
		m.bothEnded()
		return
	}
	m.x, m.sink = nil, nil
	m.held = false
	switch {
	case m.out == outTunnel:
		m.shut(finish)
	case m.last && m.in == inWait && (m.leaves || m.eof):
		m.shut(orderly)
	case m.last:
		m.shut(finish)
	case m.in == inBody:
		m.in = inDrain
		m.left = maxDrained
	default:
		m.ready()
	}
	if m.in != inClosed && !m.busy {
		m.release()
		m.expect(m.patience())
	}
}

// cut ends the connection because the proxy sent what cannot be framed. The
// sink hears it from the loop's top unless this was the end anyway.
func (m *server) cut(end bool) {
	m.disown(end)
	m.shut(abort)
}

// disown forgets the exchange of a closed connection when the proxy has ended
// it.
func (m *server) disown(end bool) {
	if end {
		m.x, m.sink = nil, nil
	}
}
