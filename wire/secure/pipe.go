package secure

import (
	"net"
	"time"
)

// pipe is the net.Conn under a tls.Conn. While shake is set, the handshake
// goroutine calls it and Read may wait; afterwards the loop does, and Read
// gives what is in in, or errWouldBlock.
//
// It never gives bytes of two records in one Read: crypto/tls buffers what it
// gets, and only so does it hold nothing between two records.
type pipe struct {
	conn  *conn
	shake *shake // nil once the handshake goroutine has ended in success
	in    []byte // ciphertext, lent by the loop for one call of tls.Conn.Read
	left  int    // bytes of the current record still to be read
}

var _ net.Conn = (*pipe)(nil)

// Read gives at most the rest of the current record.
func (p *pipe) Read(b []byte) (int, error) {
	if p.shake != nil {
		return p.shake.read(b, &p.left)
	}
	if p.left == 0 {
		if !ready(p.in) {
			return 0, errWouldBlock
		}
		p.left = recordLen(p.in)
	}
	if len(p.in) == 0 {
		return 0, errWouldBlock
	}
	n := copy(b[:min(len(b), p.left)], p.in)
	p.in = p.in[n:]
	p.left -= n
	return n, nil
}

// Write keeps b for the next flush. It never fails: an error here would break
// the tls.Conn for good.
func (p *pipe) Write(b []byte) (int, error) {
	if p.shake != nil {
		p.shake.out = append(p.shake.out, b...)
		return len(b), nil
	}
	d := p.conn.desk
	d.out = append(d.out, b...)
	if len(d.out) >= sendBytes {
		p.conn.flush()
	}
	return len(b), nil
}

// Nobody asks for addresses: crypto/tls would only name sessions by them, and
// a dialer's always have a server name. The true ones belong to the loop.

func (p *pipe) RemoteAddr() net.Addr { return &net.TCPAddr{} }
func (p *pipe) LocalAddr() net.Addr  { return &net.TCPAddr{} }

// The raw Conn is closed by the loop, and time is kept by the loop.

func (p *pipe) Close() error                     { return nil }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// wouldBlock is temporary, so that crypto/tls does not take it for the end.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "no whole TLS record has arrived" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock error = wouldBlock{}
