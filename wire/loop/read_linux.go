package loop

import "syscall"

// readsPerTurn bounds how long a connection that always has more keeps the
// others waiting: full reads of the loop's buffer.
const readsPerTurn = 2

// read gives input to the handler until the socket is drained, the handler
// pauses, or the turn is over.
func (c *conn) read() {
	l := c.loop
	for range readsPerTurn {
		if c.eof {
			return
		}
		if r := c.rare; r != nil && r.to != nil {
			if r.pipe != nil {
				return // what was read last has not gone out; c.to tells
			}
			if r.bulk && c.forward() {
				return
			}
		}
		n, e := recv(c.fd, l.buffer)
		switch {
		case e == syscall.EINTR:
			continue
		case e == syscall.EAGAIN:
			c.readable = false
			if c.errno != 0 {
				c.lost(syscall.Errno(c.errno))
			}
			return
		case e != 0:
			c.lost(e)
			return
		case n == 0:
			c.ended()
			return
		}
		// A short read has drained the socket: what comes later is a new edge.
		// But no edge announces an end that was already seen.
		if n < len(l.buffer) && !c.hungUp && c.errno == 0 {
			c.readable = false
		}
		if c.rare != nil {
			c.rare.saw(n, len(l.buffer))
		}
		c.handler.OnData(l.buffer[:n])
		if c.phase != open || c.paused || !c.readable {
			return
		}
	}
	c.queue()
}

// ended tells the end of the peer's stream.
func (c *conn) ended() {
	if c.errno != 0 {
		c.lost(syscall.Errno(c.errno))
		return
	}
	c.readable = false
	c.eof = true
	c.handler.OnEOF()
}
