package http2

import "encoding/binary"

// text is what the encoder takes.
type text interface{ []byte | string }

// longestName is the length of the longest names that the encoder looks up, in
// octets; longer ones are sent as they are.
const longestName = 64

// foldedName is room for a name in lower case, which RFC 9113 section 8.2.1
// demands. Behind the name are zeros.
type foldedName [longestName]byte

// Odd numbers without a pattern, to mix with.
const mix1, mix2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93

// foldName puts s in lower case into low, which is empty, and gives a hash of
// it. s is at most longestName octets.
func foldName[T text](low *foldedName, s T) uint32 {
	n := len(s)
	if n >= 8 {
		for i := 0; i < n-8; i += 8 {
			binary.LittleEndian.PutUint64(low[i:], lower8(load8(s, i)))
		}
		// The last eight again: no loop for what is left over.
		binary.LittleEndian.PutUint64(low[n-8:], lower8(load8(s, n-8)))
	} else {
		binary.LittleEndian.PutUint64(low[:], lower8(loadFew(s)))
	}
	h := uint64(n)
	for i := 0; i < n; i += 8 {
		h = (h ^ binary.LittleEndian.Uint64(low[i:])) * mix1
		h ^= h >> 32
	}
	return uint32(h)
}

// hashValue continues h, the hash of a name, with a value.
func hashValue[T text](h uint32, s T) uint32 {
	x := uint64(h) ^ uint64(len(s))*mix2
	n := len(s)
	if n < 8 {
		x = (x ^ loadFew(s)) * mix1
		x ^= x >> 29
		return uint32(x * mix2 >> 32)
	}
	// Two lanes, so that a multiplication need not wait for the one before.
	y := x ^ mix1
	i := 0
	for ; i < n-16; i += 16 {
		x = (x ^ load8(s, i)) * mix1
		x ^= x >> 29
		y = (y ^ load8(s, i+8)) * mix2
		y ^= y >> 31
	}
	if n-i > 8 {
		x = (x ^ load8(s, i)) * mix1
		x ^= x >> 29
	}
	y = (y ^ load8(s, n-8)) * mix2
	y ^= y >> 31
	x = (x ^ y) * mix1
	return uint32(x >> 32)
}

// load8 takes eight octets from i on, the first lowest.
func load8[T text](s T, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

// loadFew takes all of s, which is shorter than eight octets, the first
// lowest.
func loadFew[T text](s T) (x uint64) {
	for i := len(s) - 1; i >= 0; i-- {
		x = x<<8 | uint64(s[i])
	}
	return x
}

// lower8 puts the ASCII letters among eight octets in lower case.
func lower8(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	low := x &^ tops
	upper := (low + ones*(0x80-'A')) &^ (low + ones*(0x7f-'Z')) &^ x & tops
	return x | upper>>2
}

// equal compares without a copy.
func equal[T text](a []byte, b T) bool { return string(a) == string(b) }
