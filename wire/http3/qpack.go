package http3

import (
	"bytes"
	"errors"

	"golang.org/x/net/http2/hpack"
)

// QPACK (RFC 9204) with the static table only. The codec is small enough to be
// written here, and so a field that must never enter a compression table
// (section 4.5.4) stays one on its way through.

var errBlock = errors.New("the field section cannot be decoded")

// fieldSink takes the fields of a section, lent.
type fieldSink interface {
	// Field gives false to end the reading.
	Field(name, value []byte, never bool) bool
}

// sectionReader decodes field sections. One is used again for each.
type sectionReader struct{ name, value bytes.Buffer }

// read gives the fields of block to sink, until that wants no more.
func (r *sectionReader) read(block []byte, sink fieldSink) error {
	count, block, ok := prefixed(block, 8)
	if !ok || count != 0 {
		return errBlock // refers to a table that we did not allow
	}
	if len(block) == 0 || block[0]&0x80 != 0 {
		return errBlock // a base below nothing
	}
	if _, block, ok = prefixed(block, 7); !ok {
		return errBlock
	}
	for len(block) > 0 {
		var name, value []byte
		var index uint64
		first, never := block[0], false
		switch {
		case first&0xc0 == 0xc0: // indexed
			if index, block, ok = prefixed(block, 6); !ok || index >= uint64(len(staticTable)) {
				return errBlock
			}
			name, value = r.static(index)
		case first&0xd0 == 0x50: // literal with a name of the table
			never = first&0x20 != 0
			if index, block, ok = prefixed(block, 4); !ok || index >= uint64(len(staticTable)) {
				return errBlock
			}
			name, _ = r.static(index)
			if value, block, ok = text(block, 7, &r.value); !ok {
				return errBlock
			}
		case first&0xe0 == 0x20: // literal
			never = first&0x10 != 0
			if name, block, ok = text(block, 3, &r.name); !ok {
				return errBlock
			}
			if value, block, ok = text(block, 7, &r.value); !ok {
				return errBlock
			}
		default: // of the dynamic table
			return errBlock
		}
		if !sink.Field(name, value, never) {
			return nil
		}
	}
	return nil
}

// static gives an entry of the table.
func (r *sectionReader) static(i uint64) (name, value []byte) {
	e := &staticTable[i]
	r.name.Reset()
	r.name.WriteString(e.name)
	r.value.Reset()
	r.value.WriteString(e.value)
	return r.name.Bytes(), r.value.Bytes()
}

// text reads a string whose length has a prefix of n bits, above which stands
// whether it is in Huffman code, which is decoded to tmp.
func text(b []byte, n uint, tmp *bytes.Buffer) (s, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	huffman := b[0]>>n&1 != 0
	size, b, ok := prefixed(b, n)
	if !ok || size > uint64(len(b)) {
		return nil, nil, false
	}
	s, rest = b[:size], b[size:]
	if !huffman {
		return s, rest, true
	}
	tmp.Reset()
	if _, err := hpack.HuffmanDecode(tmp, s); err != nil {
		return nil, nil, false
	}
	return tmp.Bytes(), rest, true
}

// prefixed reads an integer with a prefix of n bits (RFC 7541 section 5.1), of
// less than 62 bits.
func prefixed(b []byte, n uint) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	most := uint64(1)<<n - 1
	if v = uint64(b[0]) & most; v < most {
		return v, b[1:], true
	}
	for i, shift := 1, uint(0); i < len(b) && shift < 56; i, shift = i+1, shift+7 {
		v += uint64(b[i]&0x7f) << shift
		if b[i]&0x80 == 0 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}

// appendPrefixed writes an integer with a prefix of n bits below those of
// first.
func appendPrefixed(out []byte, first byte, n uint, v uint64) []byte {
	most := uint64(1)<<n - 1
	if v < most {
		return append(out, first|byte(v))
	}
	out = append(out, first|byte(most))
	for v -= most; v >= 0x80; v >>= 7 {
		out = append(out, byte(v)|0x80)
	}
	return append(out, byte(v))
}

// appendText writes a string, in Huffman code where that is shorter.
func appendText(out []byte, first byte, n uint, s string) []byte {
	if size := hpack.HuffmanEncodeLength(s); size < uint64(len(s)) {
		return hpack.AppendHuffmanString(appendPrefixed(out, first|1<<n, n, size), s)
	}
	return append(appendPrefixed(out, first, n, uint64(len(s))), s...)
}

// places finds entries of the static table: by name, and by name and value.
var places, wholes = func() (names map[string]int, all map[staticField]int) {
	names, all = map[string]int{}, map[staticField]int{}
	for i, e := range staticTable {
		if _, ok := names[e.name]; !ok {
			names[e.name] = i
		}
		all[e] = i
	}
	return names, all
}()

// appendSection begins a field section.
func appendSection(out []byte) []byte { return append(out, 0, 0) }

// appendField writes a field.
func appendField(out []byte, name, value string, never bool) []byte {
	if i, ok := wholes[staticField{name, value}]; ok && !never {
		return appendPrefixed(out, 0xc0, 6, uint64(i))
	}
	if i, ok := places[name]; ok {
		first := byte(0x50)
		if never {
			first |= 0x20
		}
		return appendText(appendPrefixed(out, first, 4, uint64(i)), 0, 7, value)
	}
	first := byte(0x20)
	if never {
		first |= 0x10
	}
	return appendText(appendText(out, first, 3, name), 0, 7, value)
}
