package export

import "unicode/utf8"

const hex = "0123456789abcdef"

// appendEscaped appends s as the Prometheus text format wants it: backslash
// and line feed escaped, quotes too in label values. What is not UTF-8 becomes
// the replacement character, for one bad byte would spoil the whole page.
func appendEscaped(b []byte, s string, quotes bool) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\':
			b = append(b, `\\`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '"' && quotes:
			b = append(b, `\"`...)
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
	}
	return b
}

// text is what clients send (bytes) and what is configured (strings).
type text interface{ ~string | ~[]byte }

// longest is how many bytes of one field a log line holds: longer ones are cut,
// so that a client cannot push other lines out.
const longest = 8 << 10

// appendJSON appends s as a JSON string (RFC 8259 §7), whatever its bytes are:
// what is not UTF-8 becomes the replacement character.
func appendJSON[T text](b []byte, s T) []byte {
	b = append(b, '"')
	end, cut := len(s), len(s) > longest
	if cut {
		end = longest
	}
	from := 0 // not yet copied
	for i := 0; i < end; {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := decode(s, i)
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			b = append(append(b, s[from:i]...), `\ufffd`...)
		} else {
			b = append(b, s[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i++
		from = i
	}
	// A rune that the cut goes through is copied whole or not at all.
	if from < end {
		for cut && end > from && s[end-1] >= utf8.RuneSelf {
			end--
		}
		b = append(b, s[from:end]...)
	}
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

// decode reads the rune at s[i]; it looks at four bytes at most, so that bytes
// need not become a string.
func decode[T text](s T, i int) (rune, int) {
	var four [utf8.UTFMax]byte
	n := copy(four[:], s[i:])
	return utf8.DecodeRune(four[:n])
}

// appendText appends s for a line of text: quotes, backslashes and control
// characters as \xHH, so that no client can forge a line or end a quoted field.
// Other bytes are copied as they are, as other servers do.
func appendText[T text](b []byte, s T) []byte {
	end := min(len(s), longest)
	from := 0
	for i := 0; i < end; i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			b = append(append(b, s[from:i]...), '\\', 'x', hex[c>>4], hex[c&15])
			from = i + 1
		}
	}
	b = append(b, s[from:end]...)
	if end < len(s) {
		b = append(b, "..."...)
	}
	return b
}

// appendWord appends s as one word: as it is where it is plain, quoted where
// it is not, and - where it is empty.
func appendWord[T text](b []byte, s T) []byte {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] > ' ' && s[i] != '"' && s[i] != '\\' && s[i] < 0x7f
	}
	switch {
	case len(s) == 0:
		return append(b, '-')
	case plain:
		return appendText(b, s)
	}
	return append(appendText(append(b, '"'), s), '"')
}
