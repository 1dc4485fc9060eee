package http1

import (
	"encoding/binary"
	"math/bits"

	"github.com/naru-mesh/naru/wire"
)

const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// valueEnd gives the index of the first byte of b from i on that must not
// stand in a field value, a control character other than tab, or len(b). One
// pass finds both the end of the line and what is wrong with it. Eight bytes
// are looked at together: the lowest marked byte is exact, the marks above it
// may be false because of borrows.
func valueEnd(b []byte, i int) int {
	for {
		for len(b)-i >= 8 {
			v := binary.LittleEndian.Uint64(b[i:])
			del := v ^ ones*0x7f
			if hit := ((v-ones*0x20)&^v | (del-ones)&^del) & high; hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && (b[i] >= 0x20 && b[i] != 0x7f) {
			i++
		}
		if i == len(b) || b[i] != '\t' {
			return i
		}
		i++
	}
}

// targetByte says which bytes may stand in a request target: what RFC 3986
// allows and what browsers send raw besides (quotation marks, angle brackets,
// circumflex, grave accent, braces, bar, and backslash, which only a query
// may hold). Not '#': a fragment is not sent (RFC 9112 section 3.2).
var targetByte = func() (t [256]bool) {
	for c := 0x21; c < 0x7f; c++ {
		t[c] = c != '#'
	}
	return t
}()

// hostByte says which bytes may stand in a host name. RFC 3986 allows
// sub-delims and percent encoding too, which no host has and which proxies and
// servers compare in different ways.
var hostByte = func() (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	for _, c := range "-._~" {
		t[c] = true
	}
	return t
}()

// hexValue gives the value of a hexadecimal digit, or 0xff.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}

// equalNames compares two field names without regard to ASCII case.
func equalNames(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if wire.ToLower(a[i]) != wire.ToLower(b[i]) {
			return false
		}
	}
	return true
}

// element cuts the first element off a comma-separated list, without
// surrounding blanks (RFC 9110 section 5.6.1). It may be empty.
func element(list []byte) (first, rest []byte) {
	i := 0
	for i < len(list) && list[i] != ',' {
		i++
	}
	first = list[:i]
	if i < len(list) {
		rest = list[i+1:]
	}
	for len(first) > 0 && (first[0] == ' ' || first[0] == '\t') {
		first = first[1:]
	}
	for n := len(first); n > 0 && (first[n-1] == ' ' || first[n-1] == '\t'); n = len(first) {
		first = first[:n-1]
	}
	return first, rest
}
