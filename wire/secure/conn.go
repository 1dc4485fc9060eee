package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// conn is the plain Conn: the handler of the raw one and the raw one's user.
// Except for tls, pipe and state during the handshake it belongs to the loop.
type conn struct {
	raw     wire.Conn
	loop    wire.Loop
	desk    *desk
	handler wire.ConnHandler
	tls     *tls.Conn
	pipe    pipe
	shake   *shake // nil after the handshake
	state   wire.TLSState

	// held is ciphertext that has arrived and is not decrypted: a record's
	// beginning, or, while more is set, whatever is not to be delivered yet.
	held []byte

	phase   phase
	closing closing
	paused  bool // by the handler
	// more: there is something to deliver as soon as the handler resumes; the
	// raw Conn stays paused until it is.
	more    bool
	posted  bool  // wake is on its way
	readEnd error // io.EOF after close_notify; any other is told at once
	fin     bool  // the raw Conn has ended
	dialled bool
	heard   bool // plaintext has come
}

type phase uint8

const (
	shaking phase = iota // the handshake is not complete
	open
	closed // nothing is told, nothing is sent any more
)

// closing is what the user has asked for.
type closing uint8

const (
	stay closing = iota
	endWrite
	endAll
	endLinger
)

var (
	_ wire.Conn          = (*conn)(nil)
	_ wire.HangUpHandler = (*conn)(nil)
	_ wire.TimerHandler  = (*conn)(nil)
)

// deferredClose is for how long a Close waits for a handshake, so that what
// was written before it can be sent; the same as a plain Conn's.
const deferredClose = 5 * time.Second

func (c *conn) Loop() wire.Loop               { return c.loop }
func (c *conn) Peer() *wire.Peer              { return c.raw.Peer() }
func (c *conn) Waiting() bool                 { return c.raw.Waiting() }
func (c *conn) SetHandler(h wire.ConnHandler) { c.handler = h }

// Rank implements wire.Ranker.
func (c *conn) Rank() wire.Rank { return wire.RankOf(c.handler) }

// OnOpen: the TCP connection of a Dial stands; the client speaks first.
func (c *conn) OnOpen() {
	if c.phase == shaking && !c.shake.started {
		c.shake.start()
	}
}

// OnData takes ciphertext.
func (c *conn) OnData(b []byte) {
	switch {
	case c.phase == shaking:
		c.feedShake(b)
	case c.phase == closed || c.readEnd != nil:
		// After close_notify nothing counts (RFC 8446 section 6.1).
	case c.more:
		c.hold(b)
	case len(c.held) != 0:
		if b = c.complete(b); ready(c.held) {
			n, _ := c.decrypt(c.held, 0)
			c.letGo()
			c.pump(b, n)
		}
	default:
		c.pump(b, 0)
	}
}

// OnEOF: the raw stream has ended. In order only after close_notify.
func (c *conn) OnEOF() {
	c.fin = true
	switch {
	case c.phase == shaking:
		if !c.shake.started {
			c.failShake(observe.HandshakeFailed, errGone)
			c.raw.Close()
			return
		}
		c.shake.finish(io.EOF)
	case c.phase == open && c.readEnd == nil && !c.more:
		c.fail(io.ErrUnexpectedEOF)
	}
}

// OnHangUp: the raw Conn, paused for the handler, has hung up.
func (c *conn) OnHangUp(unread int) {
	if h, ok := c.handler.(wire.HangUpHandler); ok && c.phase == open && c.paused {
		h.OnHangUp(unread + len(c.held))
	}
}

func (c *conn) OnDrained() {
	if c.phase == open {
		c.handler.OnDrained()
	}
}

func (c *conn) OnClose(err error) {
	switch c.phase {
	case shaking:
		c.failShake(observe.HandshakeFailed, err)
	case open:
		c.drop()
		c.handler.OnClose(err)
	}
}

// complete moves bytes from b to held, until it holds a whole record or b has
// no more; it gives the rest.
func (c *conn) complete(b []byte) []byte {
	for len(b) > 0 && !ready(c.held) {
		need := recordHead
		if n := recordLen(c.held); n != 0 {
			need = n
		}
		k := min(need-len(c.held), len(b))
		c.hold(b[:k])
		b = b[k:]
	}
	return b
}

// hold keeps b behind what is held already.
func (c *conn) hold(b []byte) {
	if len(b) == 0 {
		return
	}
	if c.held == nil {
		c.held = c.desk.borrow(len(b))
	}
	c.held = append(c.held, b...)
}

func (c *conn) letGo() {
	c.desk.giveBack(c.held)
	c.held = nil
}

// decrypt reads records from b into the desk's plain buffer, after the n bytes
// that are there, as long as there is room for a whole one; it gives the new n
// and what is left of b. The end of the stream and errors go to readEnd.
func (c *conn) decrypt(b []byte, n int) (int, []byte) {
	c.pipe.in = b
	plain := c.desk.plain
	for c.readEnd == nil && len(plain)-n >= recordPlain && ready(c.pipe.in) {
		k, err := c.tls.Read(plain[n:])
		n += k
		if err != nil && err != errWouldBlock {
			c.readEnd = err
		}
		// A key update is answered, a broken record is complained of.
		c.flush()
	}
	b, c.pipe.in = c.pipe.in, nil
	return n, b
}

// pump decrypts b and delivers it, after the n bytes of plaintext that are
// there; what cannot be delivered now is held.
func (c *conn) pump(b []byte, n int) {
	for {
		n, b = c.decrypt(b, n)
		if n > 0 {
			c.heard = true
			c.handler.OnData(c.desk.plain[:n])
			n = 0
		}
		if c.phase != open {
			return
		}
		if c.readEnd != nil && c.readEnd != io.EOF {
			c.fail(c.readEnd)
			return
		}
		switch {
		case c.paused:
			c.stash(b)
			return
		case c.readEnd != nil:
			c.handler.OnEOF()
			return
		case !ready(b) && c.fin:
			c.fail(io.ErrUnexpectedEOF)
			return
		case !ready(b):
			c.hold(b)
			return
		}
	}
}

// stash holds b for a paused handler.
func (c *conn) stash(b []byte) {
	c.more = ready(b) || c.readEnd != nil || c.fin
	c.hold(b)
}

// fail ends the connection after a fatal alert, theirs or ours. It lingers, so
// that our alert is not lost in a reset.
func (c *conn) fail(err error) {
	raw, h := c.raw, c.handler
	if alert := (*net.OpError)(nil); c.dialled && !c.heard && errors.As(err, &alert) && alert.Op == "remote error" {
		// In TLS 1.3 the client is done before the service has judged its
		// certificate: this is that verdict, and nothing was served.
		err = &wire.DialError{Addr: raw.Peer().Remote, Err: err, TLS: true}
	}
	c.drop()
	raw.Finish()
	h.OnClose(err)
}

// drop lets go of what an open connection has.
func (c *conn) drop() {
	c.phase = closed
	c.letGo()
	c.tls = nil
	c.pipe = pipe{}
}

// Pause holds back the handler's events. During the handshake the raw bytes
// must go on.
func (c *conn) Pause() {
	c.paused = true
	if c.phase == open {
		c.raw.Pause()
	}
}

// Resume delivers what is held from the loop's top, and only then lets the raw
// Conn bring more, so that the order stays.
func (c *conn) Resume() {
	c.paused = false
	switch {
	case c.phase != open:
	case !c.more:
		c.raw.Resume()
	case !c.posted:
		c.posted = true
		c.loop.Post(c.wake)
	}
}

func (c *conn) wake() {
	c.posted = false
	if c.phase != open || c.paused {
		return
	}
	c.more = false
	b := c.held
	c.held = nil
	c.pump(b, 0)
	c.desk.giveBack(b)
	if c.phase == open && !c.paused {
		c.raw.Resume()
	}
}
