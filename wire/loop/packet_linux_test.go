package loop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/wire"
)

// packets is a DatagramHandler made of functions.
type packets struct {
	c    wire.DatagramConn
	data func(p *packets, list []wire.Datagram)
	err  func(error)
}

func (p *packets) OnDatagrams(list []wire.Datagram) { p.data(p, list) }
func (p *packets) OnDatagramError(err error) {
	if p.err != nil {
		p.err(err)
	}
}

// echoing answers each message where it came from.
func echoing(t testing.TB, d *Driver, addr string) wire.DatagramListening {
	t.Helper()
	l, err := d.ListenDatagrams(netip.MustParseAddrPort(addr), func(c wire.DatagramConn) wire.DatagramHandler {
		return &packets{c: c, data: func(p *packets, list []wire.Datagram) { p.c.Send(list) }}
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dialUDP(t testing.TB, to string) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.UDPConn)
}

// TestDatagramsComeBack asks each address of the machine that a wildcard
// socket has: a dialled socket hears only from the one that it asked.
func TestDatagramsComeBack(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	for listening, asked := range map[string][]string{
		"127.0.0.1:0": {"127.0.0.1"},
		"0.0.0.0:0":   {"127.0.0.1", "127.0.0.2", "127.1.2.3"},
		"[::1]:0":     {"::1"},
		"[::]:0":      {"127.0.0.1", "127.0.0.3", "::1"},
	} {
		l := echoing(t, d, listening)
		for _, ip := range asked {
			for range 4 { // other ports: other loops
				c := dialUDP(t, net.JoinHostPort(ip, fmt.Sprint(l.Addr().Port())))
				for _, text := range []string{"hello", "", strings.Repeat("x", 60_000)} {
					if _, err := c.Write([]byte(text)); err != nil {
						t.Fatal(err)
					}
					b := make([]byte, 65536)
					n, err := c.Read(b)
					if err != nil || string(b[:n]) != text {
						t.Errorf("%s at %s: %d bytes of %d, %v", ip, listening, n, len(text), err)
					}
				}
			}
		}
		l.Close()
		c := dialUDP(t, net.JoinHostPort(asked[0], fmt.Sprint(l.Addr().Port())))
		if _, err := c.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after Close of %s: %v", listening, err)
		}
	}
}

// TestDatagramsOfABurst sends more at once than a batch holds.
func TestDatagramsOfABurst(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	l := echoing(t, d, "127.0.0.1:0")
	got := make(chan string, 5*batchMost)
	var c wire.DatagramConn
	on(t, d.loops[0], func() {
		var err error
		c, err = d.DialDatagrams(d.loops[0], l.Addr(), &packets{data: func(_ *packets, list []wire.Datagram) {
			for _, m := range list {
				got <- string(m.Data)
			}
		}})
		if err != nil {
			t.Error(err)
			return
		}
		var list []wire.Datagram
		for i := range cap(got) {
			list = append(list, wire.Datagram{Data: fmt.Append(nil, "message ", i)})
		}
		if n := c.Send(list); n != len(list) {
			t.Errorf("%d sent of %d", n, len(list))
		}
	})
	for i := range cap(got) {
		if m := await(t, "an answer", got); m != fmt.Sprint("message ", i) {
			t.Errorf("%q as the %dth", m, i)
		}
	}
	on(t, d.loops[0], func() {
		c.Close()
		c.Close()
		if n := c.Send([]wire.Datagram{{}}); n != 0 {
			t.Error("sent after Close")
		}
	})
}

// TestDatagramsToNobody: the network says so, and the socket lives on.
func TestDatagramsToNobody(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	addr := freeport.HoldOn(t, "127.0.0.1")
	told := make(chan error, 1)
	on(t, d.loops[0], func() {
		c, err := d.DialDatagrams(d.loops[0], addr, &packets{err: func(err error) { told <- err }})
		if err != nil {
			t.Error(err)
			return
		}
		c.Send([]wire.Datagram{{Data: []byte("?")}, {Data: make([]byte, 70_000)}})
	})
	if err := await(t, "the refusal", told); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

func TestListenDatagramsFails(t *testing.T) {
	t.Parallel()
	d := start(t, 1)
	l := echoing(t, d, "127.0.0.1:0")
	open := func(wire.DatagramConn) wire.DatagramHandler { t.Error("opened"); return nil }
	if _, err := d.ListenDatagrams(l.Addr(), open); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("twice: %v", err)
	}
	if _, err := d.ListenDatagrams(netip.MustParseAddrPort("192.0.2.1:0"), open); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address of somebody else: %v", err)
	}
	if _, err := d.ListenDatagrams(netip.AddrPort{}, open); err == nil {
		t.Error("no address")
	}
	d.Close()
	if _, err := d.ListenDatagrams(loopback, open); !errors.Is(err, errDriverClosed) {
		t.Errorf("a closed driver: %v", err)
	}
	l.Close() // says and does nothing
}

// TestDatagramsDoNotAllocate is not parallel: it counts the allocations of the
// whole process.
func TestDatagramsDoNotAllocate(t *testing.T) {
	d := start(t, 1)
	l := echoing(t, d, "[::]:0")
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(l.Addr().Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	p := &pinger{fd: fd, out: make([]byte, 100), in: make([]byte, 100)}
	for range 100 {
		p.ping(t)
	}
	const rounds = 500
	fewest := uint64(rounds)
	for range 5 { // the runtime's own goroutines allocate now and then
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			p.ping(t)
		}
		runtime.ReadMemStats(&after)
		fewest = min(fewest, after.Mallocs-before.Mallocs)
	}
	if fewest >= rounds/10 {
		t.Errorf("%d allocations for %d messages", fewest, rounds)
	}
}
