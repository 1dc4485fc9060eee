package http1

import "github.com/naru-mesh/naru/wire"

// framingKind is how the end of a body is known.
type framingKind uint8

const (
	byNothing framingKind = iota // there is no body
	byLength
	byChunks
	byClose
)

// chunkStep is where in the chunked coding a body stands (RFC 9112 section 7.1).
type chunkStep uint8

const (
	chunkStart     chunkStep = iota // before the first digit of a size
	chunkSize                       // among the digits
	chunkExtension                  // after ';'
	chunkSizeLF                     // after the CR of a size line
	chunkData
	chunkDataCR
	chunkDataLF
	chunkLast   // after the last chunk's line: an end or trailer fields
	chunkLastLF // after the CR of the end
	chunkFields // among trailer fields, which a scanner reads
)

const (
	// maxExtension bounds the bytes of chunk extensions by which a body may
	// exceed its data so far: nobody uses them, but for sending much of nothing.
	maxExtension = 1 << 10
	maxDigits    = 15 // of a chunk size: below 2^60
)

// body undoes the framing of one message's body. It keeps no bytes.
type body struct {
	left   int64  // of the length, or of the chunk
	ext    uint16 // bytes of chunk extensions beyond those of data
	digits uint8
	kind   framingKind
	step   chunkStep
}

// least is how many bytes are still missing at least.
func (d *body) least() int64 {
	switch {
	case d.kind == byLength:
		return d.left
	case d.step == chunkData:
		return d.left + int64(len("\r\n0\r\n\r\n"))
	}
	return 1
}

// event is what a body came to.
type event uint8

const (
	more     event = iota // all input is used, the body goes on
	done                  // the body is complete
	trailers              // trailer fields follow
	broken                // not the chunked coding
	partial               // there is more in the input
)

// next undoes the framing of b up to the end of one piece of the body. n is
// how many bytes of b it used.
func (d *body) next(b []byte) (piece []byte, n int, e event) {
	switch d.kind {
	case byLength:
		if int64(len(b)) >= d.left {
			n = int(d.left)
			d.left = 0
			return b[:n], n, done
		}
		d.left -= int64(len(b))
		return b, len(b), more
	case byChunks:
		return d.chunk(b)
	case byClose:
		return b, len(b), more
	}
	return nil, 0, done
}

func (d *body) chunk(b []byte) (piece []byte, i int, e event) {
	for i < len(b) {
		c := b[i]
		switch d.step {
		case chunkStart, chunkSize:
			if v := wire.HexValue(c); v <= 15 {
				if d.digits == maxDigits {
					return nil, i, broken
				}
				d.digits++
				d.left = d.left<<4 | int64(v)
				d.step = chunkSize
				break
			}
			switch {
			case d.step == chunkSize && c == '\r':
				d.step = chunkSizeLF
			case d.step == chunkSize && c == ';':
				d.step = chunkExtension
			default:
				return nil, i, broken
			}
		case chunkExtension:
			if c == '\r' {
				d.step = chunkSizeLF
				break
			}
			d.ext++
			if d.ext > maxExtension || c < 0x20 && c != '\t' || c == 0x7f {
				return nil, i, broken
			}
		case chunkSizeLF:
			if c != '\n' {
				return nil, i, broken
			}
			d.digits = 0
			d.ext -= uint16(min(int64(d.ext), d.left))
			d.step = chunkData
			if d.left == 0 {
				d.step = chunkLast
			}
		case chunkData:
			n := int64(len(b) - i)
			if n >= d.left {
				n = d.left
				d.step = chunkDataCR
			}
			d.left -= n
			return b[i : i+int(n)], i + int(n), partial
		case chunkDataCR:
			if c != '\r' {
				return nil, i, broken
			}
			d.step = chunkDataLF
		case chunkDataLF:
			if c != '\n' {
				return nil, i, broken
			}
			d.step = chunkStart
		case chunkLast:
			if c != '\r' {
				return nil, i, trailers
			}
			d.step = chunkLastLF
		case chunkLastLF:
			if c != '\n' {
				return nil, i, broken
			}
			return nil, i + 1, done
		case chunkFields:
			return nil, i, trailers
		}
		i++
	}
	return nil, i, more
}

// gather is next for as many pieces as make one good write: small chunks that
// came together are joined in l's memory, and an end that came with the last
// piece is told with it. e is never partial with all of b used.
func (d *body) gather(l *local, b []byte) (piece []byte, n int, e event) {
	if d.kind != byChunks {
		return d.next(b)
	}
	joined := false
	for {
		before := *d
		p, k, e := d.chunk(b[n:])
		if len(p) > 0 && len(piece) > 0 {
			if len(piece)+len(p) > maxJoin {
				*d = before
				return piece, n, partial
			}
			if !joined {
				l.join = append(l.join[:0], piece...)
				joined = true
			}
			l.join = append(l.join, p...)
			piece = l.join
		} else if len(p) > 0 {
			piece = p
		}
		n += k
		if e != partial {
			return piece, n, e
		}
	}
}

// maxJoin is up to how many bytes small chunks are joined.
const maxJoin = 64 << 10
