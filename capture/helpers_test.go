package capture

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen before it fails.
const patience = 90 * time.Second

// scopes of tests name the process, so that one that died can be cleaned up
// after.
func TestMain(m *testing.M) {
	switch os.Getenv("NARU_CAPTURE_TEST") {
	case "get":
		getMain(os.Args[1])
		return
	case "connect":
		connectMain(os.Args[1], os.Args[2])
		return
	case "request":
		requestMain(os.Args[1], os.Args[2])
		return
	case "proxy":
		if err := proxyMain(); err != nil {
			fmt.Fprintln(os.Stderr, "proxy:", err)
			os.Exit(1)
		}
		return
	}
	removeDead()
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// getMain is a program in Go that speaks to addr.
func getMain(addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Print(err)
		return
	}
	fmt.Fprint(c, "x")
	all, _ := io.ReadAll(c)
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	fmt.Print(body)
}

// removeDead removes what killed test processes left.
func removeDead() {
	root, err := cgroup2()
	if err != nil {
		return
	}
	scopes := map[string]bool{}
	for _, pattern := range []string{root + "/t*n*.slice", root + "/t*n*-proxy", "/sys/fs/bpf/t*n*", netnsFolder + "/t*n*-*"} {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			scope, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".slice"), "-")
			digits, _, _ := strings.Cut(scope[1:], "n")
			if pid, err := strconv.Atoi(digits); err == nil && syscall.Kill(pid, 0) != nil {
				scopes[scope] = true
			}
		}
	}
	for scope := range scopes {
		for _, m := range []Method{EBPF, Nftables} {
			if c, err := Open(Options{Method: m, Scope: scope}); err == nil {
				_ = c.Close()
			}
		}
	}
}

var scopeCount atomic.Int32

// open starts a Capture of its own for the test, or skips it.
func open(t testing.TB, m Method, mark uint32) *Capture {
	t.Helper()
	return reopen(t, nextScope(), m, mark)
}

func nextScope() string { return fmt.Sprintf("t%dn%d", os.Getpid(), scopeCount.Add(1)) }

// reopenable has what a killed process left for the scope removed when the
// test ends, and gives its folder of pins.
func reopenable(t *testing.T, scope string) string {
	t.Helper()
	c := reopen(t, scope, EBPF, 0)
	folder := c.does.(*programs).pins
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c, err := Open(Options{Method: EBPF, Scope: scope}); err == nil {
			c.Close()
		}
	})
	return folder
}

func reopen(t testing.TB, scope string, m Method, mark uint32) *Capture {
	t.Helper()
	for _, f := range Check() {
		if f.Method == m && f.Why != "" {
			t.Skipf("%s cannot be tried here: %s: %s", m, f.Needs, f.Why)
		}
	}
	c, err := Open(Options{Method: m, Scope: scope, Mark: mark, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// acceptor is a tiny proxy: it answers every connection with an HTTP response
// that says where it was meant to go.
type acceptor struct {
	net.Listener
	accepted atomic.Int32
}

// plain listens as wire/loop does: no MPTCP.
func plain(t testing.TB, addr string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func accept(t testing.TB, l net.Listener) *acceptor {
	a := &acceptor{Listener: l}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.accepted.Add(1)
			go a.serve(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return a
}

func (a *acceptor) serve(c *net.TCPConn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	var b [4096]byte
	if _, err := c.Read(b[:]); err != nil {
		return
	}
	text := originalOf(c)
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

func addressOf(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// originalOf asks as wire/loop does.
func originalOf(c *net.TCPConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return err.Error()
	}
	text := "none"
	_ = raw.Control(func(fd uintptr) {
		var b [28]byte
		level, n := uintptr(unix.IPPROTO_IP), uint32(16)
		four := c.RemoteAddr().(*net.TCPAddr).IP.To4() != nil
		if !four {
			level, n = unix.IPPROTO_IPV6, 28
		}
		_, _, e := syscall.Syscall6(unix.SYS_GETSOCKOPT, fd, level, originalDst, uintptr(unsafe.Pointer(&b)), uintptr(unsafe.Pointer(&n)), 0)
		if e != 0 {
			return
		}
		ip := netip.AddrFrom4([4]byte(b[4:8]))
		if !four {
			ip = netip.AddrFrom16([16]byte(b[8:24]))
		}
		text = netip.AddrPortFrom(ip, uint16(b[2])<<8|uint16(b[3])).String()
	})
	return text
}

// run starts a program in the cage and gives what it said.
func run(t testing.TB, p Place, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	for _, v := range os.Environ() {
		if k, _, _ := strings.Cut(strings.ToLower(v), "="); !strings.HasSuffix(k, "_proxy") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := p.Start(cmd); err != nil {
		return out.String(), err
	}
	err := cmd.Wait()
	return strings.TrimSpace(out.String()), err
}

// says fails the test unless the program says want.
func says(t *testing.T, p Place, want, name string, args ...string) {
	t.Helper()
	got, err := run(t, p, name, args...)
	if err != nil || got != want {
		t.Errorf("%s %.60q says %q, %v; want %q", name, args, got, err, want)
	}
}

func python(t *testing.T, p Place, want, code string, args ...string) {
	t.Helper()
	says(t, p, want, pythonPath(t), append([]string{"-IS", "-c", code}, args...)...)
}

// pythonPath is the interpreter itself, not a shim that starts a shell first.
func pythonPath(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Skip("python3 is not installed")
	}
	return strings.TrimSpace(string(out))
}
