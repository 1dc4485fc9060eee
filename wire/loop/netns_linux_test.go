package loop

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// elsewhere is a network namespace whose loopback is up, and somebody who
// listens there.
func elsewhere(t *testing.T) (ns *os.File, l net.Listener) {
	t.Helper()
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		if err == nil {
			var fd int
			if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err == nil {
				var lo *unix.Ifreq
				if lo, err = unix.NewIfreq("lo"); err == nil {
					lo.SetUint16(unix.IFF_UP)
					err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
				}
				unix.Close(fd)
			}
		}
		if err == nil {
			l, err = net.Listen("tcp", "127.0.0.1:0")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Skipf("network namespaces cannot be made here: %v", err)
	}
	t.Cleanup(func() { ns.Close(); l.Close() })
	return ns, l
}

// TestDialFrom: a connection is made from another network namespace, and the
// next one from the loop's own.
func TestDialFrom(t *testing.T) {
	t.Parallel()
	ns, there := elsewhere(t)
	d := start(t, 1)
	to := there.Addr().(*net.TCPAddr).AddrPort()
	from := func(netns int, to netip.AddrPort) *recorder {
		r := newRecorder()
		on(t, d.loops[0], func() { r.c = d.loops[0].DialFrom(netns, to, &r.script) })
		return r
	}
	for range 2 {
		r := from(int(ns.Fd()), to)
		peer, err := there.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r.expect(t, "open")
		peer.Close()
		r.expect(t, "eof")
	}
	refused := func(what string, r *recorder, want error) {
		t.Helper()
		var failed *wire.DialError
		if err := await(t, what, r.close); !errors.As(err, &failed) || !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("nobody there", from(int(ns.Fd()), netip.MustParseAddrPort("127.0.0.1:1")), syscall.ECONNREFUSED)
	refused("no namespace", from(-1, to), syscall.EBADF)
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	refused("not a namespace", from(int(file.Fd()), to), syscall.EINVAL)

	here, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	r, _ := dial(t, d, here.Addr().(*net.TCPAddr).AddrPort(), nil)
	if peer, err := here.Accept(); err != nil {
		t.Error(err)
	} else {
		r.expect(t, "open")
		peer.Close()
	}
}
