package http3

import "github.com/quic-go/quic-go/quicvarint"

// Types of frames (RFC 9114 section 7.2, RFC 9218 section 7.2).
const (
	frameData           = 0x00
	frameHeaders        = 0x01
	frameCancelPush     = 0x03
	frameSettings       = 0x04
	framePushPromise    = 0x05
	frameGoAway         = 0x07
	frameMaxPushID      = 0x0d
	framePriorityUpdate = 0xf0700
)

// Types of unidirectional streams (RFC 9114 section 6.2, RFC 9204 section 4.2).
const (
	sideControl = 0x00
	sidePush    = 0x01
	sideEncoder = 0x02
	sideDecoder = 0x03
)

// Settings (RFC 9114 section 7.2.4.1, RFC 9204 section 5, RFC 9220 section 3).
const (
	settingTable    = 0x01
	settingSection  = 0x06
	settingBlocked  = 0x07
	settingExtended = 0x08
)

// ofHTTP2 says whether a frame's type is one of HTTP/2 that has no meaning
// here, and must not come (RFC 9114 section 7.2.8).
func ofHTTP2(kind uint64) bool { return kind == 0x02 || kind == 0x06 || kind == 0x08 || kind == 0x09 }

// frame is the one that is being read.
type frame struct {
	kind, left uint64
	open       bool // its header was read
	n          int  // bytes of a header that is not complete
	header     [16]byte
}

// begin reads the header of a frame from b, of which a part may have come
// before; frame.open says whether it is complete. It gives how much it used.
func (f *frame) begin(b []byte) (used int) {
	for used < len(b) {
		f.header[f.n] = b[used]
		f.n++
		used++
		kind, k, err := quicvarint.Parse(f.header[:f.n])
		if err != nil {
			continue
		}
		size, _, err := quicvarint.Parse(f.header[k:f.n])
		if err != nil {
			continue
		}
		f.kind, f.left, f.open, f.n = kind, size, true, 0
		return used
	}
	return used
}

// take cuts what belongs to the frame off b; the frame is not open any more
// once all of it was taken.
func (f *frame) take(b []byte) (part, rest []byte) {
	n := min(f.left, uint64(len(b)))
	f.left -= n
	f.open = f.left > 0
	return b[:n], b[n:]
}

// cut says whether the stream must not end here.
func (f *frame) cut() bool { return f.open || f.n > 0 }

// appendFrame writes the header of a frame.
func appendFrame(out []byte, kind uint64, size int) []byte {
	return quicvarint.Append(quicvarint.Append(out, kind), uint64(size))
}

// maxID is the largest id of a request that there can be.
const maxID = 1<<62 - 4

func appendGoAway(out []byte, id uint64) []byte {
	return quicvarint.Append(appendFrame(out, frameGoAway, quicvarint.Len(id)), id)
}

// appendHello begins our control stream.
func appendHello(out []byte, section int) []byte {
	out = append(out, sideControl)
	var list []byte
	add := func(id, v uint64) { list = quicvarint.Append(quicvarint.Append(list, id), v) }
	add(settingTable, 0)
	if section >= 0 {
		add(settingSection, uint64(section))
	}
	add(settingBlocked, 0)
	add(settingExtended, 1)
	return append(appendFrame(out, frameSettings, len(list)), list...)
}
