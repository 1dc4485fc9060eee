package http2

// hpackWriter is the encoder of one connection.
//
// It spends a byte of the network before a moment of the processor, and keeps
// the table for what comes again: a value is indexed when it is met for the
// second time in short order, so that identifiers and times pass without
// displacing what repeats, and a connection that sees one exchange has no
// table at all. Names whose values are known to be new each time are indexed
// once, without their later values. Huffman code is used where it is paid for
// once, for what goes into the table.
//
// All blocks must be sent in the order in which they were encoded.
type hpackWriter struct {
	table hpackTable

	// index finds entries: sets of ways slots, the hash chooses the set. A slot
	// has the number of an entry in its lower half and a part of the hash in its
	// upper. One that has become stale is overwritten some time, nothing is ever
	// removed; what is found is compared. A lost entry costs bytes, no more.
	index []uint32

	// seen remembers the values that were met lately: sets of four parts of
	// hashes, the newest lowest.
	seen [seenSets]uint64

	size, least uint32 // what the peer allows now, and at least since the last block; octets
}

const (
	// ways is how many entries with similar hashes the index can tell apart.
	ways = 4
	// seenSets times four values are remembered, a few exchanges' worth.
	seenSets = 16
	// shortSecret is the length of the longest cookie that is thought to be
	// guessable through the compression, in octets; nghttp2 draws the line there
	// too.
	shortSecret = 19
)

// First octets of the representations (RFC 7541 section 6), and how much of an
// integer they hold.
const (
	indexedField, indexedMask = 0x80, 0x7f
	addedField, addedMask     = 0x40, 0x3f
	passedField, passedMask   = 0x00, 0x0f
	neverField, neverMask     = 0x10, 0x0f
	sizeUpdate, sizeMask      = 0x20, 0x1f
	huffmanString, stringMask = 0x80, 0x7f
)

// init makes the writer ready for a new connection, whose peer allows a table
// of 4,096 octets until it says otherwise.
func (w *hpackWriter) init() {
	*w = hpackWriter{size: defaultTableSize, least: defaultTableSize}
	w.table.resize(defaultTableSize)
}

// reset gives the memory of the table back; only init may follow.
func (w *hpackWriter) reset() { w.table, w.index = hpackTable{}, nil }

// setPeerTable takes the peer's SETTINGS_HEADER_TABLE_SIZE, in octets. No more
// than the default is used of it.
func (w *hpackWriter) setPeerTable(n uint32) {
	w.size = min(n, defaultTableSize)
	w.least = min(w.least, w.size)
}

// begin begins a header block: it appends the table size updates that are due
// (RFC 7541 section 4.2: the smallest, then the last).
func (w *hpackWriter) begin(out []byte) []byte {
	if w.least < w.table.max {
		out = appendInteger(out, sizeUpdate, sizeMask, w.least)
		w.table.resize(w.least)
	}
	if w.size != w.table.max {
		out = appendInteger(out, sizeUpdate, sizeMask, w.size)
		w.table.resize(w.size)
	}
	w.least = w.size
	return out
}

// status appends :status with a code of three digits.
func (w *hpackWriter) status(out []byte, code int) []byte {
	i := 0
	switch code {
	case 200:
		i = 8
	case 204:
		i = 9
	case 206:
		i = 10
	case 304:
		i = 11
	case 400:
		i = 12
	case 404:
		i = 13
	case 500:
		i = 14
	default:
		// Three digits are not worth an entry.
		return append(out, passedField|8, 3, '0'+byte(code/100), '0'+byte(code/10%10), '0'+byte(code%10))
	}
	return append(out, indexedField|byte(i))
}

// field appends a field, its name in lower case. never asks for the
// representation that is passed on as such by all (RFC 7541 section 6.2.3).
func (w *hpackWriter) field(out []byte, name, value []byte, never bool) []byte {
	return put(w, out, name, value, never)
}

// fieldString is field for strings.
func (w *hpackWriter) fieldString(out []byte, name, value string, never bool) []byte {
	return put(w, out, name, value, never)
}

func put[T text](w *hpackWriter, out []byte, name, value T, never bool) []byte {
	h := hashName(name)
	if never {
		return putLiteral(w, out, neverField, lookupKnown(h, name), h, name, value)
	}
	hp := hashPair(h, value)
	if i := lookupStatic(hp, name, value); i != 0 {
		return append(out, indexedField|i)
	}
	// What is in the table was allowed to go there.
	if i := findPair(w, hp, name, value); i != 0 {
		return appendInteger(out, indexedField, indexedMask, i)
	}
	k := lookupKnown(h, name)
	switch how := k.habit; {
	case how == secret || how == crumbs && len(value) <= shortSecret:
		return putLiteral(w, out, neverField, k, h, name, value)
	case len(name)+len(value)+entryCost > int(w.table.max)/2:
		return putLiteral(w, out, passedField, k, h, name, value)
	case how == fleeting:
		if k.index == 0 && findName(w, h, name) == 0 {
			return putAdded(w, out, k, h, hp, name, value)
		}
		return putLiteral(w, out, passedField, k, h, name, value)
	case w.again(hashAll(h, value)):
		return putAdded(w, out, k, h, hp, name, value)
	}
	return putLiteral(w, out, passedField, k, h, name, value)
}

// putLiteral appends a field that does not go into the table; first is how.
// Its value is new and may stay so: Huffman code would be paid for each time.
func putLiteral[T text](w *hpackWriter, out []byte, first byte, k *known, h uint32, name, value T) []byte {
	i := uint32(k.index)
	if i == 0 {
		i = findName(w, h, name)
	}
	if out = appendInteger(out, first, passedMask, i); i == 0 {
		out = appendPlain(out, name)
		low := out[len(out)-len(name):]
		copyLower(low, low)
	}
	return appendPlain(out, value)
}

// putAdded appends a field, which fits the table, and adds it there under its
// hashes h and hp.
func putAdded[T text](w *hpackWriter, out []byte, k *known, h, hp uint32, name, value T) []byte {
	i := uint32(k.index)
	if i == 0 {
		i = findName(w, h, name)
	}
	room := w.table.add(len(name), len(value))
	low := room[:len(name)]
	copyLower(low, name)
	copy(room[len(name):], value)
	if len(w.index) < ways*len(w.table.entries) {
		w.reindex()
	} else {
		if k.index == 0 {
			w.place(h, w.table.next-1)
		}
		w.place(hp, w.table.next-1)
	}
	if out = appendInteger(out, addedField, addedMask, i); i == 0 {
		out = appendShort(out, low)
	}
	return appendShort(out, value)
}

// findPair finds the index of a field, whose hash is h, in the table; 0 is
// none.
func findPair[T text](w *hpackWriter, h uint32, name, value T) uint32 {
	for _, s := range w.set(h) {
		age := uint32(uint16(w.table.next - 1 - s))
		if s>>16 != h>>16 || age >= w.table.count {
			continue
		}
		if n, v := w.table.at(age); equal(v, value) && equalLower(n, name) {
			return staticCount + 1 + age
		}
	}
	return 0
}

// findName finds the index of an entry with a name, whose hash is h, in the
// table; 0 is none.
func findName[T text](w *hpackWriter, h uint32, name T) uint32 {
	for _, s := range w.set(h) {
		age := uint32(uint16(w.table.next - 1 - s))
		if s>>16 != h>>16 || age >= w.table.count {
			continue
		}
		if n, _ := w.table.at(age); equalLower(n, name) {
			return staticCount + 1 + age
		}
	}
	return 0
}

// set is the slots where entries with hash h are.
func (w *hpackWriter) set(h uint32) []uint32 {
	if len(w.index) == 0 {
		return nil
	}
	i := int(h) * ways & (len(w.index) - 1)
	return w.index[i : i+ways : i+ways]
}

// place makes entry k known by the hash h: in the place of an equal hash, else
// of nothing or an evicted entry, else of the oldest.
func (w *hpackWriter) place(h, k uint32) {
	set := w.set(h)
	worst, oldest := 0, uint32(0)
	for i, s := range set {
		if s>>16 == h>>16 {
			worst = i
			break
		}
		age := uint32(uint16(w.table.next - 1 - s))
		if s == 0 {
			age = maxTableSize
		}
		if age >= oldest {
			worst, oldest = i, age
		}
	}
	set[worst] = h&0xffff0000 | k&0xffff
}

// reindex makes an index that fits the table and puts all entries there.
func (w *hpackWriter) reindex() {
	w.index = make([]uint32, ways*len(w.table.entries))
	for age := w.table.count; age > 0; age-- {
		name, value := w.table.at(age - 1)
		h := hashName(name)
		if lookupKnown(h, name).index == 0 {
			w.place(h, w.table.next-age)
		}
		w.place(hashPair(h, value), w.table.next-age)
	}
}

// again says whether a value with hash h was met lately, and remembers it.
func (w *hpackWriter) again(h uint32) bool {
	const ones, tops = 0x0001000100010001, 0x8000800080008000
	set := &w.seen[h%seenSets]
	x := *set ^ uint64(h>>16)*ones
	if (x-ones)&^x&tops != 0 {
		return true
	}
	*set = *set<<16 | uint64(h>>16)
	return false
}

// appendInteger appends v after the bits of first that mask leaves (RFC 7541
// section 5.1).
func appendInteger(out []byte, first, mask byte, v uint32) []byte {
	if v < uint32(mask) {
		return append(out, first|byte(v))
	}
	out = append(out, first|mask)
	for v -= uint32(mask); v >= 0x80; v >>= 7 {
		out = append(out, byte(v)|0x80)
	}
	return append(out, byte(v))
}

// appendPlain appends a string literal as it is (RFC 7541 section 5.2).
func appendPlain[T text](out []byte, s T) []byte {
	out = appendInteger(out, 0, stringMask, uint32(len(s)))
	return append(out, s...)
}

// appendShort appends a string literal in Huffman code if that is shorter.
func appendShort[T text](out []byte, s T) []byte {
	n := huffmanSize(s)
	if n >= len(s) {
		return appendPlain(out, s)
	}
	out = appendInteger(out, huffmanString, stringMask, uint32(n))
	return appendHuffman(out, s)
}
