package ring

import (
	"encoding/binary"
	"math/bits"
)

// Sum hashes b, eight bytes at a time: each word is folded in by the two halves
// of a product of 128 bits, as in wyhash. It is the same on every machine and in
// every process, which is what proxies agree by; a hash of the standard library
// is another in each. It is no secret: who chooses keys can choose ones that
// belong together.
func Sum(b []byte) uint64 {
	h := uint64(len(b))*0x9E3779B97F4A7C15 ^ 0xA0761D6478BD642F
	for len(b) >= 8 {
		h = fold(h ^ binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	if len(b) > 0 {
		w := uint64(0)
		for i, c := range b {
			w |= uint64(c) << (8 * i)
		}
		h = fold(h ^ w)
	}
	return Mix(h)
}

// fold multiplies z and takes both halves of the product. What is 0 stays so:
// the constant keeps that to one word in 2^64.
func fold(z uint64) uint64 {
	hi, lo := bits.Mul64(z, 0xE7037ED1A0B428DB)
	return (hi ^ lo) + 0x8EBC6AF09C88C6E3
}

// Mix spreads what differs in some bits over all of them (splitmix64).
func Mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Member is one of those that hashes belong to.
type Member struct {
	// Key is Sum of what the member is known by, such as its address. Of two
	// members with one key the first is as if it were alone.
	Key uint64
	// Weight is its share, relative to the others; 0 counts as 1.
	Weight uint32
}
