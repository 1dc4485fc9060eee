package http2

import (
	"encoding/binary"
	"slices"
)

// The Huffman code of RFC 7541 appendix B. It is canonical - shorter codes come
// first, and those of one length in the order of their symbols - so that the
// lengths say everything.

// huffmanLengths are the bits of the code of each octet.
var huffmanLengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	// huffmanStep is how many bits the decoder looks at together: enough for two
	// of the lower-case letters and digits. The table takes 16 KiB, of which
	// text uses a part.
	huffmanStep = 12
	// huffmanLongest is the length of the longest codes and of EOS, in bits.
	huffmanLongest = 30
)

// huffman is made of huffmanLengths and never changes.
var huffman = makeHuffman()

type huffmanTables struct {
	codes [256]uint32
	steps [1 << huffmanStep]huffmanEntry
	// Codes of n bits, put at the top of 32, are below limit[n]; symbols has
	// those of n bits from first[n] on.
	limit   [huffmanLongest + 1]uint64
	start   [huffmanLongest + 1]uint32
	first   [huffmanLongest + 1]uint16
	symbols [256]uint8
}

// huffmanEntry tells what some bits begin with, one symbol or two: in bits 0-5
// the bits of all (lowest, because the next look waits for them), in 8-15 the
// first symbol, in 16-23 the second, in 24-27 the bits of the first, in 28-29
// how many symbols. 0 means a longer code.
type huffmanEntry uint32

func (e huffmanEntry) bits() uint      { return uint(e) & 63 }
func (e huffmanEntry) first() byte     { return byte(e >> 8) }
func (e huffmanEntry) second() byte    { return byte(e >> 16) }
func (e huffmanEntry) firstBits() uint { return uint(e>>24) & 15 }
func (e huffmanEntry) symbols() int    { return int(e >> 28) }

func makeHuffman() *huffmanTables {
	t := &huffmanTables{}
	code, k := uint32(0), 0
	for n := 1; n <= huffmanLongest; n++ {
		code <<= 1
		t.start[n], t.first[n] = code, uint16(k)
		for c, l := range huffmanLengths {
			if int(l) == n {
				t.codes[c], t.symbols[k] = code, uint8(c)
				code++
				k++
			}
		}
		t.limit[n] = uint64(code) << (32 - n)
	}
	for c, n := range huffmanLengths {
		if n > huffmanStep {
			continue
		}
		from := t.codes[c] << (huffmanStep - n)
		for i := range uint32(1) << (huffmanStep - n) {
			t.steps[from+i] = huffmanEntry(uint32(n) | uint32(c)<<8 | uint32(n)<<24 | 1<<28)
		}
	}
	for i, s := range t.steps {
		if s == 0 {
			continue
		}
		second := t.steps[i<<s.firstBits()&(1<<huffmanStep-1)]
		if m := second.firstBits(); m > 0 && s.firstBits()+m <= huffmanStep {
			t.steps[i] = s&^63 + huffmanEntry(s.firstBits()+m) + huffmanEntry(second.first())<<16 + 1<<28
		}
	}
	return t
}

// decodeHuffman appends to out what src means (RFC 7541 section 5.2). It is
// false for EOS within src, and for padding that is longer than seven bits or
// not of ones.
func decodeHuffman(out, src []byte) ([]byte, bool) {
	// A symbol takes five bits or more; two are written where one is meant.
	k := len(out)
	out = slices.Grow(out, len(src)*8/5+2)
	dst := out[:cap(out)]
	t := huffman
	var acc uint64 // bits that were not used yet, at the top
	var n uint     // how many
	for {
		switch {
		case len(src) >= 8:
			acc |= binary.BigEndian.Uint64(src) >> n
			src = src[(63-n)>>3:]
			n |= 56
		default:
			for ; n <= 56 && len(src) > 0; src = src[1:] {
				acc |= uint64(src[0]) << (56 - n)
				n += 8
			}
			if n < huffmanLongest && len(src) == 0 {
				return t.decodeEnd(dst[:k], acc, n)
			}
		}
		for n >= huffmanStep {
			if e := t.steps[acc>>(64-huffmanStep)]; e != 0 {
				if k+1 >= len(dst) {
					return nil, false // cannot be, see Grow; spares two checks
				}
				dst[k], dst[k+1] = e.first(), e.second()
				k += e.symbols()
				acc <<= e.bits()
				n -= e.bits()
				continue
			}
			if n < huffmanLongest {
				break
			}
			c, used := t.long(acc)
			if used == 0 {
				return nil, false
			}
			dst[k] = c
			k++
			acc <<= used
			n -= used
		}
	}
}

// decodeEnd decodes the last n bits, fewer than huffmanLongest.
func (t *huffmanTables) decodeEnd(out []byte, acc uint64, n uint) ([]byte, bool) {
	for {
		var c uint8
		var used uint
		if e := t.steps[acc>>(64-huffmanStep)]; e != 0 {
			c, used = e.first(), e.firstBits()
		} else {
			c, used = t.long(acc)
		}
		if used == 0 || used > n {
			break
		}
		out = append(out, c)
		acc <<= used
		n -= used
	}
	return out, n < 8 && acc>>(64-n) == 1<<n-1
}

// long finds a symbol whose code is longer than huffmanStep; 0 bits are used
// by EOS.
func (t *huffmanTables) long(acc uint64) (c uint8, used uint) {
	for n := uint(huffmanStep + 1); n <= huffmanLongest; n++ {
		if acc>>32 < t.limit[n] {
			return t.symbols[uint(t.first[n])+uint(acc>>(64-n))-uint(t.start[n])], n
		}
	}
	return 0, 0
}

// huffmanSize is the length of s in Huffman code, in octets.
func huffmanSize[T text](s T) int {
	n := 0
	for i := range len(s) {
		n += int(huffmanLengths[s[i]])
	}
	return (n + 7) >> 3
}

// appendHuffman appends s in Huffman code, padded with ones.
func appendHuffman[T text](out []byte, s T) []byte {
	t := huffman
	var acc uint64 // bits that were not written yet, at the bottom
	var n uint     // how many, fewer than 32 between symbols
	for i := range len(s) {
		c := s[i]
		l := uint(huffmanLengths[c])
		acc = acc<<l | uint64(t.codes[c])
		if n += l; n >= 32 {
			n -= 32
			out = binary.BigEndian.AppendUint32(out, uint32(acc>>n))
		}
	}
	for ; n >= 8; n -= 8 {
		out = append(out, byte(acc>>(n-8)))
	}
	if n > 0 {
		out = append(out, byte(acc<<(8-n))|0xff>>n)
	}
	return out
}
