package loop

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

func TestIdleConnectionIsSmall(t *testing.T) {
	t.Parallel()
	// 32 of them are for what captured connections tell (Peer.Original).
	if n := unsafe.Sizeof(conn{}); n > 192 {
		t.Errorf("a connection takes %d bytes, want at most 192 (a size class)", n)
	}
	if n := unsafe.Sizeof(chunk{}); n != chunkSize {
		t.Errorf("a chunk takes %d bytes, want %d (a size class)", n, chunkSize)
	}
}

// recorder writes down what a handler is told, and holds the connection for
// the test.
type recorder struct {
	script
	conns  chan wire.Conn
	events chan string
	close  chan error
}

func newRecorder() *recorder {
	r := &recorder{conns: make(chan wire.Conn, 1), events: make(chan string, 64), close: make(chan error, 1)}
	r.script = script{
		open:    func(*script) { r.events <- "open" },
		data:    func(_ *script, b []byte) { r.events <- string(b) },
		eof:     func(*script) { r.events <- "eof" },
		drained: func(*script) { r.events <- "drained" },
		closed:  func(_ *script, err error) { r.close <- err },
	}
	return r
}

// accepted gives both ends of a connection; onAccept runs in the acceptor.
func accepted(t *testing.T, d *Driver, onAccept func(c wire.Conn)) (*recorder, wire.Conn, *net.TCPConn) {
	t.Helper()
	r := newRecorder()
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		r.c = c
		c.SetHandler(&r.script)
		if onAccept != nil {
			onAccept(c)
		}
		r.conns <- c
	})
	if err != nil {
		t.Fatal(err)
	}
	peer := client(t, l)
	return r, await(t, "accept", r.conns), peer
}

func (r *recorder) expect(t *testing.T, want string) {
	t.Helper()
	if got := await(t, want, r.events); got != want {
		t.Fatalf("handler was told %q, want %q", got, want)
	}
}

func (r *recorder) expectClose(t *testing.T, want error) {
	t.Helper()
	if got := await(t, "OnClose", r.close); !errors.Is(got, want) {
		t.Fatalf("OnClose(%v), want %v", got, want)
	}
	select {
	case e := <-r.events:
		t.Fatalf("told %q besides OnClose", e)
	default:
	}
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func TestPeerResets(t *testing.T) {
	t.Parallel()
	r, _, peer := accepted(t, start(t, 1), nil)
	_, _ = peer.Write([]byte("last words"))
	r.expect(t, "last words")
	reset(peer)
	r.expectClose(t, syscall.ECONNRESET)
}

func TestPeerResetsWhilePaused(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), wire.Conn.Pause)
	_, _ = peer.Write([]byte("unread"))
	reset(peer)
	r.expectClose(t, syscall.ECONNRESET)
	on(t, c.Loop(), func() { c.Resume(); c.Write([]byte("x"), nil); c.Close(); c.Abort() })
}

// TestHalfCloseWhilePaused: the end is remembered and told after what came
// before it.
func TestHalfCloseWhilePaused(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), wire.Conn.Pause)
	_, _ = peer.Write([]byte("kept"))
	_ = peer.CloseWrite()
	on(t, c.Loop(), func() {})
	if len(r.events)+len(r.close) != 0 {
		t.Fatal("told something while paused")
	}
	on(t, c.Loop(), c.Resume)
	r.expect(t, "kept")
	r.expect(t, "eof")
	on(t, c.Loop(), func() { c.Write([]byte("answer"), nil); c.Close() })
	if got, err := io.ReadAll(peer); err != nil || string(got) != "answer" {
		t.Fatalf("peer read %q, %v", got, err)
	}
}

// hung is a recorder that also hears of an end while it has paused.
type hung struct {
	*script
	unread chan int
}

func (h hung) OnHangUp(n int) { h.unread <- n }

// TestHangUpWhilePaused: an end that came is told to who has paused, whether before or
// after it, with how much waits before it; what came is given all the same.
func TestHangUpWhilePaused(t *testing.T) {
	t.Parallel()
	h := hung{unread: make(chan int, 4)}
	r, c, peer := accepted(t, start(t, 1), wire.Conn.Pause)
	h.script = &r.script
	on(t, c.Loop(), func() { c.SetHandler(h) })
	_, _ = peer.Write([]byte("kept"))
	_ = peer.CloseWrite()
	for n := range h.unread {
		if n == 4 {
			break // the bytes may come before the end or with it
		}
	}
	data := r.script.data
	r.script.data = func(s *script, b []byte) { data(s, b); c.Pause() }
	on(t, c.Loop(), c.Resume)
	r.expect(t, "kept")
	if n := await(t, "the end", h.unread); n != 0 || len(r.events) != 0 {
		t.Fatalf("%d bytes wait after the last", n)
	}
	on(t, c.Loop(), c.Resume)
	r.expect(t, "eof")
	on(t, c.Loop(), func() { c.Pause(); c.Resume(); c.Close() })
	if len(h.unread) != 0 {
		t.Error("an end that is known is told again")
	}
}

// TestWaiting: an idle connection is asked what the kernel holds.
func TestWaiting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		send func(peer *net.TCPConn)
		want bool
	}{
		{"nothing", func(*net.TCPConn) {}, false},
		{"a byte", func(p *net.TCPConn) { _, _ = p.Write([]byte("x")) }, true},
		{"the end", func(p *net.TCPConn) { _ = p.CloseWrite() }, true},
	} {
		_, conn, peer := accepted(t, start(t, 1), wire.Conn.Pause)
		c.send(peer)
		on(t, conn.Loop(), func() {
			if got := conn.Waiting(); got != c.want {
				t.Errorf("%s: waiting is %v", c.name, got)
			}
			conn.Abort()
			if conn.Waiting() {
				t.Errorf("%s: a closed connection waits", c.name)
			}
		})
	}
}

// TestBothEndsWhilePaused: when both streams ended, epoll reports a hang-up;
// the input that waits behind the pause must not be lost to it.
func TestBothEndsWhilePaused(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), wire.Conn.Pause)
	on(t, c.Loop(), c.CloseWrite)
	if got, err := io.ReadAll(peer); err != nil || len(got) != 0 {
		t.Fatalf("peer read %q, %v", got, err)
	}
	_, _ = peer.Write([]byte("late answer"))
	_ = peer.CloseWrite()
	on(t, c.Loop(), func() {})
	on(t, c.Loop(), c.Resume)
	r.expect(t, "late answer")
	r.expect(t, "eof")
	on(t, c.Loop(), func() {
		if c.(*conn).phase != open {
			t.Error("closed although the handler did not")
		}
		c.Close()
	})
}

func TestCloseWriteKeepsReading(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), nil)
	on(t, c.Loop(), func() {
		c.Write([]byte("bye"), nil)
		c.CloseWrite()
		c.Write([]byte("too late"), nil)
	})
	if got, err := io.ReadAll(peer); err != nil || string(got) != "bye" {
		t.Fatalf("peer read %q, %v", got, err)
	}
	_, _ = peer.Write([]byte("still here"))
	r.expect(t, "still here")
	_ = peer.CloseWrite()
	r.expect(t, "eof")
	on(t, c.Loop(), c.Close)
}

func TestAbortResets(t *testing.T) {
	t.Parallel()
	_, c, peer := accepted(t, start(t, 1), nil)
	on(t, c.Loop(), func() { c.Write([]byte("x"), nil); c.Abort() })
	if _, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("peer read ended with %v, want a reset", err)
	}
}

// TestWriteFindsReset: what a write meets is told later, and after the input
// that explains it.
func TestWriteFindsReset(t *testing.T) {
	t.Parallel()
	r, c, peer := accepted(t, start(t, 1), wire.Conn.Pause)
	_, _ = peer.Write([]byte("413"))
	_ = peer.Close()
	on(t, c.Loop(), func() {
		if e := epollControl(c.(*conn).loop.epoll, unix.EPOLL_CTL_DEL, c.(*conn).fd, 0, 0, 0); e != 0 {
			t.Error(e) // from here on, only writes find out
		}
	})
	on(t, c.Loop(), func() {
		c.Write([]byte("first: draws the reset"), nil)
		for c.(*conn).errno == 0 {
			c.Write([]byte("more"), []byte("of it"))
		}
		if c.Buffered() != 0 || len(r.close) != 0 {
			t.Error("a broken connection keeps output, or told from within Write")
		}
		c.(*conn).paused = false
	})
	r.expect(t, "413")
	got := await(t, "OnClose", r.close)
	if !errors.Is(got, syscall.EPIPE) && !errors.Is(got, syscall.ECONNRESET) {
		t.Fatalf("OnClose(%v)", got)
	}
}

// TestStaleEvents: events of one batch for a connection that was closed by an
// earlier one, whose number another connection has by now.
func TestStaleEvents(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	r, c, _ := accepted(t, d, nil)
	q, other, peer := accepted(t, d, nil)
	l := d.loops[0]
	on(t, l, func() {
		old := *c.(*conn)
		c.Abort()
		heir := other.(*conn)
		// other takes over the number of c.
		former := heir.id
		heir.id = l.table.add(heir)
		l.table.remove(former)
		if heir.id != old.id {
			t.Error("the number was not used again")
		}
		if e := epollControl(l.epoll, unix.EPOLL_CTL_MOD, heir.fd, unix.EPOLLIN|unix.EPOLLET, heir.id, heir.generation); e != 0 {
			t.Error(e)
		}
		l.events[0] = unix.EpollEvent{Fd: old.id, Pad: old.generation, Events: unix.EPOLLIN | unix.EPOLLERR | unix.EPOLLHUP}
		l.at, l.got = 0, 1
		l.handleEvents()
		if heir.hungUp || heir.phase != open {
			t.Error("an event of the old connection reached the new one")
		}
	})
	if len(r.close) != 0 {
		t.Fatal("OnClose after Abort")
	}
	_, _ = peer.Write([]byte("fine"))
	q.expect(t, "fine")
}

// TestCloseInSameBatch: two connections are readable at once; whichever is
// handled first ends the other, which must then hear nothing.
func TestCloseInSameBatch(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	told := make(chan string, 8)
	var pair []wire.Conn
	both := make(chan struct{}, 2)
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		c.SetHandler(&script{
			c: c,
			data: func(s *script, b []byte) {
				told <- string(b)
				for _, other := range pair {
					if other != s.c {
						other.Abort()
					}
				}
			},
			closed: func(_ *script, err error) { told <- err.Error() },
		})
		pair = append(pair, c)
		both <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := client(t, l), client(t, l)
	await(t, "accept", both)
	await(t, "accept", both)
	on(t, d.loops[0], func() { // the loop is held until both have sent
		_, _ = a.Write([]byte("one"))
		_, _ = b.Write([]byte("one"))
	})
	if got := await(t, "data", told); got != "one" {
		t.Fatalf("told %q", got)
	}
	on(t, d.loops[0], func() {})
	on(t, d.loops[0], func() {})
	if len(told) != 0 {
		t.Fatalf("the aborted connection was told %q", <-told)
	}
}

func TestPeerAddresses(t *testing.T) {
	t.Parallel()
	_, c, peer := accepted(t, start(t, 1), nil)
	on(t, c.Loop(), func() {
		if got, want := c.Peer().Remote.String(), peer.LocalAddr().String(); got != want {
			t.Errorf("remote %s, want %s", got, want)
		}
		if got, want := c.Peer().Local.String(), peer.RemoteAddr().String(); got != want {
			t.Errorf("local %s, want %s", got, want)
		}
		delay, err := unix.GetsockoptInt(int(c.(*conn).fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		if err != nil || delay == 0 {
			t.Errorf("TCP_NODELAY is %d, %v: not inherited", delay, err)
		}
	})
}

// TestFairness: a connection that floods does not starve another.
func TestFairness(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	l := listen(t, d, func() *script { return &script{} })
	flood := client(t, l)
	go func() {
		block := make([]byte, 1<<20)
		for {
			if _, err := flood.Write(block); err != nil {
				return
			}
		}
	}()
	c := client(t, listen(t, d, echo))
	for range 200 {
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
	}
	reset(flood)
}

// TestReadTurnEnds: what was left of a long input is read in later turns,
// without a new edge.
func TestReadTurnEnds(t *testing.T) {
	t.Parallel()
	total := 0
	all := make(chan int, 1)
	_, c, peer := accepted(t, start(t, 1), wire.Conn.Pause)
	const size = 1 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := peer.Write([]byte(strings.Repeat("x", size)))
		_ = peer.CloseWrite()
		sent <- err
	}()
	on(t, c.Loop(), func() {
		c.SetHandler(&script{
			data: func(_ *script, b []byte) { total += len(b) },
			eof:  func(*script) { all <- total; c.Close() },
		})
		c.Resume()
	})
	if got := await(t, "the end", all); got != size {
		t.Fatalf("read %d bytes, want %d", got, size)
	}
	if err := await(t, "the write", sent); err != nil {
		t.Fatal(err)
	}
}
