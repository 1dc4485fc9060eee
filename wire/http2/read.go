package http2

import (
	"encoding/binary"

	"github.com/naru-mesh/naru/observe"
)

// feed runs the machine over b. Only a frame that came in part is copied, and
// of DATA only its header.
func (m *session) feed(b []byte) {
	if len(m.loc.fresh) > 0 {
		m.dropFresh() // of a session whose sink has panicked
	}
	for len(m.kept) > 0 && len(b) > 0 && !m.closed {
		n := min(m.need(m.kept)-len(m.kept), len(b))
		m.kept = append(m.kept, b[:n]...)
		b = b[n:]
		if n = m.step(m.kept); n > 0 {
			m.loc.giveBack(m.kept)
			m.kept = nil
		}
	}
	for len(b) > 0 && !m.closed {
		n := m.step(b)
		if n == 0 {
			m.kept = append(m.loc.borrow(), b...)
			m.beginPart()
			break
		}
		b = b[n:]
	}
	m.tell()
	m.tellFresh()
}

// beginPart starts the clock of a frame that came in part, unless a header
// block's is running.
func (m *session) beginPart() {
	if m.blockID == 0 && m.greeted {
		m.partAt = m.loc.loop.Now()
		m.wakeAt(m.partAt, m.headBound())
	}
}

// need is up to how many bytes of b belong together.
func (m *session) need(b []byte) int {
	switch {
	case !m.prefaced:
		return len(Preface)
	case len(b) < frameHead:
		return frameHead
	}
	f := readFrame(b)
	switch {
	case f.kind != frameData:
		return frameHead + f.length
	case f.has(flagPadded) && f.length > 0:
		return frameHead + 1
	}
	return frameHead
}

// step reads what stands at the start of b. It gives how much that was, 0
// when more must come.
func (m *session) step(b []byte) int {
	switch {
	case !m.prefaced:
		return m.readPreface(b)
	case m.dataLeft > 0:
		return m.readData(b)
	case m.padLeft > 0:
		n := min(int(m.padLeft), len(b))
		m.padLeft -= int32(n)
		return n
	case len(b) < frameHead:
		return 0
	}
	f := readFrame(b)
	if why := m.admit(&f); why != codeNone {
		m.tell()
		m.broken(why)
		return len(b)
	}
	if f.kind == frameData {
		return m.beginData(&f, b)
	}
	n := frameHead + f.length
	if len(b) < n {
		return 0
	}
	m.tell()
	if m.closed {
		return n
	}
	if why := m.frame(&f, b[frameHead:n]); why != codeNone {
		m.broken(why)
	}
	return n
}

// readPreface reads what a client's connection begins with, and answers with
// our own.
func (m *session) readPreface(b []byte) int {
	n := min(len(b), len(Preface))
	if string(b[:n]) != Preface[:n] {
		m.greet()
		m.broken(codeProtocol)
		return len(b)
	}
	if n < len(Preface) {
		return 0
	}
	m.prefaced = true
	m.greet()
	return n
}

// greet sends our SETTINGS and opens the connection's window.
func (m *session) greet() {
	m.out = m.appendSettings(m.room())
	m.recv = ourConnWindow
	if m.client {
		m.recv = serviceWindow
	}
}

// admit decides by a frame's header whether it may come now.
func (m *session) admit(f *frame) code {
	switch {
	case f.length > ourFrame:
		return codeFrameSize
	case !m.greeted && (f.kind != frameSettings || f.has(flagAck)):
		return codeProtocol // RFC 9113 section 3.4
	case m.blockID != 0:
		if f.kind != frameContinuation || f.id != m.blockID {
			return codeProtocol
		}
	case f.kind == frameContinuation:
		return codeProtocol
	}
	return codeNone
}

// frame handles a complete frame other than DATA.
func (m *session) frame(f *frame, p []byte) code {
	switch f.kind {
	case frameHeaders:
		return m.onHeaders(f, p)
	case frameContinuation:
		return m.onBlock(p, f.has(flagEndHeaders))
	case framePriority:
		return m.onPriority(f, p)
	case framePriorityUpdate:
		return m.onPriorityUpdate(f, p)
	case frameReset:
		return m.onReset(f, p)
	case frameSettings:
		m.greeted = true
		return m.onSettings(f, p)
	case framePushPromise:
		return codeProtocol // a client must not, a server was told not to
	case framePing:
		return m.onPing(f, p)
	case frameGoAway:
		return m.onGoAway(f, p)
	case frameWindow:
		return m.onWindow(f, p)
	}
	// Frames of unknown types are ignored (RFC 9113 section 4.1).
	if !m.spend(wasteEmpties) {
		return codeEnhanceYourCalm
	}
	return codeNone
}

// neverOpened says whether a stream is idle (RFC 9113 section 5.1): only
// HEADERS and PRIORITY may come for it.
func (m *session) neverOpened(id uint32) bool {
	if m.client {
		return id&1 == 0 || id >= m.nextID
	}
	return id&1 == 0 || id > m.last
}

// recently finds a stream among those closed not long ago.
func (m *session) recently(id uint32) (ours, found bool) {
	for i := range m.recent {
		if m.recent[i].id == id {
			return m.recent[i].ours, true
		}
	}
	return false, false
}

func (m *session) onPing(f *frame, p []byte) code {
	switch {
	case f.id != 0:
		return codeProtocol
	case len(p) != 8:
		return codeFrameSize
	case f.has(flagAck):
		if string(p) == farewellPing {
			m.finalGoAway()
		}
		return codeNone
	case !m.spend(wastePings), m.unread():
		return codeEnhanceYourCalm
	}
	m.out = appendPing(m.room(), flagAck, p)
	return codeNone
}

func (m *session) onReset(f *frame, p []byte) code {
	switch {
	case f.id == 0:
		return codeProtocol
	case len(p) != 4:
		return codeFrameSize
	case m.neverOpened(f.id):
		return codeProtocol
	}
	s := m.streams.find(f.id)
	if s == nil {
		return codeNone
	}
	if !m.client && !m.spend(wasteResets) {
		return codeEnhanceYourCalm
	}
	why := code(binary.BigEndian.Uint32(p))
	s.fail = m.resetFailure(s, why)
	m.lose(s, false, observe.ClientGone)
	return codeNone
}

func (m *session) onWindow(f *frame, p []byte) code {
	switch {
	case len(p) != 4:
		return codeFrameSize
	case !m.spend(wasteWindows):
		return codeEnhanceYourCalm
	}
	by := int32(binary.BigEndian.Uint32(p) & maxWindow)
	if f.id == 0 {
		if by == 0 {
			return codeProtocol
		}
		if int64(m.window)+int64(by) > maxWindow {
			return codeFlowControl
		}
		m.window += by
		return codeNone
	}
	if m.neverOpened(f.id) {
		return codeProtocol
	}
	s := m.streams.find(f.id)
	switch {
	case s == nil:
		return codeNone
	case by == 0:
		return m.breakStream(s, codeProtocol)
	case int64(s.window)+int64(by) > maxWindow:
		return m.breakStream(s, codeFlowControl)
	}
	s.window += by
	m.offer(s)
	return codeNone
}

// onHeaders begins a header block.
func (m *session) onHeaders(f *frame, p []byte) code {
	if f.id&1 == 0 || m.client && f.id >= m.nextID {
		return codeProtocol
	}
	p, ok := unpad(f, p)
	if !ok {
		return codeProtocol
	}
	m.blockSelf = false
	if f.has(flagPriority) {
		if len(p) < 5 {
			return codeFrameSize
		}
		m.blockSelf = binary.BigEndian.Uint32(p)&maxID == f.id
		p = p[5:]
	}
	m.blockID, m.blockEnd, m.blocks = f.id, f.has(flagEndStream), 0
	if !f.has(flagEndHeaders) {
		m.partAt = m.loc.loop.Now()
		m.wakeAt(m.partAt, m.headBound())
	}
	return m.onBlock(p, f.has(flagEndHeaders))
}

// onBlock takes a part of a header block.
func (m *session) onBlock(p []byte, end bool) code {
	m.blocks++
	if !m.blockFits(len(m.block)+len(p), int(m.blocks)) {
		return codeEnhanceYourCalm
	}
	if !end {
		if m.block == nil {
			m.block = m.loc.borrow()
		}
		m.block = append(m.block, p...)
		return codeNone
	}
	id, block := m.blockID, m.block
	m.blockID, m.block = 0, nil
	if block != nil {
		block = append(block, p...)
		p = block
	}
	why := m.onHead(id, p, m.blockEnd)
	m.loc.giveBack(block)
	return why
}

// onHead reads a complete header block.
func (m *session) onHead(id uint32, block []byte, end bool) code {
	s := m.streams.find(id)
	switch {
	case s == nil && m.neverOpened(id):
		return m.onRequest(id, block, end) // a service's were refused before
	case s == nil:
		// It has to be read, because it changes the table.
		if why := m.readBlock(block, nothing{}); why != codeNone {
			return why
		}
		ours, found := m.recently(id)
		switch {
		case m.client || ours:
			return codeNone
		case found:
			return codeStreamClosed
		}
		return codeProtocol // ids must rise (RFC 9113 section 5.1.1)
	case s.inEnd:
		if why := m.readBlock(block, nothing{}); why != codeNone {
			return why
		}
		return m.breakStream(s, codeStreamClosed)
	case m.client && !s.headed():
		return m.onResponse(s, block, end)
	}
	return m.onTrailers(s, block, end)
}

// nothing is a sink of fields that nobody wants.
type nothing struct{}

func (nothing) field([]byte, []byte, bool) bool { return false }
