package loop

import (
	"math"
	"syscall"
)

// Where many events are in hand, small writes are gathered and sent some at a
// time: the kernel's way to the network and our own code are both larger than
// the processor's first cache, and each throws the other out. Sixteen of one,
// then sixteen of the other cost about a twentieth less than taking turns.
const (
	// gatherFrom is from how many events on: with fewer, the first would wait for
	// nothing.
	gatherFrom = 16
	// gatherEvents is after how many events what was gathered is sent.
	gatherEvents = 32
	// sameTime is how many events share a reading of the clock while writes are
	// gathered: those wait longer for their scatter than the readings are apart.
	sameTime = 4
	// gatherSize bounds what is gathered at once, in bytes.
	gatherSize = 64 << 10
)

// gathered is a loop's writes that wait for their turn, in order.
type gathered struct {
	on     bool // writes are gathered now
	writes []gatheredWrite
	data   []byte // of all of them; never grows
}

// gatheredWrite is what one connection has written: data[from:to].
type gatheredWrite struct {
	conn     *conn // nil: sent, or not wanted any more
	from, to int
}

// gather takes a and b to be sent soon; false when it cannot, and they are to be
// sent now. The connection has no other output.
func (c *conn) gather(a, b []byte) bool {
	g := &c.loop.gathered
	size := len(a) + len(b)
	if !g.on || size > joinMax || len(g.data)+size > cap(g.data) {
		return false
	}
	at := len(g.data)
	if c.gathered > 0 {
		w := &g.writes[c.gathered-1]
		if w.to != at {
			return false // another connection's is behind it
		}
		w.to += size
	} else {
		if len(g.writes) == math.MaxUint8 {
			return false
		}
		g.writes = append(g.writes, gatheredWrite{c, at, at + size})
		c.gathered = uint8(len(g.writes))
	}
	g.data = append(append(g.data, a...), b...)
	return true
}

// ungather sends what c has gathered, so that something may follow it.
func (c *conn) ungather() {
	if c.gathered == 0 {
		return
	}
	g := &c.loop.gathered
	w := &g.writes[c.gathered-1]
	c.forget()
	c.offer(g.data[w.from:w.to], nil)
}

// forget drops what c has gathered.
func (c *conn) forget() {
	if c.gathered > 0 {
		c.loop.gathered.writes[c.gathered-1].conn = nil
		c.gathered = 0
	}
}

// waiting is how many bytes c has gathered.
func (c *conn) waiting() int {
	if c.gathered == 0 {
		return 0
	}
	w := &c.loop.gathered.writes[c.gathered-1]
	return w.to - w.from
}

// scatter sends all that was gathered. No handler is called.
func (l *loop) scatter() {
	g := &l.gathered
	for i := range g.writes {
		if c := g.writes[i].conn; c != nil {
			c.ungather()
		}
	}
	g.writes, g.data = g.writes[:0], g.data[:0]
}

// offer gives a, then b to the kernel, and keeps what it does not take. The
// connection has no other output.
func (c *conn) offer(a, b []byte) {
	var n int
	var e syscall.Errno
	for {
		if len(b) == 0 {
			n, e = send(c.fd, a)
		} else {
			n, e = sendTwo(c.fd, a, b)
		}
		if e != syscall.EINTR {
			break
		}
	}
	if e != 0 {
		if e != syscall.EAGAIN {
			c.broke(e)
			return
		}
		n = 0
	}
	if n < len(a) {
		c.keep(a[n:])
		c.keep(b)
		return
	}
	c.keep(b[n-len(a):])
}
