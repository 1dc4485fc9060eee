package loop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// TestSpread: few long-lived connections come to lie evenly, whatever the
// kernel's hash says.
func TestSpread(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	for _, n := range []int{2, 4, 10} {
		var count [2]int
		var mu sync.Mutex
		met := make(chan struct{}, n)
		l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
			c.SetHandler(&script{})
			mu.Lock()
			count[c.Loop().Index()]++
			mu.Unlock()
			met <- struct{}{}
		})
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			client(t, l)
			await(t, "accept", met)
		}
		if apart := max(count[0], count[1]) - min(count[0], count[1]); apart > max(1, n/5) {
			t.Errorf("%d connections were spread %v", n, count)
		}
		if l.Conns() != n {
			t.Errorf("Conns is %d, want %d", l.Conns(), n)
		}
	}
}

func TestMaxConns(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	over := make(chan bool, 8)
	l, err := d.Listen(loopback, wire.ListenOptions{MaxConns: 1}, func(c wire.Conn, o bool) {
		over <- o
		c.SetHandler(echo())
		if o {
			c.Write([]byte("full"), nil)
			c.Close()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	first := client(t, l)
	if await(t, "accept", over) {
		t.Error("the first connection was over")
	}
	second := client(t, l)
	if !await(t, "accept", over) {
		t.Error("the second connection was not over")
	}
	if got, err := io.ReadAll(second); err != nil || string(got) != "full" {
		t.Errorf("the second read %q, %v", got, err)
	}
	l.SetOptions(wire.ListenOptions{MaxConns: 2})
	client(t, l)
	if await(t, "accept", over) {
		t.Error("the bound was not replaced")
	}
	reset(first)
	for l.Conns() != 1 {
		on(t, d.loops[0], func() {})
	}
}

// TestListenAddresses: wildcard and dual stack; an IPv4 client of "::" is
// known by its IPv4 address.
func TestListenAddresses(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	for _, k := range []struct{ listen, dial, network string }{
		{"0.0.0.0:0", "127.0.0.1", "tcp4"},
		{"[::]:0", "127.0.0.1", "tcp4"},
		{"[::]:0", "::1", "tcp6"},
		{"[::1]:0", "::1", "tcp6"},
	} {
		peers := make(chan wire.Peer, 1)
		l, err := d.Listen(netip.MustParseAddrPort(k.listen), wire.ListenOptions{}, func(c wire.Conn, _ bool) {
			peers <- *c.Peer()
			c.Close()
		})
		if err != nil {
			if strings.Contains(k.listen, "::") {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		to := netip.AddrPortFrom(netip.MustParseAddr(k.dial), l.Addr().Port()).String()
		c, err := net.Dial(k.network, to)
		if err != nil {
			t.Fatal(err)
		}
		p := await(t, "accept", peers)
		if p.Remote.String() != c.LocalAddr().String() || p.Local.String() != to {
			t.Errorf("listening on %s, dialling %s: peer is %v", k.listen, to, p)
		}
		_ = c.Close()
	}
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, addr := range []netip.AddrPort{taken.Addr().(*net.TCPAddr).AddrPort(), netip.MustParseAddrPort("192.0.2.1:80"), {}} {
		_, err := d.Listen(addr, wire.ListenOptions{}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "listen "+addr.String()+": ") {
			t.Errorf("listening on %v: %v", addr, err)
		}
	}
}

// A second driver stands for a second process: it must not get half of the
// first one's connections.
func TestListenTwice(t *testing.T) {
	first, err := New(Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := New(Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	refuse := func(c wire.Conn, _ bool) { c.Abort() }
	open, err := first.Listen(loopback, wire.ListenOptions{}, refuse)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Listen(open.Addr(), wire.ListenOptions{}, refuse); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("a second listener: error %v, want %v", err, syscall.EADDRINUSE)
	}
	open.Close()
	again, err := second.Listen(open.Addr(), wire.ListenOptions{}, refuse)
	if err != nil {
		t.Fatalf("after the first closed: %v", err)
	}
	again.Close()
}

// TestListeningCloseServesTheQueue: what the kernel accepted is served, also
// when a loop itself closes.
func TestListeningCloseServesTheQueue(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	l := listen(t, d, echo)
	var clients []*net.TCPConn
	on(t, d.loops[0], func() { // one loop is held, so its queue fills
		for range 16 {
			clients = append(clients, client(t, l))
		}
		l.Close()
	})
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("still listening")
	}
	for i, c := range clients {
		_, _ = c.Write([]byte("hi"))
		got := make([]byte, 2)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Errorf("client %d of %d: %v", i, len(clients), err)
		}
	}
	l.Close()
}

// TestListeningCloseWhileAccepting races the two.
func TestListeningCloseWhileAccepting(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	for range 20 {
		l := listen(t, d, echo)
		var dialling sync.WaitGroup
		for range 4 {
			dialling.Go(func() {
				for {
					c, err := net.Dial("tcp", l.Addr().String())
					if err != nil {
						return
					}
					_ = c.Close()
				}
			})
		}
		client(t, l)
		l.Close()
		dialling.Wait()
	}
}

// TestNoHandlerSet: such a connection is not kept.
func TestNoHandlerSet(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(wire.Conn, bool) {})
	if err != nil {
		t.Fatal(err)
	}
	if !isReset(l) {
		t.Error("the connection was not reset")
	}
}

// lines is a slog.Handler that gives each message to a channel.
type lines chan string

func (l lines) Enabled(context.Context, slog.Level) bool      { return true }
func (l lines) Handle(_ context.Context, r slog.Record) error { l <- r.Message; return nil }
func (l lines) WithAttrs([]slog.Attr) slog.Handler            { return l }
func (l lines) WithGroup(string) slog.Handler                 { return l }

// TestOutOfDescriptors is not parallel: it takes the descriptors of the whole
// process.
func TestOutOfDescriptors(t *testing.T) {
	noted := make(lines, 64)
	d, err := New(Options{Loops: 1, Log: slog.New(noted)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l := listen(t, d, echo)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 1, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) //nolint:errcheck // the same as before
	to := &unix.SockaddrInet4{Port: int(l.Addr().Port()), Addr: l.Addr().Addr().As4()}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	if got := await(t, "the log", noted); got != "cannot accept connections" {
		t.Errorf("logged %q", got)
	}
	// Two rests later it has not been reported more often than it should.
	rests := make(chan struct{})
	timer := wire.Timer{Handler: alarm(func(*wire.Timer) { close(rests) })}
	on(t, d.loops[0], func() { d.loops[0].Arm(&timer, 2*acceptRest) })
	await(t, "two rests", rests)
	if s := figures(t, d, 0); s.Events > 50 {
		t.Errorf("%d events: the loop spins", s.Events)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience / time.Second)}); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Write(fd, []byte("late")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 8)
	if n, err := syscall.Read(fd, got); err != nil || string(got[:n]) != "late" {
		t.Errorf("after the rest: %q, %v", got[:n], err)
	}
	if len(noted) > 1 {
		t.Errorf("%d more lines were logged", len(noted))
	}
}
