package dialect

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// plain reads a plain scalar on this line, up to the colon that makes it a
// key, a comment or the end of the line. What follows is the caller's.
func (f *plainReader) plain() (*yaml.Node, bool) {
	begin := f.pos
	switch c := f.text[begin]; c {
	case '&', '!':
		return nil, false
	case '*':
		return nil, f.suspect(begin, "alphabetic", "a name must follow *", "text that begins with * must be in quotes")
	case '?', ':', ',', ']', '}', '#', '|', '>', '\t':
		return nil, false
	case '%', '@', '`':
		return nil, f.suspect(begin, "", "no value can begin with "+string(c), "put the value in quotes")
	case '-':
		if f.blankAt(begin + 1) {
			return nil, false
		}
	}
	end := begin
	i := begin
scan:
	for ; i < len(f.text); i++ {
		switch f.text[i] {
		case '\n':
			break scan
		case '\t':
			return nil, false
		case ' ':
			continue
		case '#':
			if f.text[i-1] == ' ' { // i > begin: no scalar begins with #
				break scan
			}
		case ':':
			if f.blankAt(i + 1) {
				if i != end {
					return nil, false // a space before the colon
				}
				break scan
			}
		}
		end = i + 1
	}
	f.pos = end
	return f.scalar(begin, f.text[begin:end]), true
}

// scalar makes the node of a plain scalar that began on this line.
func (f *plainReader) scalar(begin int, value string) *yaml.Node {
	n := f.node(yaml.ScalarNode, plainTag(value), value)
	n.Line, n.Column = f.place(begin)
	return n
}

// plainTag says what type a plain scalar has, as the library would.
func plainTag(s string) string {
	if s == "" {
		return "!!null"
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9':
		digits, dots, other := 0, 0, 0
		for i := range len(s) {
			switch {
			case s[i] >= '0' && s[i] <= '9':
				digits++
			case s[i] == '.':
				dots++
			default:
				other++
			}
		}
		switch {
		case other == 0 && dots == 0 && digits < 19 && (c != '0' || digits == 1):
			return "!!int"
		case dots >= 2 && strings.IndexByte(s, '-') < 0: // an address, no date
			return "!!str"
		}
		if last := s[len(s)-1]; digits < 4 && len(s) < 12 && (last == 's' || last == 'm') {
			return "!!str" // a duration
		}
	case c == '-' || c == '+' || c == '.' || c == '<':
	case strings.IndexByte("yYnNtTfFoO~", c) >= 0:
		if len(s) > 5 {
			return "!!str"
		}
	default:
		return "!!str"
	}
	n := yaml.Node{Kind: yaml.ScalarNode, Value: s}
	return n.ShortTag()
}

// quoted reads a scalar in quotes that ends on this line.
func (f *plainReader) quoted() (*yaml.Node, bool) {
	begin := f.pos
	quote := f.text[begin]
	rest := f.text[begin+1:]
	if i := strings.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	value, used, ok := "", 0, false
	style := yaml.SingleQuotedStyle
	if quote == '"' {
		style = yaml.DoubleQuotedStyle
		value, used, ok = f.unescape(begin+1, rest)
	} else {
		value, used, ok = singleQuoted(rest)
	}
	if !ok {
		if f.doubt == nil {
			f.suspect(begin, "end of stream", "a quote is opened and not closed", "close it")
		}
		return nil, false
	}
	f.pos = begin + 1 + used
	n := f.node(yaml.ScalarNode, "!!str", value)
	n.Style = style
	n.Line, n.Column = f.place(begin)
	return n, true
}

// singleQuoted gives the text up to the closing quote; two quotes are one.
func singleQuoted(s string) (value string, used int, ok bool) {
	doubled := false
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			doubled = true
			i++
			continue
		}
		value = s[:i]
		if doubled {
			value = strings.ReplaceAll(value, "''", "'")
		}
		return value, i + 1, true
	}
	return "", 0, false
}

// unescape gives the text up to the closing double quote. pos is where s
// stands. Rare escapes are left to the library.
func (f *plainReader) unescape(pos int, s string) (value string, used int, ok bool) {
	end := strings.IndexAny(s, `"\`)
	if end < 0 {
		return "", 0, false
	}
	if s[end] == '"' {
		return s[:end], end + 1, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1, true
		case '\\':
			if i++; i == len(s) {
				return "", 0, false
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case '"', '\\', '/':
				b.WriteByte(s[i])
			case 'u':
				r, good := hexRune(s[i+1:])
				if !good {
					return "", 0, false
				}
				b.WriteRune(r)
				i += 4
			default:
				return "", 0, f.suspect(pos+i-1, "", `\`+s[i:i+1]+" is no escape", "write \\\\ for a backslash, or use single quotes: they know no escapes")
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, false
}

// hexRune reads the four digits of \u. Halves of surrogate pairs are not
// characters.
func hexRune(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, utf8.ValidRune(r)
}

// literal reads a block that begins with |, |- or |+, all of whose lines are
// indented at least as far as the first.
func (f *plainReader) literal(parent int) (*yaml.Node, bool) {
	n := f.node(yaml.ScalarNode, "!!str", "")
	n.Style = yaml.LiteralStyle
	n.Line, n.Column = f.place(f.pos)
	f.pos++
	chomp := byte(0)
	if f.pos < len(f.text) && (f.text[f.pos] == '-' || f.text[f.pos] == '+') {
		chomp = f.text[f.pos]
		f.pos++
	}
	if f.spaces(); f.pos == len(f.text) || f.text[f.pos] != '\n' {
		return nil, false
	}
	f.newLine()
	var b strings.Builder
	indent, blank := -1, 0 // blank lines wait until text follows
	for f.pos < len(f.text) {
		f.spaces()
		if f.pos < len(f.text) && f.text[f.pos] == '\t' {
			return nil, false
		}
		col := f.pos - f.start
		if f.atBreak() {
			// Spaces beyond the indentation are text.
			if indent >= 0 && col > indent || indent < 0 && col > parent+1 || f.pos == len(f.text) {
				if f.pos == len(f.text) && col == 0 {
					break
				}
				return nil, false
			}
			blank++
			f.newLine()
			continue
		}
		if indent < 0 {
			if col <= parent || col == 0 {
				break
			}
			indent = col
		}
		if col < indent {
			break
		}
		for ; blank > 0; blank-- {
			b.WriteByte('\n')
		}
		end := strings.IndexByte(f.text[f.pos:], '\n')
		if end < 0 {
			return nil, false // no line break at the end of the text
		}
		b.WriteString(f.text[f.start+indent : f.pos+end])
		b.WriteByte('\n')
		f.pos += end
		f.newLine()
	}
	if indent < 0 {
		return nil, false // empty
	}
	n.Value = b.String()
	switch chomp {
	case '-':
		n.Value = n.Value[:len(n.Value)-1]
	case '+':
		n.Value += strings.Repeat("\n", blank)
	}
	f.pos = f.start
	if !f.indentation() {
		return nil, false
	}
	if f.col > parent {
		return nil, f.tooFar()
	}
	return n, true
}
