package export

import "sync/atomic"

// ring hands bytes from one loop to the writer without a lock: one of them
// moves only tail, the other only head. Both count bytes since the beginning.
type ring struct {
	data []byte
	head atomic.Uint64 // the writer has taken what is before it
	_    [56]byte      // the two ends are on different cache lines
	tail atomic.Uint64 // the loop has put what is before it; always a line's end
	_    [56]byte
}

// put adds a line, and says how full the ring is in bytes; false when there is
// no room, and then nothing is added. Only the loop may call it.
func (r *ring) put(line []byte) (filled int, ok bool) {
	tail := r.tail.Load()
	used := int(tail - r.head.Load())
	if len(line) > len(r.data)-used {
		return used, false
	}
	at := int(tail % uint64(len(r.data)))
	n := copy(r.data[at:], line)
	copy(r.data, line[n:])
	r.tail.Store(tail + uint64(len(line)))
	return used + len(line), true
}

// peek gives what is there, in two parts where it goes round the end. Only the
// writer may call it; the parts are its own until it calls take.
func (r *ring) peek() (first, second []byte) {
	head := r.head.Load()
	n := int(r.tail.Load() - head)
	at := int(head % uint64(len(r.data)))
	if at+n <= len(r.data) {
		return r.data[at : at+n], nil
	}
	return r.data[at:], r.data[:at+n-len(r.data)]
}

// take gives n bytes back to the loop.
func (r *ring) take(n int) { r.head.Store(r.head.Load() + uint64(n)) }
