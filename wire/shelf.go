package wire

// Shelf keeps the memory of heads that nobody reads just now, for one loop. A
// request waits long for its response and needs room for that only when it
// comes: taken from the Shelf then, it is the room that the response before
// it had, which the processor's caches still hold. Last in, first out. The
// zero Shelf is empty; a nil one lends nothing and keeps nothing.
type Shelf struct {
	free []shelved
}

type shelved struct {
	buf    []byte
	fields []Field
}

const (
	// keepShelved bounds what a Shelf keeps: heads in use at one moment on one
	// loop, most of which belong to bodies that are still on their way.
	keepShelved = 256
	// shelvedBuf and shelvedFields are what new memory has room for.
	shelvedBuf, shelvedFields = 1 << 10, 24
)

// Lend gives h memory, unless it has some.
func (s *Shelf) Lend(h *Head) {
	if h.Buf != nil || s == nil {
		return
	}
	n := len(s.free) - 1
	if n < 0 {
		h.Buf, h.Fields = make([]byte, 0, shelvedBuf), make([]Field, 0, shelvedFields)
		return
	}
	h.Buf, h.Fields = s.free[n].buf, s.free[n].fields
	s.free = s.free[:n]
}

// Return resets h and takes its memory, unless that grew very large.
func (s *Shelf) Return(h *Head) {
	h.Reset()
	if s == nil || h.Buf == nil {
		return
	}
	if len(s.free) < keepShelved {
		s.free = append(s.free, shelved{h.Buf, h.Fields})
	}
	h.Buf, h.Fields = nil, nil
}
