package secure

import (
	"errors"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// feedShake gives the handshake its input; a server's begins with it.
func (c *conn) feedShake(b []byte) {
	s := c.shake
	if s.feed(b) && !s.stopped {
		s.stopped = true
		c.raw.Pause()
	}
	if !s.started {
		s.start()
	}
}

// shakeDrained: the handshake has used up most of its input.
func (c *conn) shakeDrained() {
	if c.phase == shaking && c.shake.stopped {
		c.shake.stopped = false
		c.raw.Resume()
	}
}

// OnTimer: the handshake has taken too long.
func (c *conn) OnTimer(*wire.Timer) {
	if c.phase != shaking {
		return
	}
	c.failShake(observe.HandshakeTimeout, errTimeout)
	c.raw.Close()
}

// shaken is posted by the handshake goroutine as its last act; err is nil when
// the handshake is complete.
func (c *conn) shaken(err error) {
	if c.phase != shaking {
		return // given up meanwhile
	}
	s := c.shake
	if err != nil {
		err = explain(err)
		if len(s.out) > 0 {
			c.raw.Write(s.out, nil) // the alert
		} else if errors.Is(err, errPlainHTTP) {
			c.raw.Write([]byte(plainAnswer), nil)
		}
		c.failShake(observe.HandshakeFailed, err)
		c.raw.Finish()
		return
	}
	if c.state.Protocol == wire.ChallengeProtocol {
		// The authority has seen what it wanted to see.
		c.stopShake()
		c.raw.Write(s.out, nil)
		c.raw.Finish()
		return
	}
	c.loop.Disarm(&s.timer)
	c.shake, c.pipe.shake, c.phase = nil, nil, open
	c.raw.Peer().TLS = &c.state

	d := c.desk
	d.out = append(d.out, s.out...)
	c.seal(s.pending, nil)
	c.flush()
	switch c.closing {
	case endAll, endLinger:
		c.end(c.closing)
		return
	case endWrite:
		c.notify()
		c.raw.CloseWrite()
	}
	c.begin(s)
}

// begin lets plaintext flow: it tells that the connection is open and delivers
// what came after the handshake.
func (c *conn) begin(s *shake) {
	s.opened()
	if c.phase == open && len(s.pending) > wire.LowWater && c.raw.Buffered() <= wire.LowWater {
		c.handler.OnDrained()
	}
	if c.phase != open {
		return
	}
	if c.paused {
		c.stash(s.in)
		c.raw.Pause()
		return
	}
	c.pump(s.in, 0)
	if c.phase == open && !c.paused && s.stopped {
		c.raw.Resume()
	}
}

// failShake gives the handshake up and tells why. The raw Conn is the
// caller's to close.
func (c *conn) failShake(why observe.Reason, err error) {
	s := c.shake
	c.stopShake()
	if c.closing != endAll && c.closing != endLinger {
		s.failed(why, err)
	}
}

// stopShake ends the goroutine, if it runs. The shake stays in place: the
// goroutine reads it until it has seen that it is over.
func (c *conn) stopShake() {
	c.phase = closed
	c.loop.Disarm(&c.shake.timer)
	c.shake.abandon()
}
