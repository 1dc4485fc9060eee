package http2

import "encoding/binary"

// Preface is what a client begins a connection with (RFC 9113 section 3.4).
// Whoever must tell HTTP/2 from HTTP/1.1 on one port compares with it: its
// first line is no request of HTTP/1.1.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frameType of RFC 9113 section 6 and RFC 9218 section 7.1.
type frameType uint8

const (
	frameData           frameType = 0x0
	frameHeaders        frameType = 0x1
	framePriority       frameType = 0x2
	frameReset          frameType = 0x3
	frameSettings       frameType = 0x4
	framePushPromise    frameType = 0x5
	framePing           frameType = 0x6
	frameGoAway         frameType = 0x7
	frameWindow         frameType = 0x8
	frameContinuation   frameType = 0x9
	framePriorityUpdate frameType = 0x10
)

// Flags of frames.
const (
	flagEndStream  = 0x1 // DATA, HEADERS
	flagAck        = 0x1 // SETTINGS, PING
	flagEndHeaders = 0x4 // HEADERS, CONTINUATION
	flagPadded     = 0x8 // DATA, HEADERS
	flagPriority   = 0x20
)

const (
	frameHead = 9 // bytes of a frame's header
	// ourFrame is the largest payload that is taken and the largest that is
	// sent: the default of SETTINGS_MAX_FRAME_SIZE. Larger frames would only
	// make streams wait longer for each other.
	ourFrame  = 16 << 10
	maxWindow = 1<<31 - 1
	maxID     = 1<<31 - 1
	// freshWindow is the flow-control window of a connection and, before
	// SETTINGS, of a stream (RFC 9113 section 6.9.2).
	freshWindow = 65535
)

// code is an error code (RFC 9113 section 7). Of a frame that is in order it
// is codeNone.
type code uint32

const (
	codeNone            code = 0x0
	codeProtocol        code = 0x1
	codeInternal        code = 0x2
	codeFlowControl     code = 0x3
	codeStreamClosed    code = 0x5
	codeFrameSize       code = 0x6
	codeRefused         code = 0x7
	codeCancel          code = 0x8
	codeCompression     code = 0x9
	codeEnhanceYourCalm code = 0xb
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func (c code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "unknown"
}

// frame is a frame's header.
type frame struct {
	length int
	kind   frameType
	flags  uint8
	id     uint32
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// readFrame reads the header at the start of b, which has frameHead bytes. The
// reserved bit is ignored.
func readFrame(b []byte) frame {
	n := binary.BigEndian.Uint32(b)
	return frame{int(n >> 8), frameType(n), b[4], binary.BigEndian.Uint32(b[5:]) & maxID}
}

func appendFrame(out []byte, length int, kind frameType, flags uint8, id uint32) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(length)<<8|uint32(kind))
	out = append(out, flags)
	return binary.BigEndian.AppendUint32(out, id)
}

func appendReset(out []byte, id uint32, why code) []byte {
	out = appendFrame(out, 4, frameReset, 0, id)
	return binary.BigEndian.AppendUint32(out, uint32(why))
}

func appendWindow(out []byte, id uint32, n int32) []byte {
	out = appendFrame(out, 4, frameWindow, 0, id)
	return binary.BigEndian.AppendUint32(out, uint32(n))
}

func appendGoAway(out []byte, last uint32, why code) []byte {
	out = appendFrame(out, 8, frameGoAway, 0, 0)
	out = binary.BigEndian.AppendUint32(out, last)
	return binary.BigEndian.AppendUint32(out, uint32(why))
}

func appendPing(out []byte, flags uint8, opaque []byte) []byte {
	out = appendFrame(out, 8, framePing, flags, 0)
	return append(out, opaque[:8]...)
}

// unpad takes the padding off the payload of a DATA or HEADERS frame (RFC 9113
// section 6.1); false where there is more padding than payload.
func unpad(f *frame, p []byte) ([]byte, bool) {
	if !f.has(flagPadded) {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}
