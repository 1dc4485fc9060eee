package loop

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// peers listens at addr and gives the peers of what comes.
func peers(t *testing.T, d *Driver, addr string, captured bool) (wire.Listening, <-chan wire.Peer) {
	t.Helper()
	ch := make(chan wire.Peer, 16)
	l, err := d.Listen(netip.MustParseAddrPort(addr), wire.ListenOptions{Captured: captured}, func(c wire.Conn, _ bool) {
		ch <- *c.Peer()
		c.SetHandler(wire.Deaf{})
	})
	if err != nil {
		t.Skipf("%s is not to be had here: %v", addr, err)
	}
	return l, ch
}

// TestOriginalOfDirect: a connection that was made to the port itself has no
// original destination. Package capture tests those that have one.
func TestOriginalOfDirect(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		l, ch := peers(t, d, addr, true)
		at := l.Addr()
		for _, to := range []string{"127.0.0.1", "::1"} {
			ip := netip.MustParseAddr(to)
			if at.Addr().IsUnspecified() && at.Addr().Is4() != ip.Is4() && at.Addr().Is4() || !at.Addr().IsUnspecified() && at.Addr() != ip {
				continue
			}
			c, err := net.Dial("tcp", netip.AddrPortFrom(ip, at.Port()).String())
			if err != nil {
				t.Fatal(err)
			}
			p := await(t, "accept", ch)
			c.Close()
			if p.Original.IsValid() || p.Local != netip.AddrPortFrom(ip, at.Port()) {
				t.Errorf("%s by %s: original %v, local %v", addr, to, p.Original, p.Local)
			}
		}
	}
}

// TestOriginalOfTransparent: a socket that takes connections for other
// addresses, as sk_lookup and TPROXY have it, tells them by its local address.
func TestOriginalOfTransparent(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	at, other := freeport.HoldOn(t, "127.0.0.1"), freeport.HoldOn(t, "127.0.0.1").String()
	elsewhere := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at.Port()).String()
	for _, c := range []struct{ local, want string }{
		{at.String(), "invalid AddrPort"},
		{other, other},
		{elsewhere, elsewhere},
	} {
		// A connected pair whose near end has the local address.
		there, err := net.Listen("tcp", c.local)
		if err != nil {
			t.Skip(err)
		}
		out, err := net.Dial("tcp", c.local)
		if err != nil {
			t.Fatal(err)
		}
		in, err := there.Accept()
		if err != nil {
			t.Fatal(err)
		}
		f, err := in.(*net.TCPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		made := &conn{loop: d.loops[0], fd: int32(f.Fd())}
		made.peer.Remote = out.LocalAddr().(*net.TCPAddr).AddrPort()
		made.original(at)
		if got := made.peer.Original.String(); got != c.want {
			t.Errorf("local %s: original %s, want %s", c.local, got, c.want)
		}
		f.Close()
		in.Close()
		out.Close()
		there.Close()
	}
}

// TestOriginalAllocates nothing.
func TestOriginalAllocates(t *testing.T) {
	d := start(t, 1)
	l, _ := peers(t, d, "127.0.0.1:0", false)
	c := client(t, l)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		made := &conn{loop: d.loops[0], fd: int32(fd)}
		made.peer.Remote = c.RemoteAddr().(*net.TCPAddr).AddrPort()
		if n := testing.AllocsPerRun(100, func() { made.original(l.Addr()) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMark: dialled sockets have the driver's mark, or the one of the call; who
// may not set it does not connect.
func TestMark(t *testing.T) {
	t.Parallel()
	d, err := New(Options{Loops: 1, Mark: 0x6e61})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	l := listen(t, start(t, 1), echo)
	allowed := os.Geteuid() == 0
	for _, want := range []int{0x6e61, 0x6e62, 0} {
		r := newRecorder()
		on(t, d.loops[0], func() {
			if want == 0x6e61 {
				r.c = d.loops[0].Dial(l.Addr(), &r.script)
			} else {
				r.c = d.loops[0].DialMarked(l.Addr(), uint32(want), &r.script)
			}
		})
		if !allowed && want != 0 {
			var dial *wire.DialError
			if err := await(t, "a refusal", r.close); !errors.As(err, &dial) || !errors.Is(err, syscall.EPERM) {
				t.Errorf("mark %#x: %v", want, err)
			}
			continue
		}
		r.expect(t, "open")
		on(t, d.loops[0], func() {
			got, err := unix.GetsockoptInt(int(r.c.(*conn).fd), unix.SOL_SOCKET, unix.SO_MARK)
			if err != nil || got != want {
				t.Errorf("mark %#x, %v; want %#x", got, err, want)
			}
			r.c.Abort()
		})
	}
}

// TestSyscallConn: a listening names its socket until it is closed.
func TestSyscallConn(t *testing.T) {
	t.Parallel()
	l := listen(t, start(t, 2), echo)
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	listens := 0
	err = raw.Control(func(fd uintptr) { listens, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN) })
	if err != nil || listens != 1 {
		t.Errorf("listening %d, %v", listens, err)
	}
	l.Close()
	if err := raw.Control(func(uintptr) { t.Error("a closed socket was shown") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
