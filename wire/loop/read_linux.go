package loop

import "syscall"

// readsPerTurn bounds how long a connection that always has more keeps the
// others waiting: full reads of the loop's buffer.
const readsPerTurn = 2

// firstRead is how much is asked for of a connection that had less than that
// to read when it last had anything: most messages are smaller. Of a long one the
// handler may want the beginning and no more: where many begin together and
// nobody takes them, as a hostile client can bring about, what was read would
// be lost time and memory. Who brought more at once the last time, and was
// taken, is asked for all: a second read of each message would cost a fifth
// more (answers of 16 KiB).
const firstRead = 8 << 10

// read gives input to the handler until the socket is drained, the handler
// pauses, or the turn is over.
func (c *conn) read() {
	l := c.loop
	took := 0
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
		room := l.buffer
		if !c.bulk {
			room = room[:min(len(room), firstRead)]
		}
		n, e := recv(c.fd, room)
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
		took += n
		c.bulk = took >= firstRead
		if n < len(room) && !c.hungUp && c.errno == 0 {
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
