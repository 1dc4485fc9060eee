package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// What every version of HTTP has in common in its grammar: a message that one
// codec lets in is written by another, so there is one rule for both.

const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// ValueEnd gives the index of the first byte of b from i on that must not
// stand in a field value, a control character other than tab, or len(b). One
// pass finds both the end of the line and what is wrong with it. Eight bytes
// are looked at together: the lowest marked byte is exact, the marks above it
// may be false because of borrows.
func ValueEnd(b []byte, i int) int {
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

// TargetByte says which bytes may stand in a request target: what RFC 3986
// allows and what browsers send raw besides (quotation marks, angle brackets,
// circumflex, grave accent, braces, bar, and backslash, which only a query
// may hold). Not '#': a fragment is not sent (RFC 9112 section 3.2).
var TargetByte = func() (t [256]bool) {
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

// HexValue gives the value of a hexadecimal digit, or 0xff.
func HexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}

// Element cuts the first Element off a comma-separated list, without
// surrounding blanks (RFC 9110 section 5.6.1). It may be empty.
func Element(list []byte) (first, rest []byte) {
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

// ValidPath refuses what is decoded in different ways: a percent sign without
// two hexadecimal digits, an encoded NUL (where C programs end the path), and
// a backslash (a slash to some). In a query nobody decides by these, and
// browsers send them, so there they pass.
func ValidPath(p []byte) bool {
	if bytes.IndexByte(p, '\\') >= 0 {
		return false
	}
	for i := bytes.IndexByte(p, '%'); i >= 0; {
		if len(p)-i < 3 || HexValue(p[i+1]) > 15 || HexValue(p[i+2]) > 15 || p[i+1] == '0' && p[i+2] == '0' {
			return false
		}
		p = p[i+3:]
		i = bytes.IndexByte(p, '%')
	}
	return true
}

// ValidAuthority says whether a is a host name or an IP address, with an
// optional port. User information is refused (RFC 9110 section 4.2.4), and so
// is an empty host (section 4.2.1).
func ValidAuthority(a []byte) bool {
	i := 0
	if len(a) > 0 && a[0] == '[' {
		i = bytes.IndexByte(a, ']') + 1
		if i == 0 || !validIPv6(a[1:i-1]) {
			return false
		}
	} else {
		for i < len(a) && hostByte[a[i]] {
			i++
		}
		if i == 0 {
			return false
		}
	}
	if i == len(a) {
		return true
	}
	port := a[i+1:]
	if a[i] != ':' || len(port) > 5 {
		return false
	}
	n := 0
	for _, c := range port {
		if c < '0' || '9' < c {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

// validIPv6 checks the shape only: groups of hexadecimal digits and an
// optional IPv4 tail. The address decides nothing; it is compared as text.
func validIPv6(a []byte) bool {
	colons, digits := 0, 0
	for _, c := range a {
		switch {
		case c == ':':
			colons++
			digits = 0
		case c == '.':
			digits = 0
		case HexValue(c) <= 15:
			digits++
			if digits > 4 {
				return false
			}
		default:
			return false
		}
	}
	return colons >= 2 && colons <= 7 && len(a) <= 45
}

// Decimal reads 1*DIGIT, at most 18 of them.
func Decimal(v []byte) (n int64, ok bool) {
	if len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || '9' < c {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// Tunnels says whether an Upgrade value may be asked of the service. Not the
// protocols that carry HTTP or TLS again: inside a tunnel they would pass
// every rule unseen (h2c is how requests are smuggled through an upgrade).
func Tunnels(v []byte) bool {
	some := false
	for len(v) > 0 {
		var p []byte
		p, v = Element(v)
		name := p
		for i, c := range p {
			if c == '/' {
				name = p[:i]
				break
			}
			if !IsToken(c) {
				return false
			}
		}
		if EqualFold(name, "h2c") || EqualFold(name, "h2") || EqualFold(name, "http") || EqualFold(name, "tls") {
			return false
		}
		some = some || len(name) > 0
	}
	return some
}
