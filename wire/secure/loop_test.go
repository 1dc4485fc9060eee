package secure

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLoop is a wire.Loop: one goroutine that runs what is posted. Its time
// moves only by advance.
type testLoop struct {
	mu     sync.Mutex
	queue  []func()
	wake   chan struct{}
	over   chan struct{}
	now    time.Duration
	timers map[*wire.Timer]time.Duration
	dial   func(h wire.ConnHandler) *rawConn
}

func newLoop(t testing.TB) *testLoop {
	l := &testLoop{wake: make(chan struct{}, 1), over: make(chan struct{}), timers: map[*wire.Timer]time.Duration{}}
	quit := make(chan struct{})
	go func() {
		defer close(l.over)
		for {
			l.mu.Lock()
			q := l.queue
			l.queue = nil
			l.mu.Unlock()
			for _, fn := range q {
				fn()
			}
			if len(q) > 0 {
				continue
			}
			select {
			case <-l.wake:
			case <-quit:
				return
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-l.over })
	return l
}

func (l *testLoop) Index() int                                          { return 0 }
func (l *testLoop) Now() time.Duration                                  { return l.now }
func (l *testLoop) Wall() time.Time                                     { return time.Unix(0, 0).Add(l.now) }
func (l *testLoop) Arm(t *wire.Timer, d time.Duration)                  { l.timers[t] = l.now + d }
func (l *testLoop) Disarm(t *wire.Timer)                                { delete(l.timers, t) }
func (l *testLoop) Dial(_ netip.AddrPort, h wire.ConnHandler) wire.Conn { return l.dial(h) }

func (l *testLoop) Post(fn func()) {
	l.mu.Lock()
	l.queue = append(l.queue, fn)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// do runs fn on the loop and waits for it.
func (l *testLoop) do(fn func()) {
	done := make(chan struct{})
	l.Post(func() { defer close(done); fn() })
	<-done
}

func (l *testLoop) advance(d time.Duration) {
	l.do(func() {
		l.now += d
		for t, due := range l.timers {
			if due <= l.now {
				delete(l.timers, t)
				t.Handler.OnTimer(t)
			}
		}
	})
}

// end is where a rawConn's bytes go.
type end interface {
	data(b []byte)
	eof()
	reset()
}

// rawConn is a wire.Conn in memory. What its other end sends is posted to its
// loop and handed over in pieces of at most piece bytes.
type rawConn struct {
	loop    *testLoop
	peer    wire.Peer
	other   end
	handler wire.ConnHandler
	piece   int

	in     []byte
	inEOF  bool
	paused bool
	closed bool
	ended  bool // our side sent eof
	how    string
	writes int
	stuck  bool // the "kernel" takes nothing: it all counts as buffered
	backed int
}

var testAddr = netip.MustParseAddrPort("192.0.2.1:443")

func newRaw(l *testLoop) *rawConn {
	return &rawConn{loop: l, piece: 1 << 20, peer: wire.Peer{Remote: testAddr, Local: testAddr}}
}

func (c *rawConn) Loop() wire.Loop               { return c.loop }
func (c *rawConn) Peer() *wire.Peer              { return &c.peer }
func (c *rawConn) SetHandler(h wire.ConnHandler) { c.handler = h }
func (c *rawConn) Buffered() int                 { return c.backed }
func (c *rawConn) Waiting() bool                 { return false }
func (c *rawConn) Pause()                        { c.paused = true }

func (c *rawConn) Resume() {
	if c.paused {
		c.paused = false
		c.loop.Post(c.deliver)
	}
}

func (c *rawConn) Write(a, b []byte) {
	if c.closed || c.ended {
		return
	}
	c.writes++
	if c.stuck {
		c.backed += len(a) + len(b)
	}
	c.other.data(append(append([]byte(nil), a...), b...))
}

func (c *rawConn) CloseWrite() {
	if !c.closed && !c.ended {
		c.ended = true
		c.other.eof()
	}
}

func (c *rawConn) Close()  { c.shut("close") }
func (c *rawConn) Finish() { c.shut("finish") }
func (c *rawConn) Abort()  { c.shut("abort") }

func (c *rawConn) shut(how string) {
	if c.closed {
		return
	}
	c.closed, c.how = true, how
	if how == "abort" {
		c.other.reset()
	} else if !c.ended {
		c.other.eof()
	}
}

func (c *rawConn) deliver() {
	for !c.paused && !c.closed && len(c.in) > 0 {
		b := append([]byte(nil), c.in[:min(c.piece, len(c.in))]...)
		c.in = c.in[len(b):]
		c.handler.OnData(b)
		clear(b) // lent: whoever kept it will notice
	}
	if !c.paused && !c.closed && c.inEOF {
		c.inEOF = false
		c.handler.OnEOF()
	}
}

func (c *rawConn) data(b []byte) {
	c.loop.Post(func() { c.in = append(c.in, b...); c.deliver() })
}

func (c *rawConn) eof() { c.loop.Post(func() { c.inEOF = true; c.deliver() }) }

var errReset = errors.New("connection reset by peer")

func (c *rawConn) reset() {
	c.loop.Post(func() {
		if !c.closed {
			c.closed = true
			c.handler.OnClose(errReset)
		}
	})
}

// netConn is the other end as a blocking net.Conn, for crypto/tls's own
// client and server.
type netConn struct {
	raw  *rawConn
	mu   sync.Mutex
	cond sync.Cond
	in   []byte
	end  error
}

func newNet(raw *rawConn) *netConn {
	n := &netConn{raw: raw}
	n.cond.L = &n.mu
	raw.other = n
	return n
}

func (n *netConn) put(b []byte, end error) {
	n.mu.Lock()
	n.in = append(n.in, b...)
	if n.end == nil {
		n.end = end
	}
	n.mu.Unlock()
	n.cond.Broadcast()
}

func (n *netConn) data(b []byte) { n.put(b, nil) }
func (n *netConn) eof()          { n.put(nil, io.EOF) }
func (n *netConn) reset()        { n.put(nil, errReset) }

func (n *netConn) Read(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.in) == 0 {
		if n.end != nil {
			return 0, n.end
		}
		n.cond.Wait()
	}
	k := copy(b, n.in)
	n.in = n.in[k:]
	return k, nil
}

func (n *netConn) Write(b []byte) (int, error) {
	n.raw.data(append([]byte(nil), b...))
	return len(b), nil
}

func (n *netConn) Close() error                     { n.put(nil, net.ErrClosed); n.raw.eof(); return nil }
func (n *netConn) CloseWrite() error                { n.raw.eof(); return nil }
func (n *netConn) LocalAddr() net.Addr              { return net.TCPAddrFromAddrPort(testAddr) }
func (n *netConn) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(testAddr) }
func (n *netConn) SetDeadline(time.Time) error      { return nil }
func (n *netConn) SetReadDeadline(time.Time) error  { return nil }
func (n *netConn) SetWriteDeadline(time.Time) error { return nil }

// recorder is a wire.ConnHandler that keeps what it is told and may act.
type recorder struct {
	conn   wire.Conn
	onData func(b []byte)
	onEOF  func()
	events chan string // "open", "eof", "drained", "close: ..."
	mu     sync.Mutex
	got    []byte
	calls  int
	err    error // of OnClose; written before its event
}

func newRecorder() *recorder { return &recorder{events: make(chan string, 64)} }

func (r *recorder) OnOpen()    { r.events <- "open" }
func (r *recorder) OnDrained() { r.events <- "drained" }

func (r *recorder) OnData(b []byte) {
	r.mu.Lock()
	r.got = append(r.got, b...)
	r.calls++
	r.mu.Unlock()
	if r.onData != nil {
		r.onData(b)
	}
}

func (r *recorder) OnEOF() {
	r.events <- "eof"
	if r.onEOF != nil {
		r.onEOF()
	}
}

func (r *recorder) OnClose(err error) {
	r.err = err
	r.events <- "close: " + err.Error()
}

// lost waits for OnClose.
func (r *recorder) lost(t *testing.T) error {
	t.Helper()
	if e := <-r.events; !strings.HasPrefix(e, "close: ") {
		t.Fatalf("event %q, want close", e)
	}
	return r.err
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.got)
}

func (r *recorder) expect(t *testing.T, want string) {
	t.Helper()
	if got := <-r.events; got != want {
		t.Fatalf("event %q, want %q", got, want)
	}
}
