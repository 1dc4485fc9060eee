package capture

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
	"golang.org/x/sys/unix"
)

// TestSameNumber: a workload whose name was chosen to have another's number
// reaches nothing of that one, and takes nothing of it along.
func TestSameNumber(t *testing.T) {
	const name, forged = "shop/orders.1", "shop/other-yvfrix"
	if cageNumber(escape(name)) != cageNumber(escape(forged)) {
		t.Fatal("the names have different numbers")
	}
	scope := nextScope()
	reopenable(t, scope)
	c := reopen(t, scope, EBPF, 0)
	d := driver(t, 0)
	port := freeport.HoldOn(t, "127.0.0.1").Port()
	in4, in6 := tell(t, d, "127.0.0.1:0"), tell(t, d, "[::1]:0")
	k := catch(t, c, func(o *WorkloadOptions) {
		o.Ports, o.Inbound = []uint16{port}, []syscall.Conn{in4.(syscall.Conn), in6.(syscall.Conn)}
	})
	workloadServer(t, k.Place, port)
	other, err := c.Workload(WorkloadOptions{Name: forged, Outbound: k.opt.Outbound})
	if err != nil {
		t.Fatal(err)
	}
	original, own := fmt.Sprintf("original 127.0.0.1:%d", port), []string{"127.0.0.1", fmt.Sprint(port)}
	python(t, k.Place, "served", askCode, own...)
	python(t, other.Place, original, askCode, own...)
	if _, err := c.Workload(WorkloadOptions{Name: forged, Outbound: k.opt.Outbound, Ports: []uint16{port}}); err == nil {
		t.Error("it serves the other's port")
	}
	numbers := func(c *Capture) [2]uint32 {
		p := c.does.(*programs)
		a, _ := p.number(escape(name))
		b, _ := p.number(escape(forged))
		return [2]uint32{a, b}
	}
	had := numbers(c)
	if err := c.Leave(); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, scope, EBPF, 0)
	if other, err = c.Workload(WorkloadOptions{Name: forged, Outbound: k.opt.Outbound}); err != nil { // first, this time
		t.Fatal(err)
	}
	if k.Cage, err = c.Workload(k.opt); err != nil {
		t.Fatal(err)
	}
	if has := numbers(c); had[0] == 0 || had[0] == had[1] || has != had {
		t.Errorf("numbers %v, and then %v", had, has)
	}
	python(t, other.Place, original, askCode, own...)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	python(t, Place{Cgroup: c.does.(*programs).home}, original, askCode, own...)
	python(t, k.Place, "served", askCode, own...)
}

// busyCode is a server that takes no more connections.
const busyCode = `
import socket,sys,time
l=socket.socket(); l.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); l.bind(("0.0.0.0",int(sys.argv[1]))); l.listen(0)
c=socket.create_connection(l.getsockname())
print("ready",flush=True); time.sleep(60)`

// TestSameSource: while a connection of the proxy waits for a workload, nobody
// gets in with its source address by another address of the workload.
func TestSameSource(t *testing.T) {
	const mark = 0x6e61
	c := open(t, EBPF, mark)
	d := driver(t, mark)
	port := freeport.HoldOn(t, "127.0.0.1").Port()
	in4 := tell(t, d, "127.0.0.1:0")
	k := catch(t, c, func(o *WorkloadOptions) { o.Ports, o.Inbound = []uint16{port}, []syscall.Conn{in4.(syscall.Conn)} })
	cmd := exec.Command(pythonPath(t), "-c", busyCode, fmt.Sprint(port))
	out, _ := cmd.StdoutPipe()
	if err := k.Place.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if b := make([]byte, 6); read(out, b) != "ready\n" {
		t.Fatalf("the server says %q", b)
	}
	// dial begins a connection from a port of 127.0.0.1.
	dial := func(from int, to [4]byte, mark int) (fd, source int, err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			t.Fatal(err)
		}
		if mark != 0 {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: from}); err != nil {
			t.Fatal(err)
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to, Port: int(port)})
		at, _ := unix.Getsockname(fd)
		return fd, at.(*unix.SockaddrInet4).Port, err
	}
	_, source, err := dial(0, [4]byte{127, 0, 0, 1}, mark)
	if err != unix.EINPROGRESS {
		t.Fatalf("the workload takes a connection: %v", err)
	}
	fd, _, err := dial(source, [4]byte{127, 0, 0, 2}, 0)
	if err == unix.EINPROGRESS {
		wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		_, err = unix.Poll(wait, int(patience/time.Millisecond))
	}
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	if _, err := unix.Write(fd, []byte("x")); err != nil {
		t.Fatalf("it waits for the workload, not for its proxy: %v", err)
	}
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := unix.Read(fd, got)
	if want := fmt.Sprintf("original 127.0.0.2:%d", port); err != nil || string(got[:max(n, 0)]) != want {
		t.Errorf("%q, %v, not %q", got[:max(n, 0)], err, want)
	}
}
