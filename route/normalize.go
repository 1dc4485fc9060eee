package route

import "bytes"

// What a byte of a path means to Normalize.
const (
	plain    = iota // stands for itself
	slash           // separates segments
	encoded         // "%": an encoded byte
	foreign         // beyond ASCII: is encoded
	unlawful        // must not stand in a path
)

var pathClass = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c <= ' ' || c == 0x7f || c == '\\' || c == '#' || c == '?':
			t[c] = unlawful
		case c >= 0x80:
			t[c] = foreign
		}
	}
	t['/'] = slash
	t['%'] = encoded
	return t
}()

// Normalize gives the path as it is matched and forwarded, so that a path has
// one spelling and no other spelling of it slips past a rule (RFC 3986 section
// 6.2.2):
//
//   - an encoded unreserved character is decoded, other encodings get upper-case
//     digits; "%2F" stays, and is never a separator; bytes beyond ASCII are
//     encoded;
//   - "." and ".." segments are removed (RFC 3986 section 5.2.4), also when they
//     came encoded;
//   - repeated slashes become one: most servers read //admin as /admin, and what
//     guards /admin must see it too.
//
// ok is false, which deserves a 400, for a path that climbs above the root, has
// a broken encoding, an encoded NUL, or a backslash (some servers take it for a
// slash, and browsers never send it), a control character, space, "?" or "#",
// and for segments that servers are known to read as dot segments after us: a
// dot segment with parameters ("..;x") or next to an encoded slash or backslash
// ("..%2F").
//
// A path that is normal already is given as it is, without a copy. Otherwise
// out is in tmp, grown where it is too small; three times len(path) always
// suffices. path and tmp must not overlap. "*" is normal; "" becomes "/".
func Normalize(path, tmp []byte) (out []byte, ok bool) {
	if len(path) == 0 {
		return append(tmp[:0], '/'), true
	}
	if path[0] != '/' {
		return path, len(path) == 1 && path[0] == '*'
	}
	for i, c := range path {
		switch pathClass[c] {
		case plain:
		case slash:
			if i+1 < len(path) && suspicious(path[i+1:]) {
				return rewrite(path, tmp[:0])
			}
		case unlawful:
			return nil, false
		default:
			return rewrite(path, tmp[:0])
		}
	}
	return path, true
}

// suspicious says whether what follows a slash needs the slow way: another
// slash, or a segment that could be a dot segment.
func suspicious(s []byte) bool {
	if s[0] == '/' {
		return true
	}
	if s[0] != '.' {
		return false
	}
	if len(s) > 1 && s[1] == '.' {
		s = s[1:]
	}
	return len(s) == 1 || s[1] == '/' || s[1] == ';'
}

// rewrite normalizes path onto out, which is empty.
func rewrite(path, out []byte) ([]byte, bool) {
	for i := 0; i < len(path); {
		// path[i] is a slash; out ends in one, or is empty.
		for i < len(path) && path[i] == '/' {
			i++
		}
		if len(out) == 0 {
			out = append(out, '/')
		}
		from := len(out)
		for ; i < len(path) && path[i] != '/'; i++ {
			c := path[i]
			switch pathClass[c] {
			case unlawful:
				return nil, false
			case foreign:
				out = append(out, '%', hexDigits[c>>4], hexDigits[c&15])
			case encoded:
				if i+2 >= len(path) {
					return nil, false
				}
				hi, lo := unhex(path[i+1]), unhex(path[i+2])
				if hi < 0 || lo < 0 || hi|lo == 0 {
					return nil, false
				}
				i += 2
				if d := byte(hi<<4 | lo); unreserved(d) {
					out = append(out, d)
				} else {
					out = append(out, '%', hexDigits[hi], hexDigits[lo])
				}
			default:
				out = append(out, c)
			}
		}
		switch segment := out[from:]; dots(segment) {
		case notDots:
			if i < len(path) {
				out = append(out, '/')
			}
		case oneDot:
			out = out[:from]
		case twoDots:
			if from == 1 {
				return nil, false
			}
			from -= 2 // before the slash in front of the segment
			for out[from] != '/' {
				from--
			}
			out = out[:from+1]
		case disguised:
			return nil, false
		}
	}
	return out, true
}

const (
	notDots = iota
	oneDot
	twoDots
	disguised // a server may take it for, or find in it, a dot segment
)

// dots says what kind of dot segment s is; s has been decoded.
func dots(s []byte) int {
	switch string(s) {
	case ".":
		return oneDot
	case "..":
		return twoDots
	}
	// Pieces between encoded slashes and backslashes, and what stands in front
	// of parameters, are judged as if they were segments.
	for from := 0; from <= len(s); {
		to, skip := len(s), 1
		for j := from; j < len(s); j++ {
			if s[j] == '%' && (string(s[j:j+3]) == "%2F" || string(s[j:j+3]) == "%5C") {
				to, skip = j, 3
				break
			}
		}
		piece := s[from:to]
		n := 0
		for n < len(piece) && piece[n] == '.' {
			n++
		}
		if n == 1 || n == 2 {
			after := piece[n:]
			if len(after) == 0 || after[0] == ';' || bytes.HasPrefix(after, []byte("%3B")) {
				return disguised
			}
		}
		from = to + skip
	}
	return notDots
}

const hexDigits = "0123456789ABCDEF"

// unhex gives the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unreserved is RFC 3986 section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}
