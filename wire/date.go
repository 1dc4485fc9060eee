package wire

import "time"

// DateLine is the Date field of this second (RFC 9110 section 6.6.1), for one
// loop. The zero one is ready.
type DateLine struct {
	line []byte        // "Date: ...\r\n"
	end  time.Duration // Loop.Now when it is not right any more
}

const beforeDate = len("Date: ")

// Line gives the field line as HTTP/1 has it; lent until the next call.
func (d *DateLine) Line(l Loop) []byte {
	if now := l.Now(); now >= d.end || d.line == nil {
		wall := l.Wall()
		d.end = now + time.Second - time.Duration(wall.Nanosecond())
		d.line = append(d.line[:0], "Date: "...)
		d.line = wall.UTC().AppendFormat(d.line, "Mon, 02 Jan 2006 15:04:05 GMT")
		d.line = append(d.line, "\r\n"...)
	}
	return d.line
}

// Value gives the value alone.
func (d *DateLine) Value(l Loop) []byte {
	line := d.Line(l)
	return line[beforeDate : len(line)-2]
}
