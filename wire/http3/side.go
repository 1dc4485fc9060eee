package http3

import (
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/naru-mesh/naru/observe"
)

// sideMost bounds a frame of the control stream that is read as a whole.
const sideMost = 4 << 10

// side is a unidirectional stream of the client's.
type side struct {
	m       *session
	p       outlet
	known   bool // its type was read
	kind    uint64
	part    []byte
	frame   frame
	ignored bool // nobody wants what comes
}

var _ inlet = (*side)(nil)

// openSide takes a new unidirectional stream.
func (m *session) openSide(p outlet) inlet { return &side{m: m, p: p} }

func (d *side) onData(b []byte, fin bool) {
	m := d.m
	if m.closed {
		return
	}
	if !d.known && !d.ignored {
		d.part = append(d.part, b...)
		kind, n, err := quicvarint.Parse(d.part)
		if err == nil {
			d.known, d.kind = true, kind
			b, d.part = d.part[n:], nil
			d.identify()
		} else {
			b = nil
		}
	}
	if d.known && !d.ignored && !m.closed {
		with := fine
		switch d.kind {
		case sideControl:
			with = d.control(b)
		case sideEncoder:
			with = encoder(b)
		case sideDecoder:
			with = d.decoder(b)
		}
		if with != fine {
			m.broken(with, observe.BadFrame)
		}
	}
	if fin {
		d.ended()
	}
}

// identify settles what the stream is for.
func (d *side) identify() {
	m := d.m
	switch {
	case d.kind == sidePush, d.kind < uint64(len(m.sides)) && m.sides[d.kind]:
		m.broken(codeStreamCreation, observe.BadFrame)
	case d.kind < uint64(len(m.sides)):
		m.sides[d.kind] = true
	default:
		d.ignored = true
		d.p.stop(codeStreamCreation)
		d.p.release()
		m.spend(wasteEmpties)
	}
}

// ended: the stream is over, which three of them must never be.
func (d *side) ended() {
	if d.known && !d.ignored {
		d.m.broken(codeClosedCritical, observe.BadFrame)
		return
	}
	if !d.ignored {
		d.ignored = true
		d.p.release()
		d.m.spend(wasteEmpties)
	}
}

// control reads the frames of the control stream.
func (d *side) control(b []byte) code {
	m, f := d.m, &d.frame
	for len(b) > 0 && !m.closed {
		if !f.open {
			if b = b[f.begin(b):]; !f.open {
				return fine
			}
			if with := d.onFrame(); with != fine {
				return with
			}
			d.part = nil
			if f.left > 0 {
				continue
			}
		}
		var part []byte
		part, b = f.take(b)
		if d.wanted() {
			d.part = append(d.part, part...)
		}
		if !f.open {
			if with := d.onWhole(); with != fine {
				return with
			}
		}
	}
	return fine
}

// wanted says whether a frame's payload is read.
func (d *side) wanted() bool {
	switch d.frame.kind {
	case frameSettings, frameGoAway, frameMaxPushID, frameCancelPush:
		return true
	}
	return false
}

// onFrame looks at the header of a frame.
func (d *side) onFrame() code {
	m, f := d.m, &d.frame
	if !m.settled && f.kind != frameSettings {
		return codeMissingSettings
	}
	switch kind := f.kind; {
	case kind == frameSettings:
		if m.settled {
			return codeFrameUnexpected
		}
		m.settled = true
	case kind == frameGoAway, kind == frameMaxPushID, kind == frameCancelPush:
		m.spend(wasteEmpties)
	case kind == frameData, kind == frameHeaders, kind == framePushPromise, ofHTTP2(kind):
		return codeFrameUnexpected
	case kind == framePriorityUpdate:
		// The request's own field says the same.
		m.spend(wastePriorities)
	default:
		m.spend(wasteEmpties)
	}
	if d.wanted() && f.left > sideMost {
		return codeExcessiveLoad
	}
	return fine
}

// onWhole reads a frame that is complete.
func (d *side) onWhole() code {
	m := d.m
	if d.frame.kind == frameSettings {
		return settings(d.part)
	}
	if !d.wanted() {
		return fine
	}
	id, n, err := quicvarint.Parse(d.part)
	if err != nil || n != len(d.part) {
		return codeFrame
	}
	switch d.frame.kind {
	case frameGoAway: // of pushes, of which there are none
		if id > m.goaway {
			return codeID
		}
		m.goaway = id
	case frameMaxPushID:
		if id < m.pushes {
			return codeID
		}
		m.pushes = id
	case frameCancelPush:
		return codeID // none was promised
	}
	return fine
}

// settings reads the client's. None of them changes what we do: field sections
// refer to no table.
func settings(b []byte) code {
	seen := map[uint64]bool{}
	for len(b) > 0 {
		id, n, err := quicvarint.Parse(b)
		if err != nil {
			return codeFrame
		}
		v, k, err := quicvarint.Parse(b[n:])
		if err != nil {
			return codeFrame
		}
		b = b[n+k:]
		switch {
		case seen[id], id == 0, 2 <= id && id <= 5, id == settingExtended && v > 1:
			return codeSettings
		}
		seen[id] = true
	}
	return fine
}

// encoder reads the client's instructions for a table that we do not keep: it
// can only be told to have no room (RFC 9204 section 4.3).
func encoder(b []byte) code {
	for _, c := range b {
		if c != 0x20 {
			return codeEncoderStream
		}
	}
	return fine
}

// decoder reads what the client says of a table that we do not use: nothing
// but that streams were given up (RFC 9204 section 4.4).
func (d *side) decoder(b []byte) code {
	d.part = append(d.part, b...)
	for len(d.part) > 0 {
		if d.part[0]&0xc0 != 0x40 {
			return codeDecoderStream
		}
		_, rest, ok := prefixed(d.part, 6)
		if !ok {
			if len(d.part) > 10 {
				return codeDecoderStream
			}
			return fine
		}
		d.part = append(d.part[:0], rest...)
	}
	return fine
}

func (d *side) onReset()   { d.ended() }
func (d *side) onStopped() {}
func (d *side) onDrained() {}
func (d *side) onSent()    {}
func (d *side) onStuck()   {}
func (d *side) onRoused()  {}
