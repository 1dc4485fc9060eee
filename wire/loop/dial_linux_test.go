package loop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/wire"
)

// dial starts a connection on the loop, and does more within the same post.
func dial(t *testing.T, d *Driver, to netip.AddrPort, more func(c wire.Conn)) (*recorder, wire.Conn) {
	t.Helper()
	r := newRecorder()
	on(t, d.loops[0], func() {
		r.c = d.loops[0].Dial(to, &r.script)
		if more != nil {
			more(r.c)
		}
		if len(r.events)+len(r.close) != 0 {
			t.Error("told from within Dial")
		}
	})
	return r, r.c
}

// TestDial: what is written before the connection stands is sent in order,
// after OnOpen, before what OnOpen's successors write.
func TestDial(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		there, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s is not to be had here: %v", address, err)
			continue
		}
		to := there.Addr().(*net.TCPAddr).AddrPort()
		d := start(t, 1)
		r, c := dial(t, d, to, func(c wire.Conn) {
			c.Write([]byte("GET "), []byte("/"))
			c.Write([]byte(" now"), nil)
			if c.Buffered() != 9 {
				t.Errorf("%d bytes wait for the connection", c.Buffered())
			}
			c.CloseWrite()
		})
		peer, err := there.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(peer); err != nil || string(got) != "GET / now" {
			t.Fatalf("peer read %q, %v", got, err)
		}
		r.expect(t, "open")
		_, _ = peer.Write([]byte("answer"))
		r.expect(t, "answer")
		_ = peer.Close()
		r.expect(t, "eof")
		on(t, d.loops[0], func() {
			if p := c.Peer(); p.Remote != to || p.Local.String() != peer.RemoteAddr().String() {
				t.Errorf("peer is %v", *p)
			}
			c.Close()
		})
		_ = there.Close()
	}
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	dead := deadAddress(t)
	for _, to := range []netip.AddrPort{dead, {}, netip.MustParseAddrPort("[fe80::1%nosuch]:80"), netip.MustParseAddrPort("255.255.255.255:80")} {
		r, c := dial(t, d, to, func(c wire.Conn) { c.Write([]byte("x"), nil) })
		err := await(t, "OnClose", r.close)
		var failed *wire.DialError
		var errno syscall.Errno
		if !errors.As(err, &failed) || failed.Addr != to || failed.TLS || !errors.As(failed.Err, &errno) {
			t.Errorf("dialling %v: OnClose(%#v), want a DialError with an errno", to, err)
		}
		if to == dead && errno != syscall.ECONNREFUSED {
			t.Errorf("dialling a dead address: %v", errno)
		}
		on(t, d.loops[0], func() { c.Write([]byte("x"), nil); c.Close() })
	}
	if s := figures(t, d, 0); s.Open != 0 || s.Buffered != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// TestDialForgotten: a handler that closed hears nothing, how ever the attempt
// would have ended.
func TestDialForgotten(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	alive := there.Addr().(*net.TCPAddr).AddrPort()
	for _, to := range []netip.AddrPort{alive, deadAddress(t), {}} {
		for _, end := range []func(wire.Conn){wire.Conn.Close, wire.Conn.Abort, wire.Conn.Finish} {
			r, _ := dial(t, d, to, end)
			on(t, d.loops[0], func() {})
			if s := figures(t, d, 0); s.Open != 0 || len(r.events)+len(r.close) != 0 {
				t.Fatalf("dialling %v: %d open, handler told", to, s.Open)
			}
		}
	}
}

// TestDialCloseSends: Close before the connection stands still sends.
func TestDialCloseSends(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	r, _ := dial(t, d, there.Addr().(*net.TCPAddr).AddrPort(), func(c wire.Conn) {
		c.Write([]byte("note"), nil)
		c.Close()
	})
	peer, err := there.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(peer); err != nil || string(got) != "note" {
		t.Fatalf("peer read %q, %v", got, err)
	}
	if len(r.events)+len(r.close) != 0 {
		t.Fatal("told after Close")
	}
}

// TestManyDials: what one turn asks for beyond its share is begun in the next
// ones, in order, but for what is not wanted any more; and is told of when the
// loop ends before.
func TestManyDials(t *testing.T) {
	t.Parallel()
	const n = 5 * dialsPerTurn
	d := start(t, 1)
	there := listen(t, d, echo)
	nowhere := freeport.HoldOn(t, "127.0.0.1")
	to := netip.MustParseAddrPort(there.Addr().String())
	l := d.loops[0]
	all := make([]*recorder, n)
	on(t, l, func() {
		for i := range all {
			all[i] = newRecorder()
			if i%10 == 7 {
				all[i].c = l.Dial(nowhere, &all[i].script)
				continue
			}
			all[i].c = l.Dial(to, &all[i].script)
			all[i].c.Write([]byte("hello"), nil)
			if i%10 == 3 {
				all[i].c.Abort()
			}
		}
		if l.dials != n || len(l.undialled) != n-dialsPerTurn {
			t.Errorf("%d asked for, %d wait", l.dials, len(l.undialled))
		}
	})
	for i, r := range all {
		switch i % 10 {
		case 3:
		case 7:
			var e *wire.DialError
			if err := await(t, "refusal", r.close); !errors.As(err, &e) || e.Addr != nowhere {
				t.Errorf("%d: %v", i, err)
			}
		default:
			r.expect(t, "open")
			r.expect(t, "hello")
		}
	}
	for i, r := range all {
		if i%10 == 3 && len(r.events)+len(r.close) > 0 {
			t.Errorf("%d was told something after Abort", i)
		}
	}
	late := newRecorder()
	l.Post(func() {
		l.dials = dialsPerTurn
		late.c = l.Dial(to, &late.script)
		l.stopping = true
	})
	if err := await(t, "the end", late.close); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("the end of the loop: %v", err)
	}
}
