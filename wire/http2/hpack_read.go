package http2

import "errors"

// What is wrong with a header block. All are connection errors of type
// COMPRESSION_ERROR (RFC 9113 section 4.3): the table is out of step for good.
var (
	errTruncated = errors.New("hpack: block ends within a field")
	errInteger   = errors.New("hpack: integer too large")
	errUnwanted  = errors.New("hpack: too many fields in a list that is too large")
	errIndex     = errors.New("hpack: index beyond the tables")
	errHuffman   = errors.New("hpack: malformed Huffman code")
	errTable     = errors.New("hpack: table size update missing, misplaced or too large")
)

// hpackReader is the decoder of one connection.
//
// It does work in proportion to the bytes of a block and to what it tells. A
// block of n octets tells up to n fields of up to the table's size each, so
// that the sink must bound the list (RFC 9113 section 10.5.1: names, values and
// 32 octets for each) and return false beyond; from then on a field costs its
// own bytes only, but for one that goes into the table, which may copy a name
// of at most the table's size. The caller bounds the octets of a block.
type hpackReader struct {
	// scratch is where Huffman code is decoded to. The readers of one goroutine
	// may share it; without one the reader makes its own.
	scratch *[]byte

	table hpackTable
	limit uint32 // the largest table that we allow now
	low   uint32 // the largest that we allowed at every moment since the last block
}

const (
	// maxInteger is the largest integer that is read (RFC 7541 section 5.1).
	maxInteger = 1<<31 - 1
	// longestInteger is how many octets may follow the prefix of one, so that
	// leading zeros end somewhere.
	longestInteger = 5
	// maxUpdates is the number of table size updates that a block may begin
	// with: the lowest and the last (RFC 7541 section 4.2).
	maxUpdates = 2
	// maxUnwanted is how many fields a block may have beyond those that its sink
	// wants: the head is too large, which is a mistake, and a thousand more is
	// none.
	maxUnwanted = 1000
	// keepScratch is how much scratch is kept after a block, in bytes.
	keepScratch = 64 << 10
)

// init makes the reader ready for a new connection. maxTable is the
// SETTINGS_HEADER_TABLE_SIZE that we send first, at most maxTableSize: more
// than the default may be used by the peer at once, less only binds it after
// setLimit.
func (r *hpackReader) init(maxTable uint32) {
	scratch := r.scratch
	*r = hpackReader{scratch: scratch, limit: max(min(maxTable, maxTableSize), defaultTableSize)}
	r.low = r.limit
	r.table.resize(defaultTableSize)
}

// setLimit says that the peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE
// of n octets, at most maxTableSize. A peer whose table is larger must shrink
// it first thing in its next block.
func (r *hpackReader) setLimit(n uint32) {
	r.limit = min(n, maxTableSize)
	r.low = min(r.low, r.limit)
}

// reset gives the memory of the table back; only init may follow.
func (r *hpackReader) reset() { r.table = hpackTable{} }

// read decodes one header block, whose fragments the caller has joined, and
// tells sink its fields in order. An error is a connection error of type
// COMPRESSION_ERROR, or ENHANCE_YOUR_CALM where it is errUnwanted, after which the
// reader is of no use. A field without a
// name is told like others; it is malformed, which is for the sink to say.
func (r *hpackReader) read(block []byte, sink fieldSink) error {
	if r.scratch == nil {
		r.scratch = new([]byte)
	}
	p, err := r.updates(block)
	if err != nil {
		return err
	}
	unwanted := 0
	for more := true; len(p) > 0; {
		if !more {
			n := len(p)
			p = r.skip(p)
			if unwanted += n - len(p) + 1; unwanted > maxUnwanted {
				return errUnwanted
			}
			if len(p) == 0 {
				break
			}
		}
		b := p[0]
		if b < 0x80 {
			if p, more, err = r.literal(p, sink, more); err != nil {
				return err
			}
			continue
		}
		// RFC 7541 section 6.1.
		i := uint32(b & 0x7f)
		p = p[1:]
		if i == 0x7f {
			if i, p, err = readInteger(0x7f, p); err != nil {
				return err
			}
		}
		if !r.has(i) {
			return errIndex
		}
		if more {
			name, value := r.lookup(i)
			more = sink.field(name, value, false)
		}
	}
	if cap(*r.scratch) > keepScratch {
		*r.scratch = nil
	}
	return nil
}

// updates reads the table size updates that a block begins with (RFC 7541
// sections 4.2 and 6.3) and gives the rest.
func (r *hpackReader) updates(p []byte) ([]byte, error) {
	least := r.table.max
	for n := 0; len(p) > 0 && p[0]&0xe0 == 0x20; n++ {
		size := uint32(p[0] & 0x1f)
		p = p[1:]
		if size == 0x1f {
			var err error
			if size, p, err = readInteger(0x1f, p); err != nil {
				return nil, err
			}
		}
		if n == maxUpdates || size > r.limit {
			return nil, errTable
		}
		r.table.resize(size)
		least = min(least, size)
	}
	if least > r.low {
		return nil, errTable
	}
	r.low = r.limit
	return p, nil
}

// literal reads the literal field (RFC 7541 section 6.2) at the start of p and
// gives the rest. more is what the sink said last.
func (r *hpackReader) literal(p []byte, sink fieldSink, more bool) ([]byte, bool, error) {
	b := p[0]
	mask, keep := byte(0x0f), false
	switch {
	case b >= 0x40:
		mask, keep = 0x3f, true
	case b >= 0x20:
		return nil, false, errTable
	}
	i := uint32(b & mask)
	p = p[1:]
	var err error
	if b&mask == mask {
		if i, p, err = readInteger(uint32(mask), p); err != nil {
			return nil, false, err
		}
	}
	*r.scratch = (*r.scratch)[:0]
	// Without a sink that wants it, only a field for the table is decoded.
	wanted := more || keep
	var name, value []byte
	if i == 0 {
		if name, p, err = r.text(p, wanted); err != nil {
			return nil, false, err
		}
	} else {
		if !r.has(i) {
			return nil, false, errIndex
		}
		name, _ = r.lookup(i)
		if keep && i > staticCount {
			// Adding may move or drop the entry that lends the name.
			*r.scratch = append(*r.scratch, name...)
			name = *r.scratch
		}
	}
	if value, p, err = r.text(p, wanted); err != nil {
		return nil, false, err
	}
	if more {
		more = sink.field(name, value, b&0xf0 == 0x10)
	}
	if keep {
		if room := r.table.add(len(name), len(value)); room != nil {
			copy(room[copy(room, name):], value)
		}
	}
	return p, more, nil
}

// skip passes over fields that nobody wants any more, as the head is too large,
// as long as each is a byte: that may stand for kilobytes, and be there often.
// What is not of that kind, or wrong, is left for read.
func (r *hpackReader) skip(p []byte) []byte {
	most := 0x80 | byte(min(0x7e, staticCount+r.table.count))
	n := 0
	for n < len(p) && p[n] > 0x80 && p[n] <= most {
		n++
	}
	return p[n:]
}

// has says whether there is a field with index i.
func (r *hpackReader) has(i uint32) bool { return i != 0 && i <= staticCount+r.table.count }

// lookup lends the field with index i (RFC 7541 section 2.3.3), which is one.
func (r *hpackReader) lookup(i uint32) (name, value []byte) {
	if i <= staticCount {
		e := &staticPairs[i]
		return e.name, e.value
	}
	return r.table.at(i - staticCount - 1)
}

// text reads the string literal (RFC 7541 section 5.2) at the start of p and
// gives the rest. The string is lent by p or appended to the scratch. One that
// is not wanted may be anything.
func (r *hpackReader) text(p []byte, wanted bool) (s, rest []byte, err error) {
	if len(p) == 0 {
		return nil, nil, errTruncated
	}
	n, coded := uint32(p[0]&0x7f), p[0] >= 0x80
	p = p[1:]
	if n == 0x7f {
		if n, p, err = readInteger(0x7f, p); err != nil {
			return nil, nil, err
		}
	}
	if uint64(n) > uint64(len(p)) {
		return nil, nil, errTruncated
	}
	s, rest = p[:n:n], p[n:]
	if !coded || !wanted {
		return s, rest, nil
	}
	at := len(*r.scratch)
	whole, ok := decodeHuffman(*r.scratch, s)
	if !ok {
		return nil, nil, errHuffman
	}
	*r.scratch = whole
	return whole[at:], rest, nil
}

// readInteger reads what follows a prefix of ones with the value most (RFC
// 7541 section 5.1).
func readInteger(most uint32, p []byte) (n uint32, rest []byte, err error) {
	x := uint64(most)
	for i := range longestInteger {
		if i == len(p) {
			return 0, nil, errTruncated
		}
		x += uint64(p[i]&0x7f) << (7 * i)
		if x > maxInteger {
			break
		}
		if p[i] < 0x80 {
			return uint32(x), p[i+1:], nil
		}
	}
	return 0, nil, errInteger
}
