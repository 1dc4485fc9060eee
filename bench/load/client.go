package load

import (
	"bytes"
	"fmt"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// client is one connection that asks. It implements wire.ConnHandler, and
// belongs to its worker's loop.
type client struct {
	worker *worker
	conn   wire.Conn
	in     message
	status []byte // of the answer that is coming, "" before it
	since  time.Duration
	asking bool
	served bool // has had an answer on this connection
	over   bool // answered, and waits for the proxy to close (fresh clients)
	ended  bool
}

var statusOK = []byte("HTTP/1.1 200")

// open dials; the first request may be written at once.
func (c *client) open() {
	c.in, c.served = message{}, false
	c.conn = c.worker.dial(c)
}

// ask sends the next request, due at since.
func (c *client) ask(since time.Duration) {
	c.since, c.asking, c.status = since, true, nil
	c.conn.Write(c.worker.request(), nil)
}

func (c *client) OnOpen() {}

func (c *client) OnData(b []byte) {
	for len(b) > 0 && !c.ended {
		if !c.asking {
			c.fail("more than was asked for")
			return
		}
		n, done, err := c.in.feed(b)
		if err != nil {
			c.fail(err.Error())
			return
		}
		b = b[n:]
		if c.status == nil && c.in.first != nil {
			c.status = statusOK
			if !bytes.HasPrefix(c.in.first, statusOK) {
				c.fail(fmt.Sprintf("answered %q", c.in.first))
				return
			}
		}
		if done {
			c.in.first = nil
			c.answered()
		}
	}
}

func (c *client) answered() {
	w := c.worker
	c.asking, c.served = false, true
	if c.in.body != int64(w.plan.Want) {
		c.fail(fmt.Sprintf("body of %d bytes, not %d", c.in.body, w.plan.Want))
		return
	}
	w.answered(c.since)
	switch {
	case w.plan.Fresh:
		c.over = true
	case c.in.closing:
		c.reopen()
	default:
		w.free(c)
	}
}

// reopen goes on with a new connection, after the proxy wished to end this.
func (c *client) reopen() {
	c.conn.Close()
	c.worker.reopened.Add(1)
	c.open()
	c.worker.free(c)
}

// fail counts a failure, and goes on with a new connection.
func (c *client) fail(why string) {
	c.conn.Abort()
	c.lost(why)
}

func (c *client) lost(why string) {
	w := c.worker
	w.failed(why)
	if !c.asking {
		w.idleGone(c)
	}
	c.asking = false
	if w.failures.Load() > mostFailures {
		c.ended = true // a proxy that is not there is not asked for ever
		return
	}
	c.open()
	w.free(c)
}

func (c *client) OnEOF() { c.gone("closed before the answer") }

func (c *client) OnClose(err error) {
	if !c.ended {
		c.gone(err.Error())
	}
}

// gone: the proxy has closed.
func (c *client) gone(why string) {
	// Both sides are done: a reset leaves nobody in TIME_WAIT, so that ports
	// do not run out.
	c.conn.Abort()
	switch {
	case c.ended:
	case c.over:
		c.over = false
		c.open()
		c.worker.free(c)
	case c.asking, !c.served:
		// RFC 9112 section 9.3.1 lets a server close an idle connection; a
		// request that crosses that is lost all the same, and counts.
		c.lost(why)
	default:
		c.worker.idleGone(c)
		c.worker.reopened.Add(1)
		c.open()
		c.worker.free(c)
	}
}

func (c *client) OnDrained() {}

// end closes the connection for good.
func (c *client) end() {
	if c.ended {
		return
	}
	c.ended = true
	if c.asking || c.over {
		c.conn.Abort()
		return
	}
	c.conn.Close()
}
