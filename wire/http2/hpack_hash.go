package http2

// text is what the encoder takes.
type text interface{ []byte | string }

// Odd numbers without a pattern, to mix with.
const (
	mix1 = 0x9e3779b97f4a7c15
	mix2 = 0xd6e8feb86659fd93
	mix3 = 0xc2b2ae3d27d4eb4f
	mix4 = 0xa0761d6478bd642f
)

// hashName hashes a name without regard to ASCII case: its length, its first
// and its last eight octets, which tell the names that there are apart. What a
// hash finds is compared.
func hashName[T text](s T) uint32 {
	const bit5 = 0x2020202020202020 // sets letters, and some others, in lower case
	n := len(s)
	if n < 8 {
		return uint32(((loadFew(s)|bit5)*mix1 + uint64(n)*mix2) >> 32)
	}
	return uint32(((load8(s, 0)|bit5)*mix1 + ((load8(s, n-8)|bit5)^uint64(n))*mix2) >> 32)
}

// hashPair continues h, the hash of a name, in the same way with a value.
func hashPair[T text](h uint32, s T) uint32 {
	n := len(s)
	var x uint64
	if n < 8 {
		x = loadFew(s)*mix3 + uint64(n)*mix4
	} else {
		x = load8(s, 0)*mix3 + (load8(s, n-8)^uint64(n))*mix4
	}
	return h ^ uint32(x>>32)
}

// hashAll continues h, the hash of a name, with all of a value.
func hashAll[T text](h uint32, s T) uint32 {
	n := len(s)
	x := uint64(h) ^ uint64(n)*mix4
	if n < 8 {
		x = (x ^ loadFew(s)) * mix1
		x ^= x >> 29
		return uint32(x * mix2 >> 32)
	}
	for i := 0; i < n-8; i += 8 {
		x = (x ^ load8(s, i)) * mix1
		x ^= x >> 29
	}
	x = (x ^ load8(s, n-8)) * mix2
	return uint32(x >> 32)
}

// load8 takes eight octets from i on, the first lowest.
func load8[T text](s T, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

// loadFew takes all of s, which is shorter than eight octets; with its length
// it is unique.
func loadFew[T text](s T) uint64 {
	n := len(s)
	if n >= 4 {
		return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[n-4])<<32 | uint64(s[n-3])<<40 | uint64(s[n-2])<<48 | uint64(s[n-1])<<56
	}
	if n == 0 {
		return 0
	}
	return uint64(s[0]) | uint64(s[n>>1])<<8 | uint64(s[n-1])<<16
}

// lower8 puts the ASCII letters among eight octets in lower case.
func lower8(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	low := x &^ tops
	upper := (low + ones*(0x80-'A')) &^ (low + ones*(0x7f-'Z')) &^ x & tops
	return x | upper>>2
}

// copyLower copies s to the front of out with ASCII letters in lower case,
// which RFC 9113 section 8.2.1 demands of names.
func copyLower[T text](out []byte, s T) {
	out = out[:len(s)]
	copy(out, s)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
}

// equalLower compares low, which is in lower case, with s in lower case.
func equalLower[T text](low []byte, s T) bool {
	n := len(s)
	if len(low) != n {
		return false
	}
	if n < 8 {
		x, y := loadFew(low), loadFew(s)
		return x == y || x == lower8(y)
	}
	// Eight octets together, the last eight again.
	for i := 0; i < n-8; i += 8 {
		if x, y := load8(low, i), load8(s, i); x != y && x != lower8(y) {
			return false
		}
	}
	x, y := load8(low, n-8), load8(s, n-8)
	return x == y || x == lower8(y)
}

// equal compares without a copy.
func equal[T text](a []byte, b T) bool { return string(a) == string(b) }
