package loop

import (
	"syscall"
	"time"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

const (
	// flushLimit is how long Close and Finish try to send what is buffered.
	flushLimit = 5 * time.Second
	// discardLimit is how long Finish throws away input afterwards.
	discardLimit = 2 * time.Second
	// discardMax is how much input is thrown away in one turn.
	discardMax = 16 << 20
)

// CloseWrite ends our stream after what is buffered.
func (c *conn) CloseWrite() {
	if c.phase != open || c.shut {
		return
	}
	c.ungather()
	c.shut = true
	if c.head == nil && !c.dialling && c.errno == 0 {
		c.flushed()
	}
}

// Close sends what is buffered, then closes.
func (c *conn) Close() {
	if c.phase != open {
		return
	}
	c.ungather()
	if c.head == nil || c.errno != 0 {
		c.release()
		return
	}
	c.phase = flushing
	c.limit(flushLimit)
}

// Finish is Close for a connection whose peer may still be sending.
func (c *conn) Finish() {
	if c.phase != open {
		return
	}
	c.ungather()
	if c.eof || c.dialling || c.errno != 0 {
		c.Close()
		return
	}
	c.phase = finishing
	if c.head == nil {
		c.flushed()
	} else {
		c.limit(flushLimit)
	}
	// The end may have come already; no edge will announce it again.
	c.queue()
}

// Abort resets the connection.
func (c *conn) Abort() {
	if c.phase == closed {
		return
	}
	c.ungather() // the peer may see it before the reset, as any output
	if c.fd >= 0 {
		resetOnClose(c.fd)
	}
	c.release()
}

// flushed does what waited for the last byte to be sent.
func (c *conn) flushed() {
	switch c.phase {
	case flushing:
		c.release()
		return
	case finishing:
		c.limit(discardLimit)
	}
	if !c.finSent {
		c.finSent = true
		shutdownWrite(c.fd)
	}
}

// limit bounds the phase that was entered.
func (c *conn) limit(d time.Duration) {
	c.loop.wheel.Arm(&c.extra().end, c.loop.now, d)
}

// OnTimer ends a phase that took too long. Output that is still there is
// dropped, by a reset so that the peer does not take it for complete.
func (c *conn) OnTimer(*wire.Timer) {
	if c.head != nil {
		c.Abort()
		return
	}
	c.release()
}

// endEvent handles an event of a connection that nobody listens to any more.
func (c *conn) endEvent(events uint32) {
	broken := events&unix.EPOLLERR != 0 || events&unix.EPOLLHUP != 0 && !c.finSent
	if broken {
		c.release()
		return
	}
	if events&unix.EPOLLOUT != 0 && c.head != nil {
		c.flush()
	}
	if c.phase == finishing && events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
		c.discard()
	}
}

// discard throws away input until the peer ends its stream.
func (c *conn) discard() {
	for thrown := 0; thrown < discardMax; {
		n, e := discard(c.fd, discardMax)
		switch {
		case e == syscall.EINTR:
		case e == syscall.EAGAIN:
			return
		case e != 0 || n == 0 && c.head == nil:
			c.release()
			return
		case n == 0:
			c.phase = flushing // the peer has ended, but still reads
			return
		default:
			thrown += n
		}
	}
	c.queue()
}
