package http2

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// fakeLoop is a loop without sockets, in fake time, that is behind where a test says
// so.
type fakeLoop struct {
	now   time.Duration
	wheel wire.Wheel
	posts []func()
	conns []*fakeConn

	behind bool
	late   []wire.Latecomer
	ranks  []wire.Rank
}

func (l *fakeLoop) Index() int         { return 0 }
func (l *fakeLoop) Now() time.Duration { return l.now }
func (l *fakeLoop) Wall() time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(l.now)
}
func (l *fakeLoop) Post(fn func())                                  { l.posts = append(l.posts, fn) }
func (l *fakeLoop) Dial(netip.AddrPort, wire.ConnHandler) wire.Conn { return nil }
func (l *fakeLoop) Arm(t *wire.Timer, d time.Duration)              { l.wheel.Arm(t, l.now, d) }
func (l *fakeLoop) Disarm(t *wire.Timer)                            { l.wheel.Disarm(t) }

func (l *fakeLoop) Behind() bool { return l.behind }
func (l *fakeLoop) PutOff(rank wire.Rank, who wire.Latecomer) {
	l.late, l.ranks = append(l.late, who), append(l.ranks, rank)
}

// catchUp does what was put off.
func (l *fakeLoop) catchUp() {
	list := l.late
	l.late, l.ranks = nil, nil
	for _, who := range list {
		who.OnTurn()
	}
	l.turn()
}

// turn runs what waits for the loop's top, until nothing does.
func (l *fakeLoop) turn() {
	for again := true; again; {
		again = false
		for len(l.posts) > 0 {
			run := l.posts[0]
			l.posts = l.posts[:copy(l.posts, l.posts[1:])]
			run()
			again = true
		}
		for _, c := range l.conns {
			again = c.turn() || again
		}
	}
}

// pass lets time go by.
func (l *fakeLoop) pass(d time.Duration) {
	for end := l.now + d; ; {
		at, ok := l.wheel.Next()
		if !ok || at > end {
			l.now = end
			return
		}
		l.now = max(l.now, at)
		l.wheel.Advance(l.now)
		for t := l.wheel.Pop(); t != nil; t = l.wheel.Pop() {
			t.Handler.OnTimer(t)
		}
		l.turn()
	}
}

// fakeConn records what is written and hands in what a test gives.
type fakeConn struct {
	loop    *fakeLoop
	peer    wire.Peer
	handler wire.ConnHandler
	out     []byte
	writes  int
	stuck   bool // the kernel takes nothing
	waiting int  // bytes it did not take
	paused  bool
	ended   string // how the machine ended it
	noWrite bool   // CloseWrite was called
	queue   []byte // came while paused
	eof     bool   // came too
	unread  bool   // bytes wait that no event told
	quiet   bool   // records nothing, for benchmarks
	scratch []byte
}

func newFakeConn(l *fakeLoop) *fakeConn {
	c := &fakeConn{loop: l}
	l.conns = append(l.conns, c)
	return c
}

func (c *fakeConn) Loop() wire.Loop               { return c.loop }
func (c *fakeConn) Peer() *wire.Peer              { return &c.peer }
func (c *fakeConn) SetHandler(h wire.ConnHandler) { c.handler = h }
func (c *fakeConn) Buffered() int                 { return c.waiting }
func (c *fakeConn) Waiting() bool                 { return c.unread }
func (c *fakeConn) Pause()                        { c.paused = true }
func (c *fakeConn) Resume()                       { c.paused = false }
func (c *fakeConn) CloseWrite()                   { c.noWrite = true; c.out = append(c.out, "[end]"...) }
func (c *fakeConn) Close()                        { c.end("close") }
func (c *fakeConn) Finish()                       { c.end("finish") }
func (c *fakeConn) Abort()                        { c.end("abort") }

func (c *fakeConn) end(how string) {
	if c.ended == "" {
		c.ended = how
	}
}

func (c *fakeConn) Write(a, b []byte) {
	if c.ended != "" || c.noWrite {
		return
	}
	c.writes++
	if c.quiet {
		return
	}
	c.out = append(append(c.out, a...), b...)
	if c.stuck {
		c.waiting += len(a) + len(b)
	}
}

// give hands b in as the loop does: lent, and destroyed afterwards.
func (c *fakeConn) give(b []byte) {
	c.queue = append(c.queue, b...)
	c.loop.turn()
}

func (c *fakeConn) giveEOF() {
	c.eof = true
	c.loop.turn()
}

// turn hands in what waits; it says whether there was something.
func (c *fakeConn) turn() bool {
	if c.paused || c.ended != "" {
		return false
	}
	if len(c.queue) > 0 {
		c.scratch = append(c.scratch[:0], c.queue...)
		c.queue = c.queue[:0]
		c.handler.OnData(c.scratch)
		copy(c.scratch, bytes.Repeat([]byte{0xaa}, len(c.scratch)))
		return true
	}
	if c.eof {
		c.eof = false
		c.handler.OnEOF()
		return true
	}
	return false
}

// take lets the kernel take n of the bytes that wait.
func (c *fakeConn) take(n int) {
	before := c.waiting
	c.waiting = max(0, c.waiting-n)
	if before > wire.LowWater && c.waiting <= wire.LowWater && c.ended == "" {
		c.handler.OnDrained()
	}
	c.loop.turn()
}

// lose is the end of the connection by the peer or the network.
func (c *fakeConn) lose(err error) {
	if c.ended == "" {
		c.ended = "lost"
		c.handler.OnClose(err)
	}
	c.loop.turn()
}
