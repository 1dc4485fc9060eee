package loop

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what must happen before it fails.
const patience = 90 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// script is a ConnHandler made of functions; those left out do nothing.
type script struct {
	c       wire.Conn
	open    func(s *script)
	data    func(s *script, b []byte)
	eof     func(s *script)
	drained func(s *script)
	closed  func(s *script, err error)
}

func (s *script) OnOpen() {
	if s.open != nil {
		s.open(s)
	}
}

func (s *script) OnData(b []byte) {
	if s.data != nil {
		s.data(s, b)
	}
}

func (s *script) OnEOF() {
	if s.eof != nil {
		s.eof(s)
	}
}

func (s *script) OnDrained() {
	if s.drained != nil {
		s.drained(s)
	}
}

func (s *script) OnClose(err error) {
	if s.closed != nil {
		s.closed(s, err)
	}
}

// start runs a driver for the test, without a log.
func start(t testing.TB, loops int) *Driver {
	t.Helper()
	d, err := New(Options{Loops: loops, ReadBuffer: 64 << 10, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// listen serves every accepted connection with the script that serve makes.
func listen(t testing.TB, d *Driver, serve func() *script) wire.Listening {
	t.Helper()
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		s := serve()
		s.c = c
		c.SetHandler(s)
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// echo answers with what it gets and closes when the peer does.
func echo() *script {
	return &script{
		data: func(s *script, b []byte) { s.c.Write(b, nil) },
		eof:  func(s *script) { s.c.Close() },
	}
}

// client connects an ordinary socket to a listening.
func client(t testing.TB, l wire.Listening) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// await receives from ch, or fails the test.
func await[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// on runs fn on the loop and waits for it.
func on(t testing.TB, l wire.Loop, fn func()) {
	t.Helper()
	done := make(chan struct{})
	l.Post(func() { fn(); close(done) })
	await(t, "a post", done)
}

// figures gives the Stats of a loop after a turn: they are shown at its end.
func figures(t testing.TB, d *Driver, loop int) Stats {
	t.Helper()
	on(t, d.loops[loop], func() {})
	on(t, d.loops[loop], func() {})
	return d.Stats()[loop]
}

// rest makes the loop wait as it does after a second without traffic.
func rest(t testing.TB, l *loop) {
	t.Helper()
	on(t, l, func() { l.idle = idleTicks })
}

// isReset connects and says whether the connection is reset, be it at once.
func isReset(l wire.Listening) bool {
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return true
	}
	defer c.Close()
	_, err = io.ReadAll(c)
	return err != nil
}
