package capture

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
	"golang.org/x/sys/unix"
)

// serverCode is a server in Python on both families; it says "served" and who
// has called.
const serverCode = `
import socket,sys,threading
def serve(l):
    while True:
        c,a=l.accept(); c.recv(100); c.sendall(b"served"); c.close()
for f,h in ((socket.AF_INET,"127.0.0.1"),(socket.AF_INET6,"::1")):
    l=socket.socket(f); l.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); l.bind((h,int(sys.argv[1]))); l.listen(64)
    threading.Thread(target=serve,args=(l,)).start()
print("ready",flush=True)`

// workloadServer runs it in the cage.
func workloadServer(t testing.TB, p Place, port uint16) {
	t.Helper()
	cmd := exec.Command(pythonPath(t), "-c", serverCode, fmt.Sprint(port))
	out, _ := cmd.StdoutPipe()
	if err := p.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if b := make([]byte, 6); read(out, b) != "ready\n" {
		t.Fatalf("the server says %q", b)
	}
}

func read(r io.Reader, b []byte) string {
	n, _ := io.ReadFull(r, b)
	return string(b[:n])
}

// ask says what answers at addr; a mark is optional.
func ask(addr string, mark int) string {
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		if mark == 0 {
			return nil
		}
		var err error
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark) })
		return err
	}}
	c, err := d.DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(c, "x")
	all, _ := io.ReadAll(c)
	return string(all)
}

// driver runs loops for the test.
func driver(t testing.TB, mark uint32) *loop.Driver {
	t.Helper()
	d, err := loop.New(loop.Options{Loops: 2, Mark: mark, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// teller answers with the original destination that the loop has found.
type teller struct {
	wire.Deaf
	c wire.Conn
}

func (s *teller) OnData([]byte) {
	s.c.Write([]byte("original "+s.c.Peer().Original.String()), nil)
	s.c.Close()
}

func tell(t testing.TB, d *loop.Driver, addr string) wire.Listening {
	t.Helper()
	l, err := d.Listen(netip.MustParseAddrPort(addr), wire.ListenOptions{Captured: true}, func(c wire.Conn, _ bool) { c.SetHandler(&teller{c: c}) })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const askCode = `import socket,sys
s=socket.create_connection((sys.argv[1],int(sys.argv[2])),60); s.sendall(b"x"); b=b""
while True:
    p=s.recv(100)
    if not p: break
    b+=p
print(b.decode())`

// TestInbound: whoever connects to the workload's port gets to its proxy, but
// for the proxy and the workload.
func TestInbound(t *testing.T) {
	for _, mark := range []uint32{0, 0x6e61} {
		t.Run(fmt.Sprintf("mark %#x", mark), func(t *testing.T) {
			c := open(t, EBPF, mark)
			d := driver(t, mark)
			port := freeport.HoldOn(t, "127.0.0.1").Port()
			in4, in6 := tell(t, d, "127.0.0.1:0"), tell(t, d, "[::1]:0")
			k := catch(t, c, func(o *WorkloadOptions) { o.Ports = []uint16{port} })
			other, err := c.Workload(WorkloadOptions{Name: "other", Outbound: k.opt.Outbound})
			if err != nil {
				t.Fatal(err)
			}
			workloadServer(t, k.Place, port)
			outside := Place{Cgroup: c.does.(*programs).home}
			refused := func(when string) {
				t.Helper()
				if out, err := run(t, outside, pythonPath(t), "-IS", "-c", askCode, "127.0.0.1", fmt.Sprint(port)); err == nil || !strings.Contains(out, "ConnectionRefusedError") {
					t.Errorf("%s: %q, %v", when, out, err)
				}
			}
			refused("before there is a listener")
			k.opt.Inbound = []syscall.Conn{in4.(syscall.Conn), in6.(syscall.Conn)}
			if _, err := c.Workload(k.opt); err != nil {
				t.Fatal(err)
			}
			four, six := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("[::1]:%d", port)
			for _, who := range []struct {
				name  string
				place Place
				want4 string
				want6 string
			}{
				{"a stranger", outside, "original " + four, "original " + six},
				{"another workload", other.Place, "original " + four, "original " + six},
				{"the workload", k.Place, "served", "served"},
			} {
				t.Run(who.name, func(t *testing.T) {
					python(t, who.place, who.want4, askCode, "127.0.0.1", fmt.Sprint(port))
					python(t, who.place, who.want6, askCode, "::1", fmt.Sprint(port))
				})
			}
			for _, at := range []string{four, six} {
				if got := ask(at, int(mark)); got != "served" {
					t.Errorf("the proxy at %s: %q", at, got)
				}
				if got := ask(at, 0); mark != 0 && got != "original "+at {
					t.Errorf("the proxy without its mark at %s: %q", at, got)
				}
				if got := dialLoop(t, d, at); got != "served" {
					t.Errorf("the proxy's loop at %s: %q", at, got)
				}
			}
			if n := entries(t, c, "dials"); n != 0 {
				t.Errorf("%d dials are left of connections that stood", n)
			}
			// Without its proxy's listener the port is closed, not open.
			in4.Close()
			refused("without a listener")
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			python(t, outside, "served", askCode, "127.0.0.1", fmt.Sprint(port))
		})
	}
}

// dialLoop asks by a connection of a loop.
func dialLoop(t testing.TB, d *loop.Driver, addr string) string {
	t.Helper()
	h := &asker{done: make(chan string, 1)}
	l := d.Loops()[0]
	l.Post(func() {
		h.c = l.Dial(netip.MustParseAddrPort(addr), h)
		h.c.Write([]byte("x"), nil)
	})
	select {
	case s := <-h.done:
		return s
	case <-time.After(patience):
		return "nothing"
	}
}

type asker struct {
	wire.Deaf
	c    wire.Conn
	got  []byte
	done chan string
}

func (a *asker) OnData(b []byte) { a.got = append(a.got, b...) }
func (a *asker) OnEOF()          { a.c.Close(); a.done <- string(a.got) }
func (a *asker) OnClose(err error) {
	a.done <- string(a.got) + err.Error()
}

// TestLoopCaptured: wire/loop learns the original destination of captured
// connections, and of those made to it that there is none.
func TestLoopCaptured(t *testing.T) {
	c := open(t, EBPF, 0)
	d := driver(t, 0)
	out4, out6 := tell(t, d, "127.0.0.1:0"), tell(t, d, "[::1]:0")
	k := catch(t, c, func(o *WorkloadOptions) { o.Outbound, o.Outbound6 = out4.Addr(), out6.Addr() })
	python(t, k.Place, "original 192.0.2.1:80", askCode, "192.0.2.1", "80")
	python(t, k.Place, "original [2001:db8::1]:80", askCode, "2001:db8::1", "80")
	python(t, k.Place, "original invalid AddrPort", askCode, "127.0.0.1", fmt.Sprint(out4.Addr().Port()))
	python(t, k.Place, "original invalid AddrPort", askCode, "::1", fmt.Sprint(out6.Addr().Port()))
}

// TestPortTaken: one port, one workload.
func TestPortTaken(t *testing.T) {
	c := open(t, EBPF, 0)
	in := plain(t, "127.0.0.1:0").(*net.TCPListener)
	defer in.Close()
	port := freeport.HoldOn(t, "127.0.0.1").Port()
	door := plain(t, "127.0.0.1:0").(*net.TCPListener)
	defer door.Close()
	k := catch(t, c, func(o *WorkloadOptions) {
		o.Ports, o.Inbound = []uint16{port}, []syscall.Conn{in}
		o.Outbound, o.Outbound6, o.Doors = addressOf(door), netip.AddrPort{}, []syscall.Conn{door}
	})
	// What this one sends must not be another's.
	if at := addressOf(door).Port(); c.Taken(k.opt.Name, at) || !c.Taken("other", at) || c.Taken("other", addressOf(in).Port()) {
		t.Error("it is not known whose the door is")
	}
	_, err := c.Workload(WorkloadOptions{Name: "other", Outbound: addressOf(in), Ports: []uint16{port}, Inbound: []syscall.Conn{in}})
	want := fmt.Sprintf(`capture of workload "other": port %d is served by another workload of this machine`, port)
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
