package load

import (
	"bytes"
	"errors"
	"strconv"
)

// message follows one HTTP/1.1 message after another on a connection, whatever
// pieces it comes in. It reads no more than both ends need: the first line,
// Content-Length, Transfer-Encoding and Connection.
type message struct {
	partial []byte // a head or chunk line that has not ended
	phase   phase
	left    int64 // bytes of the body or chunk to come

	first   []byte // the first line; valid until the next piece
	body    int64  // bytes of the body seen
	closing bool   // Connection: close
}

type phase uint8

const (
	inHead phase = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd // the line end after a chunk
	inTrailers
)

var (
	errHead  = errors.New("malformed head")
	errChunk = errors.New("malformed chunk")

	headEnd = []byte("\r\n\r\n")
	lineEnd = []byte("\r\n")
)

const longestHead = 64 << 10

// feed takes a piece and says how much of it belongs to the message, and
// whether the message ends with it.
func (m *message) feed(b []byte) (used int, done bool, err error) {
	for {
		rest := b[used:]
		switch m.phase {
		case inHead:
			head, n := m.until(rest, headEnd)
			used += n
			if head == nil {
				return used, false, m.tooLong()
			}
			m.body = 0
			if err := m.head(head); err != nil {
				return used, false, err
			}
			if m.phase == inHead {
				return used, true, nil
			}
		case inBody, inChunk:
			n := min(int64(len(rest)), m.left)
			used += int(n)
			m.left -= n
			m.body += n
			switch {
			case m.left > 0:
				return used, false, nil
			case m.phase == inBody:
				m.phase = inHead
				return used, true, nil
			}
			m.phase = inChunkEnd
		case inChunkEnd, inChunkSize, inTrailers:
			line, n := m.until(rest, lineEnd)
			used += n
			if line == nil {
				return used, false, m.tooLong()
			}
			if done, err := m.line(line); done || err != nil {
				return used, done, err
			}
		}
	}
}

// line takes a line of the chunked coding, its end included.
func (m *message) line(line []byte) (done bool, err error) {
	line = line[:len(line)-len(lineEnd)]
	switch {
	case m.phase == inTrailers && len(line) == 0:
		m.phase = inHead
		return true, nil
	case m.phase == inTrailers:
	case m.phase == inChunkEnd:
		if len(line) != 0 {
			return false, errChunk
		}
		m.phase = inChunkSize
	default:
		size, _, _ := bytes.Cut(line, []byte(";"))
		if m.left, err = strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64); err != nil || m.left < 0 {
			return false, errChunk
		}
		m.phase = inChunk
		if m.left == 0 {
			m.phase = inTrailers
		}
	}
	return false, nil
}

// until gives what lies before the end of sep, from earlier pieces too, and
// how many bytes of b it used; nil when sep has not come yet.
func (m *message) until(b, sep []byte) ([]byte, int) {
	if len(m.partial) == 0 {
		if i := bytes.Index(b, sep); i >= 0 {
			return b[:i+len(sep)], i + len(sep)
		}
		m.partial = append(m.partial, b...)
		return nil, len(b)
	}
	was := len(m.partial)
	m.partial = append(m.partial, b...)
	i := bytes.Index(m.partial[max(0, was-len(sep)+1):], sep)
	if i < 0 {
		return nil, len(b)
	}
	end := max(0, was-len(sep)+1) + i + len(sep)
	all := m.partial[:end]
	m.partial = m.partial[:0]
	return all, end - was
}

func (m *message) tooLong() error {
	if len(m.partial) > longestHead {
		return errHead
	}
	return nil
}

// head reads a head and decides how the body is delimited.
func (m *message) head(h []byte) error {
	i := bytes.Index(h, lineEnd)
	m.first, m.closing, m.left = h[:i], false, 0
	chunked := false
	for h = h[i+2:]; len(h) > 2; {
		i := bytes.Index(h, lineEnd)
		line := h[:i]
		h = h[i+2:]
		switch {
		case field(line, "content-length"):
			n, err := strconv.ParseInt(string(bytes.TrimSpace(line[15:])), 10, 64)
			if err != nil || n < 0 {
				return errHead
			}
			m.left = n
		case field(line, "transfer-encoding"):
			chunked = true
		case field(line, "connection"):
			m.closing = bytes.EqualFold(bytes.TrimSpace(line[11:]), []byte("close"))
		}
	}
	switch {
	case chunked:
		m.phase = inChunkSize
	case m.left > 0:
		m.phase = inBody
	}
	return nil
}

// field says whether a line is the field name, which is lower case.
func field(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && line[0]|0x20 == name[0] &&
		bytes.EqualFold(line[:len(name)], []byte(name))
}
