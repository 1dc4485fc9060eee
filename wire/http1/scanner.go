package http1

import (
	"bytes"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// step is what a scanner reads next.
type step uint8

const (
	stepMethod step = iota
	stepTarget
	stepVersion
	stepStatus
	stepFields
)

// scanner is how far the reading of a head has come. It is given all bytes of
// the head each time and goes on where they ended, so that a head that drips
// in byte by byte costs no more than one that comes at once. What is wrong is
// found from left to right, so that the same bytes are refused for the same
// reason however they arrive.
type scanner struct {
	step   step
	minor  uint8
	status uint16
	at     uint32 // reading goes on here
	line   uint32 // start of the field line being read
	name   uint32 // end of its name; 0 while in the name
	method uint32 // end of the method
	target uint32 // end of the target
}

// bounds of a head; negative is none.
type bounds struct{ bytes, fields, uri int }

// window cuts b to the bound. full says that a head that is still incomplete
// there is too large.
func (l *bounds) window(b []byte) (w []byte, full bool) {
	if l.bytes >= 0 && len(b) >= l.bytes {
		return b[:l.bytes], true
	}
	return b, false
}

// request reads a request head at the start of b and appends its fields to h.
// n is its size, 0 while it is incomplete.
func (s *scanner) request(b []byte, h *wire.Head, l *bounds) (n int, why observe.Reason) {
	b, full := l.window(b)
	i := int(s.at)
	if s.step == stepMethod {
		for i < len(b) && wire.IsToken(b[i]) {
			i++
		}
		if i == len(b) {
			return s.wait(i, full)
		}
		if i == 0 || b[i] != ' ' {
			return 0, observe.BadRequestLine
		}
		s.method = uint32(i)
		s.step = stepTarget
		i++
	}
	if s.step == stepTarget {
		for i < len(b) && wire.TargetByte[b[i]] {
			i++
		}
		length := i - int(s.method) - 1
		if l.uri >= 0 && length > l.uri {
			return 0, observe.URITooLong
		}
		if i == len(b) {
			return s.wait(i, full)
		}
		switch {
		case b[i] == '\r', b[i] == '\n', b[i] == ' ' && length == 0:
			return 0, observe.BadRequestLine
		case b[i] != ' ':
			return 0, observe.BadTarget
		}
		s.target = uint32(i)
		s.step = stepVersion
		i++
	}
	if s.step == stepVersion {
		v := b[s.target+1:]
		if len(v) >= 10 && string(v[:10]) == "HTTP/1.1\r\n" {
			s.minor = 1
			i = int(s.target) + 11
		} else {
			e := bytes.IndexByte(b[i:], '\n')
			if e < 0 {
				return s.wait(len(b), full)
			}
			i += e + 1
			if why := s.version(b[s.target+1 : i]); why != 0 {
				return 0, why
			}
		}
		s.step = stepFields
		s.line = uint32(i)
	}
	return s.fields(b, i, full, h, l)
}

// version reads the rest of a request line, which ends in LF.
func (s *scanner) version(v []byte) observe.Reason {
	if string(v) == "HTTP/1.0\r\n" {
		s.minor = 0
		return 0
	}
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	if len(v) == 10 && string(v[:5]) == "HTTP/" && digit(v[5]) && v[6] == '.' && digit(v[7]) && string(v[8:]) == "\r\n" {
		return observe.BadVersion
	}
	if bytes.Contains(v, []byte(" HTTP/")) {
		return observe.BadTarget // a space in the target
	}
	return observe.BadRequestLine
}

// response reads a response head; see request.
func (s *scanner) response(b []byte, h *wire.Head, l *bounds) (n int, why observe.Reason) {
	b, full := l.window(b)
	i := int(s.at)
	if s.step != stepFields {
		s.step = stepStatus
		const version = "HTTP/1."
		if k := min(len(b), len(version)); string(b[:k]) != version[:k] {
			return 0, observe.UpstreamBadResponse
		}
		e := bytes.IndexByte(b[i:], '\n')
		if e < 0 {
			return s.wait(len(b), full)
		}
		i += e + 1
		if !s.statusLine(b[:i]) {
			return 0, observe.UpstreamBadResponse
		}
		s.step = stepFields
		s.line = uint32(i)
	}
	return s.fields(b, i, full, h, l)
}

// statusLine reads "HTTP/1.x NNN reason CRLF". The space before an empty
// reason is often left out, against RFC 9112 section 4, and without harm.
func (s *scanner) statusLine(b []byte) bool {
	if len(b) < 14 || b[7] != '0' && b[7] != '1' || b[8] != ' ' {
		return false
	}
	s.minor = b[7] - '0'
	s.status = 0
	for _, c := range b[9:12] {
		if c < '0' || '9' < c {
			return false
		}
		s.status = s.status*10 + uint16(c-'0')
	}
	return s.status >= 100 && (b[12] == ' ' || b[12] == '\r') && wire.ValueEnd(b, 12) == len(b)-2 && b[len(b)-2] == '\r'
}

// trailers reads a trailer section, which begins at the start of b.
func (s *scanner) trailers(b []byte, h *wire.Head, l *bounds) (n int, why observe.Reason) {
	b, full := l.window(b)
	return s.fields(b, int(s.at), full, h, l)
}

// wait keeps the place where reading goes on.
func (s *scanner) wait(i int, full bool) (int, observe.Reason) {
	s.at = uint32(i)
	if full {
		return 0, observe.HeadTooLarge
	}
	return 0, 0
}

// fields reads field lines up to and with the empty line. Line folding,
// blanks before the colon or the first field, and empty names are all bytes
// that no name has.
func (s *scanner) fields(b []byte, i int, full bool, h *wire.Head, l *bounds) (n int, why observe.Reason) {
	line, name := int(s.line), int(s.name)
	for {
		if name == 0 {
			for i < len(b) && wire.IsToken(b[i]) {
				i++
			}
			if i == len(b) {
				break
			}
			if b[i] != ':' || i == line {
				if b[i] != '\r' || i != line {
					return 0, observe.BadField
				}
				if i+1 == len(b) {
					break
				}
				if b[i+1] != '\n' {
					return 0, observe.BadField
				}
				return i + 2, 0
			}
			if l.fields >= 0 && len(h.Fields) >= l.fields {
				return 0, observe.TooManyFields
			}
			name = i
			i++
		}
		i = wire.ValueEnd(b, i)
		if i == len(b) {
			break
		}
		if b[i] != '\r' {
			return 0, observe.BadField
		}
		if i+1 == len(b) {
			break
		}
		if b[i+1] != '\n' {
			return 0, observe.BadField
		}
		from, to := name+1, i
		for from < to && (b[from] == ' ' || b[from] == '\t') {
			from++
		}
		for to > from && (b[to-1] == ' ' || b[to-1] == '\t') {
			to--
		}
		i += 2
		h.AppendLine(wire.LookupField(b[line:name]), uint32(line), uint32(name), uint32(from), uint32(to), uint32(i))
		line, name = i, 0
	}
	s.line, s.name = uint32(line), uint32(name)
	return s.wait(i, full)
}
