package http2

import "encoding/binary"

// setting is a parameter of SETTINGS (RFC 9113 section 6.5.2, RFC 8441 section
// 3, RFC 9218 section 2.1).
type setting uint16

const (
	setTable        setting = 0x1
	setPush         setting = 0x2
	setStreams      setting = 0x3
	setWindow       setting = 0x4
	setFrame        setting = 0x5
	setList         setting = 0x6
	setConnect      setting = 0x8
	setNoPriorities setting = 0x9
)

// What we announce. The table stays at its default of 4096 bytes.
const (
	// ourStreams is how many requests a client may have running at once. It is
	// also how many a service is asked at most on one connection.
	ourStreams = 128
	// ourWindow of a stream: what a sink may still be sent after it paused, so
	// it bounds memory, and what can be on its way, so it bounds speed (20 Mbit/s
	// at 100 ms).
	ourWindow = 256 << 10
	// ourConnWindow of a client's connection bounds what all its paused streams
	// together make us keep.
	ourConnWindow = 1 << 20
	// serviceWindow of a service's connection bounds nothing: there one slow
	// client must not hold up the others, so each stream is bounded alone.
	serviceWindow = 64 << 20
	// unsettled is how many requests a service gets before its SETTINGS came.
	unsettled = 100
	// ourTable is the largest dynamic table that peers may have us keep.
	ourTable = 4096
)

func appendSetting(out []byte, s setting, v uint32) []byte {
	out = binary.BigEndian.AppendUint16(out, uint16(s))
	return binary.BigEndian.AppendUint32(out, v)
}

// appendSettings writes our SETTINGS: those of a server, or of a client.
func (m *session) appendSettings(out []byte) []byte {
	if m.client {
		out = appendFrame(out, 6*3, frameSettings, 0, 0)
		out = appendSetting(out, setPush, 0)
		out = appendSetting(out, setWindow, ourWindow)
		out = appendSetting(out, setList, maxResponseHead)
		return appendWindow(out, 0, serviceWindow-freshWindow)
	}
	n := 4
	if m.lim.HeadBytes >= 0 {
		n++
	}
	out = appendFrame(out, 6*n, frameSettings, 0, 0)
	out = appendSetting(out, setStreams, ourStreams)
	out = appendSetting(out, setWindow, ourWindow)
	if m.lim.HeadBytes >= 0 {
		out = appendSetting(out, setList, uint32(m.lim.HeadBytes))
	}
	out = appendSetting(out, setConnect, 1)
	out = appendSetting(out, setNoPriorities, 1)
	return appendWindow(out, 0, ourConnWindow-freshWindow)
}

// onSettings applies the peer's SETTINGS and acknowledges them.
func (m *session) onSettings(f *frame, p []byte) code {
	switch {
	case f.id != 0:
		return codeProtocol
	case f.has(flagAck):
		if len(p) != 0 {
			return codeFrameSize
		}
		return codeNone
	case len(p)%6 != 0:
		return codeFrameSize
	}
	if !m.spend(wasteSettings) {
		return codeEnhanceYourCalm
	}
	first := !m.settled
	if first {
		m.settled = true
		m.peerStreams = maxID // unless a bound is named
	}
	for ; len(p) > 0; p = p[6:] {
		if why := m.set(setting(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:])); why != codeNone {
			return why
		}
	}
	m.out = appendFrame(m.room(), 0, frameSettings, flagAck, 0)
	if first {
		m.sendDeferred()
	}
	return codeNone
}

// set applies one parameter. Unknown ones are ignored.
func (m *session) set(s setting, v uint32) code {
	switch s {
	case setTable:
		m.write.setPeerTable(v)
	case setPush:
		if v > 1 || m.client && v != 0 {
			return codeProtocol
		}
	case setStreams:
		m.peerStreams = min(v, maxID)
	case setWindow:
		if v > maxWindow {
			return codeFlowControl
		}
		return m.rewindow(int32(v))
	case setFrame:
		if v < 16<<10 || v > 1<<24-1 {
			return codeProtocol
		}
	case setConnect:
		if v > 1 || v == 0 && m.mayConnect {
			return codeProtocol
		}
		m.mayConnect = v == 1
	case setNoPriorities:
		if v > 1 {
			return codeProtocol
		}
	}
	return codeNone
}

// rewindow applies a new initial window to all streams, whose windows may so
// become negative (RFC 9113 section 6.9.2).
func (m *session) rewindow(n int32) code {
	by := int64(n) - int64(m.peerWindow)
	m.peerWindow = n
	if m.streams.first(func(s *stream) bool {
		w := int64(s.window) + by
		if w > maxWindow {
			return true
		}
		s.window = int32(w)
		m.offer(s)
		return false
	}) != nil {
		return codeFlowControl
	}
	return codeNone
}
