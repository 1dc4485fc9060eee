package authz

import "bytes"

// A path has one spelling when it comes to a rule, but services do not all read
// that in one way: many decode %2F to a slash before they look at it, some take
// "\" for one, and some cut parameters (";v=1", RFC 3986, section 3.3) off. So
// a path that has any of these is compared as it is and as they read it, and the
// stricter counts.

// reading gives what services that read most into a path make of it: without
// parameters, decoded, with single slashes and without dot segments. nil is the
// path itself.
func reading(path []byte) []byte {
	if bytes.IndexByte(path, '%') < 0 && bytes.IndexByte(path, ';') < 0 && bytes.IndexByte(path, '\\') < 0 {
		return nil
	}
	return read(path)
}

// read is the part of reading that allocates.
func read(path []byte) []byte {
	plain, skip := make([]byte, 0, len(path)), false
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '/' || c == ';' {
			skip = c == ';'
		}
		if skip {
			continue
		}
		if c == '%' && i+2 < len(path) {
			if hi, lo := hex(path[i+1]), hex(path[i+2]); hi|lo < 16 {
				c, i = hi<<4|lo, i+2
			}
		}
		if c == '\\' {
			c = '/'
		}
		plain = append(plain, c)
	}
	out := plain[:0] // never ahead of what is read
	for rest := plain; len(rest) > 0; {
		seg, after, more := bytes.Cut(rest, []byte("/"))
		switch rest = after; {
		case len(out) == 0 && len(seg) == 0 && more:
			out = append(out, '/')
			continue
		case len(seg) == 0, string(seg) == ".":
			continue
		case string(seg) == "..":
			if n := len(bytes.TrimSuffix(out, []byte("/"))); n > 0 {
				out = out[:bytes.LastIndexByte(out[:n], '/')+1]
			}
			continue
		}
		if out = append(out, seg...); more {
			out = append(out, '/')
		}
	}
	return out
}

// hex gives what a digit is, 255 where it is none.
func hex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// turn changes to the other reading of the path, and back.
func (in *input) turn() { in.path, in.other, in.turned = in.other, in.path, !in.turned }
