package http2

// hpackTable is a dynamic table (RFC 7541 section 2.3.2). Fields lie end to
// end in buf, each in one piece so that it can be lent; when the end of buf is
// reached those that live slide to its front. Memory comes with use: an empty
// table has none.
//
// Sliding is cheap because RFC 7541 counts 32 octets more for an entry than
// it has bytes: with n entries in a full table at least 32*n bytes of buf are
// free, so that many small entries slide seldom and few large ones seldom
// come.
type hpackTable struct {
	buf     []byte
	entries []hpackEntry // ring, its length a power of two; entry k is at k modulo the length
	next    uint32       // number of the entry that comes next
	count   uint32       // entries that live: next-count to next-1
	used    uint32       // RFC 7541 section 4.1, octets, at most max
	max     uint32       // RFC 7541 section 4.2, octets, at most maxTableSize
	tail    uint32       // where the next entry begins in buf
}

// hpackEntry says where an entry lies: name, then value.
type hpackEntry struct {
	off, name, value uint16 // octets
}

const (
	// entryCost is what an entry counts beyond its bytes (RFC 7541 section 4.1).
	entryCost = 32
	// maxTableSize bounds any dynamic table, because of hpackEntry.
	maxTableSize = 1<<16 - 1
	// defaultTableSize holds until SETTINGS say otherwise (RFC 9113 section 6.5.2).
	defaultTableSize = 4096
	// smallTable is the memory that the first entry asks for, in bytes, and
	// smallRing the entries.
	smallTable, smallRing = 128, 8
)

// at lends entry i, where 0 is the newest; i must be less than count. It holds
// until the next add.
func (t *hpackTable) at(i uint32) (name, value []byte) {
	e := t.entries[(t.next-1-i)&uint32(len(t.entries)-1)]
	b := t.buf[e.off : int(e.off)+int(e.name)+int(e.value)]
	return b[:e.name:e.name], b[e.name:]
}

// add makes an entry, evicting what it must (RFC 7541 section 4.4), and gives
// the room into which the caller copies name and then value. It is nil when
// the entry is larger than the table, which is then empty; that is no error.
// Bytes that at lent before are lost.
func (t *hpackTable) add(name, value int) []byte {
	n := name + value
	if n+entryCost > int(t.max) {
		t.evict(0)
		return nil
	}
	size := uint32(n + entryCost)
	t.evict(t.max - size)
	if int(t.tail)+n > len(t.buf) {
		t.makeRoom(n)
	}
	if int(t.count) == len(t.entries) {
		t.widen()
	}
	off := t.tail
	t.entries[t.next&uint32(len(t.entries)-1)] = hpackEntry{uint16(off), uint16(name), uint16(value)}
	t.tail += uint32(n)
	t.next++
	t.count++
	t.used += size
	return t.buf[off:t.tail:t.tail]
}

// evict drops the oldest entries until at most most octets are used.
func (t *hpackTable) evict(most uint32) {
	for t.used > most {
		e := t.entries[(t.next-t.count)&uint32(len(t.entries)-1)]
		t.used -= uint32(e.name) + uint32(e.value) + entryCost
		t.count--
	}
	if t.count == 0 {
		t.tail = 0
	}
}

// makeRoom finds room for n bytes behind the newest entry, which the limit of
// the table allows: by more memory while that is small, else by sliding.
func (t *hpackTable) makeRoom(n int) {
	live := int(t.used - entryCost*t.count)
	size := smallTable
	for size < live+n+(live+n)/4 {
		size *= 2
	}
	size = min(size, int(t.max))
	from := t.buf[int(t.tail)-live : t.tail]
	if size > len(t.buf) {
		t.buf = make([]byte, size)
	}
	copy(t.buf, from)
	for k, off := t.next-t.count, uint16(0); k != t.next; k++ {
		e := &t.entries[k&uint32(len(t.entries)-1)]
		e.off = off
		off += e.name + e.value
	}
	t.tail = uint32(live)
}

// widen doubles the ring.
func (t *hpackTable) widen() {
	ring := make([]hpackEntry, max(smallRing, 2*len(t.entries)))
	for k := t.next - t.count; k != t.next; k++ {
		ring[k&uint32(len(ring)-1)] = t.entries[k&uint32(len(t.entries)-1)]
	}
	t.entries = ring
}

// resize sets the maximum (RFC 7541 section 4.3). A table of nothing has no
// memory.
func (t *hpackTable) resize(max uint32) {
	t.max = max
	t.evict(max)
	if max == 0 {
		t.buf, t.entries = nil, nil
	}
}
