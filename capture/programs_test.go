package capture

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/test/freeport"
)

// caught is a workload whose proxy is two acceptors of the test.
type caught struct {
	*Cage
	opt       WorkloadOptions
	four, six *acceptor
}

func catch(t testing.TB, c *Capture, change func(*WorkloadOptions)) *caught {
	t.Helper()
	k := &caught{four: accept(t, plain(t, "127.0.0.1:0")), six: accept(t, plain(t, "[::1]:0"))}
	k.opt = WorkloadOptions{Name: "shop/orders.1", Outbound: addressOf(k.four), Outbound6: addressOf(k.six)}
	if change != nil {
		change(&k.opt)
	}
	var err error
	if k.Cage, err = c.Workload(k.opt); err != nil {
		t.Fatal(err)
	}
	return k
}

// TestPrograms: programs that know nothing of it, in several languages.
func TestPrograms(t *testing.T) {
	k := catch(t, open(t, EBPF, 0), nil)
	t.Run("curl", func(t *testing.T) {
		says(t, k.Place, "192.0.2.77:80", "curl", "-sS", "-m", "60", "http://192.0.2.77/")
		says(t, k.Place, "[2001:db8::77]:8080", "curl", "-sS", "-m", "60", "http://[2001:db8::77]:8080/")
	})
	t.Run("python", func(t *testing.T) {
		const code = `import sys,urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())`
		python(t, k.Place, "192.0.2.78:81", code, "http://192.0.2.78:81/")
		python(t, k.Place, "[2001:db8::78]:81", code, "http://[2001:db8::78]:81/")
	})
	t.Run("node", func(t *testing.T) {
		const code = `require("http").get(process.argv[1],{agent:false},r=>r.on("data",d=>console.log(String(d))))`
		says(t, k.Place, "192.0.2.79:82", "node", "-e", code, "http://192.0.2.79:82/")
		says(t, k.Place, "[2001:db8::79]:82", "node", "-e", code, "http://[2001:db8::79]:82/")
	})
	t.Run("go", func(t *testing.T) {
		self, _ := os.Executable()
		says(t, k.Place, "192.0.2.80:83", "env", "NARU_CAPTURE_TEST=get", self, "192.0.2.80:83")
		says(t, k.Place, "[2001:db8::80]:83", "env", "NARU_CAPTURE_TEST=get", self, "[2001:db8::80]:83")
	})
	t.Run("child of a child", func(t *testing.T) {
		says(t, k.Place, "192.0.2.81:84", "sh", "-c", "sh -c 'curl -sS -m 60 http://192.0.2.81:84/'; true")
	})
}

// socketTests is a library for the scripts: what() sends a byte and gives what
// the acceptor says.
const socketTests = `
import socket,sys,errno,select
def what(s):
    s.settimeout(60); s.sendall(b"x"); b=b""
    while True:
        p=s.recv(4096)
        if not p: break
        b+=p
    return b.split(b"\r\n\r\n")[1].decode()
def way(family,host,port,mark=0):
    s=socket.socket(family)
    if mark: s.setsockopt(socket.SOL_SOCKET,36,mark)
    # From the loopback nothing else is reached: no packet leaves the machine.
    s.bind(({socket.AF_INET:"127.0.0.1"}.get(family) or ("::ffff:127.0.0.1" if "." in host else "::1"),0))
    try: s.connect((host,port)); return "captured"
    except OSError: return "direct"
def fails(f):
    try: f(); return "no error"
    except OSError as e: return errno.errorcode[e.errno]
`

func TestSockets(t *testing.T) {
	k := catch(t, open(t, EBPF, 0), func(o *WorkloadOptions) {
		o.Mark = 0x6e61
		o.ExcludePorts = []uint16{9}
		o.Exclude = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25"), netip.MustParsePrefix("2001:db8:2::/47")}
		o.RefuseQUIC = true
	})
	local := accept(t, plain(t, "127.0.0.1:0"))
	port := fmt.Sprint(addressOf(local).Port())
	cases := []struct{ name, want, code string }{
		{"getpeername", "('192.0.2.1', 80)", `s=socket.create_connection(("192.0.2.1",80)); print(s.getpeername())`},
		{"getpeername of IPv6", "('2001:db8::1', 80, 0, 0)", `s=socket.create_connection(("2001:db8::1",80)); print(s.getpeername())`},
		{"IPv4 by an IPv6 socket", "192.0.2.2:80 ::ffff:192.0.2.2", `s=socket.socket(socket.AF_INET6); s.connect(("::ffff:192.0.2.2",80)); n=s.getpeername()[0]; print(what(s),n)`},
		{"not blocking", "192.0.2.3:80", `s=socket.socket(); s.setblocking(False); s.connect_ex(("192.0.2.3",80)); select.select([],[s],[],60); print(what(s))`},
		{"a bound source", "192.0.2.4:80", `s=socket.socket(); s.bind(("127.0.0.1",0)); s.connect(("192.0.2.4",80)); print(what(s))`},
		{"TCP fast open", "192.0.2.5:80", `s=socket.socket(); s.sendto(b"y",socket.MSG_FASTOPEN,("192.0.2.5",80)); print(what(s))`},
		{"MPTCP", "192.0.2.6:80", `s=socket.socket(socket.AF_INET,socket.SOCK_STREAM,262); s.connect(("192.0.2.6",80)); print(what(s))`},
		{"loopback", "none ('127.0.0.1', PORT)", `s=socket.create_connection(("127.0.0.1",PORT)); n=s.getpeername(); print(what(s),n)`},
		{"loopback after a capture", "none", `
import ctypes,struct
s=socket.socket(); s.connect(("192.0.2.7",80)); s.shutdown(2)
ctypes.CDLL(None).connect(s.fileno(),struct.pack("=H14x",0),16) # AF_UNSPEC: not connected any more
s.connect(("127.0.0.1",PORT)); print(what(s))`},
		{"the proxy's own port", "none", `s=socket.create_connection(("127.0.0.1",PROXY)); print(what(s))`},
		{"excluded network", "direct", `print(way(socket.AF_INET,"198.51.100.9",80))`},
		{"beside the excluded network", "captured", `print(way(socket.AF_INET,"198.51.100.128",80))`},
		{"excluded network of IPv6", "direct", `print(way(socket.AF_INET6,"2001:db8:3::1",80))`},
		{"beside the excluded network of IPv6", "captured", `print(way(socket.AF_INET6,"2001:db8:4::1",80))`},
		{"excluded network by an IPv6 socket", "direct", `print(way(socket.AF_INET6,"::ffff:198.51.100.9",80))`},
		{"excluded port", "direct", `print(way(socket.AF_INET,"192.0.2.9",9))`},
		{"mark", "direct", `print(way(socket.AF_INET,"192.0.2.9",80,0x6e61))`},
		{"another mark", "captured", `print(way(socket.AF_INET,"192.0.2.9",80,0x6e62))`},
		{"QUIC", "EPERM EPERM", `r=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); print(fails(lambda: r.sendto(b"x",("192.0.2.9",443))), fails(lambda: r.connect(("192.0.2.9",443))))`},
		{"200 that connect, send and close at once", "200", `
n=0
for i in range(200):
    s=socket.create_connection(("192.0.2.10",1000+i)); n+=what(s)=="192.0.2.10:%d"%(1000+i); s.close()
print(n)`},
	}
	// One interpreter for all: starting it takes longer than what it does.
	var codes []string
	for _, c := range cases {
		codes = append(codes, strings.NewReplacer("PORT", port, "PROXY", fmt.Sprint(k.opt.Outbound.Port())).Replace(c.code))
	}
	text, _ := json.Marshal(codes)
	out, err := run(t, k.Place, pythonPath(t), "-IS", "-c", socketTests+`
import json,traceback
for code in json.loads(sys.argv[1]):
    try: exec(code,globals())
    except Exception: print(traceback.format_exc().splitlines()[-1])`, string(text))
	got := strings.Split(out, "\n")
	if err != nil || len(got) != len(cases) {
		t.Fatalf("%d lines for %d cases: %q, %v", len(got), len(cases), out, err)
	}
	for i, c := range cases {
		if want := strings.ReplaceAll(c.want, "PORT", port); got[i] != want {
			t.Errorf("%s: %s, want %s", c.name, got[i], want)
		}
	}
}

// TestOneFamily: without a listener for a family nothing of it passes.
func TestOneFamily(t *testing.T) {
	k := catch(t, open(t, EBPF, 0), func(o *WorkloadOptions) { o.Outbound6 = netip.AddrPort{} })
	python(t, k.Place, "EPERM", socketTests+`print(fails(lambda: socket.create_connection(("2001:db8::1",80),60)))`)
	says(t, k.Place, "192.0.2.77:80", "curl", "-sS", "-m", "60", "http://192.0.2.77/")
}

// TestDirect: what is not in the cage is not captured, and is nobody's when it
// connects to the proxy's port.
func TestDirect(t *testing.T) {
	k := catch(t, open(t, EBPF, 0), nil)
	says(t, Place{}, "none", "curl", "-sS", "-m", "60", "http://"+k.opt.Outbound.String())
	says(t, Place{}, "none", "curl", "-sS", "-m", "60", "http://"+k.opt.Outbound6.String())
}

// TestReplace: options change while a process lives.
func TestReplace(t *testing.T) {
	c := open(t, EBPF, 0)
	k := catch(t, c, nil)
	other := accept(t, plain(t, "127.0.0.1:0"))
	k.opt.Outbound = addressOf(other)
	k.opt.DNS = addressOf(other)
	if _, err := c.Workload(k.opt); err != nil {
		t.Fatal(err)
	}
	says(t, k.Place, "192.0.2.77:80", "curl", "-sS", "-m", "60", "http://192.0.2.77/")
	if n := other.accepted.Load(); n != 1 {
		t.Errorf("the new listener accepted %d connections", n)
	}
	k.opt.DNS = netip.AddrPort{}
	if _, err := c.Workload(k.opt); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(c.does.(*programs).folder(escape(k.opt.Name)), "receive*"))
	if len(left) != 0 {
		t.Errorf("%v stand for DNS that is not captured any more", left)
	}
}

// proxyProcess is the test binary as a proxy that can be killed.
type proxyProcess struct {
	cmd   *exec.Cmd
	place Place
	in    io.Closer
}

type proxyConfig struct {
	Scope     string
	Outbound  netip.AddrPort
	Outbound6 netip.AddrPort
	Port      uint16
}

func startProxy(t *testing.T, c proxyConfig) *proxyProcess {
	t.Helper()
	self, _ := os.Executable()
	text, _ := json.Marshal(c)
	p := &proxyProcess{cmd: exec.Command(self, string(text))}
	p.cmd.Env = append(os.Environ(), "NARU_CAPTURE_TEST=proxy")
	p.cmd.Stderr = os.Stderr
	in, _ := p.cmd.StdinPipe()
	out, _ := p.cmd.StdoutPipe()
	p.in = in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- s
	}()
	select {
	case s := <-line:
		if err := json.Unmarshal([]byte(s), &p.place); err != nil {
			t.Fatalf("the proxy says %q", s)
		}
	case <-time.After(patience):
		t.Fatal("the proxy does not start")
	}
	return p
}

// proxyMain is that process. It stops in order when its input ends.
func proxyMain() error {
	var c proxyConfig
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		return err
	}
	k, err := Open(Options{Method: EBPF, Scope: c.Scope})
	if err != nil {
		return err
	}
	t := &testing.T{} // for accept: it only registers cleanups
	doors := []syscall.Conn{}
	for _, at := range []netip.AddrPort{c.Outbound, c.Outbound6} {
		l := plain(t, at.String()).(*net.TCPListener)
		accept(t, l)
		doors = append(doors, l)
	}
	in := plain(t, "127.0.0.1:0").(*net.TCPListener)
	accept(t, in)
	w, err := k.Workload(WorkloadOptions{Name: "orders", Outbound: c.Outbound, Outbound6: c.Outbound6, Ports: []uint16{c.Port}, Inbound: []syscall.Conn{in}, Doors: doors})
	if err != nil {
		return err
	}
	text, _ := json.Marshal(w.Place)
	fmt.Println(string(text))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return k.Close()
}

// TestKilledProxy: a workload whose proxy is gone is refused, whether it
// connects or is connected to; a new proxy serves it, without its doing.
func TestKilledProxy(t *testing.T) {
	scope := nextScope()
	judge := reopenable(t, scope)
	c := proxyConfig{scope, freeport.HoldOn(t, "127.0.0.1"), freeport.HoldOn(t, "::1"), freeport.HoldOn(t, "127.0.0.1").Port()}
	first := startProxy(t, c)
	// A server in the cage that lives through it all.
	server := exec.Command(pythonPath(t), "-m", "http.server", "--bind", "127.0.0.1", fmt.Sprint(c.Port))
	if err := first.place.Start(server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	curl := func(p Place, url string) string {
		out, err := run(t, p, "curl", "-s", "-m", "60", "-w", "%{exitcode}", url)
		if err != nil && out == "" {
			return err.Error()
		}
		return out
	}
	local := fmt.Sprintf("http://127.0.0.1:%d/", c.Port)
	check := func(when string, p Place, want [4]string) {
		t.Helper()
		got := [4]string{curl(p, "http://192.0.2.1/"), curl(p, "http://[2001:db8::1]/"), curl(Place{}, local)}
		if _, err := run(t, p, pythonPath(t), "-c", fmt.Sprintf(`
import socket,time
end=time.time()+60
while True:
    try: socket.create_connection(("127.0.0.1",%d),60); break
    except OSError:
        if time.time()>end: raise
        time.sleep(.02)`, c.Port)); err == nil {
			got[3] = "own port reached"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	// The exit code of curl follows: 0. An inbound connection tells by its local
	// address, not by SO_ORIGINAL_DST, what it was meant for.
	served := [4]string{"192.0.2.1:800", "[2001:db8::1]:800", "none0", "own port reached"}
	check("proxy runs", first.place, served)
	first.cmd.Process.Kill()
	first.cmd.Wait()
	check("proxy killed", first.place, [4]string{"7", "7", "7", "own port reached"})
	// Nor does anybody get what it sends by taking the proxy's ports.
	thief4, thief6 := plain(t, c.Outbound.String()), plain(t, c.Outbound6.String())
	accept(t, thief4)
	accept(t, thief6)
	check("its ports taken", first.place, [4]string{"7", "7", "7", "own port reached"})
	thief4.Close()
	thief6.Close()
	second := startProxy(t, c)
	check("proxy runs again", second.place, served)
	second.in.Close()
	if err := second.cmd.Wait(); err != nil {
		t.Fatalf("orderly stop: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(judge, "*"))
	if len(left) != 0 {
		t.Errorf("after an orderly stop %v are left", left)
	}
}

// TestSweep: what a killed proxy left for workloads that have ended goes away;
// what lives stays.
func TestSweep(t *testing.T) {
	scope := nextScope()
	folder := reopenable(t, scope)
	c := proxyConfig{scope, freeport.HoldOn(t, "127.0.0.1"), freeport.HoldOn(t, "::1"), freeport.HoldOn(t, "127.0.0.1").Port()}
	p := startProxy(t, c)
	sleeper := exec.Command("sleep", "60")
	if err := p.place.Start(sleeper); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })
	p.cmd.Process.Kill()
	p.cmd.Wait()
	k := reopen(t, scope, EBPF, 0)
	if w := k.Waiting(); len(w) != 1 || w[0] != "orders" {
		t.Errorf("waiting: %q", w)
	}
	// Who takes its name is told from whom it was made for.
	if k.Occupied("orders", sleeper.Process.Pid) || !k.Occupied("orders", os.Getpid()) || k.Occupied("payments", os.Getpid()) {
		t.Error("it is not known who lives there")
	}
	sleeper.Process.Kill()
	sleeper.Wait()
	for end := time.Now().Add(patience); populated(p.place.Cgroup); {
		if time.Now().After(end) {
			t.Fatal("the cgroup does not become empty")
		}
	}
	if err := k.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "w", "*")); len(left) != 0 || len(k.Waiting()) != 0 {
		t.Errorf("%v are left, %q wait", left, k.Waiting())
	}
	if _, err := os.Stat(p.place.Cgroup); err == nil {
		t.Error("its cgroup is left")
	}
}

// TestAdopt: a process that is brought in is captured, and what it starts.
func TestAdopt(t *testing.T) {
	k := catch(t, open(t, EBPF, 0), nil)
	cmd := exec.Command("sh", "-c", "read go; curl -sS -m 60 http://192.0.2.5:85/")
	in, _ := cmd.StdinPipe()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := k.Adopt(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	in.Close()
	_ = cmd.Wait() // the read has failed
	if out.String() != "192.0.2.5:85" {
		t.Errorf("it says %q", out.String())
	}
	// 0 would be this process.
	if err := k.Adopt(0); err == nil {
		t.Error("a process that cannot be seen is adopted")
	}
}

// TestAdoptedReturns: who was brought in and lives on when the cage is taken
// away is where it was before, and the cage's cgroup is gone.
func TestAdoptedReturns(t *testing.T) {
	k := catch(t, open(t, EBPF, 0), nil)
	cmd := exec.Command("cat")
	in, _ := cmd.StdinPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	before, err := cgroupOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Adopt(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if at, err := cgroupOf(cmd.Process.Pid); err != nil || at != k.Cgroup {
		t.Errorf("adopted, it is in %s, %v", at, err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if at, err := cgroupOf(cmd.Process.Pid); err != nil || at != before {
		t.Errorf("then it is in %s, %v, want %s", at, err, before)
	}
	if _, err := os.Stat(k.Cgroup); !os.IsNotExist(err) {
		t.Errorf("its cgroup: %v", err)
	}
}

// TestAdoptedDies: nor does one that is just being killed leave the cgroup
// behind.
func TestAdoptedDies(t *testing.T) {
	k := catch(t, open(t, EBPF, 0), nil)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := k.Adopt(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill() // it runs
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(k.Cgroup); !os.IsNotExist(err) {
		t.Errorf("its cgroup: %v", err)
	}
	_ = cmd.Wait() // killed
}

// entries counts what a map holds.
func entries(t *testing.T, c *Capture, name string) int {
	t.Helper()
	m := c.does.(*programs).maps[name]
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	n := 0
	it := m.Iterate()
	for it.Next(&key, &value) {
		n++
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestForgotten: a connection that failed leaves nothing that a later one with
// the same source could inherit.
func TestForgotten(t *testing.T) {
	c := open(t, EBPF, 0)
	k := catch(t, c, nil)
	in := plain(t, "127.0.0.1:0").(*net.TCPListener)
	defer in.Close()
	nobody, port := freeport.HoldOn(t, "127.0.0.1"), freeport.HoldOn(t, "127.0.0.1").Port()
	k.opt.Outbound, k.opt.Ports, k.opt.Inbound = nobody, []uint16{port}, []syscall.Conn{in}
	if _, err := c.Workload(k.opt); err != nil {
		t.Fatal(err)
	}
	python(t, k.Place, "ECONNREFUSED ECONNREFUSED", socketTests+fmt.Sprintf(
		`print(fails(lambda: socket.create_connection(("192.0.2.1",80),60)), fails(lambda: socket.create_connection(("127.0.0.1",%d),60)))`, port))
	if got := ask(fmt.Sprintf("127.0.0.1:%d", port), 0); !strings.Contains(got, "refused") {
		t.Errorf("the proxy at a port without a server: %q", got)
	}
	if n, m := entries(t, c, "flows"), entries(t, c, "dials"); n != 0 || m != 0 {
		t.Errorf("%d flows and %d dials are left", n, m)
	}
}
