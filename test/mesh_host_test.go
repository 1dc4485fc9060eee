package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/capture"
)

// host is a machine of a mesh: a network namespace, so that every test may use
// the same ports, and a folder.
type host struct {
	t     *testing.T
	name  string
	ns    *os.File
	dir   string
	addr  string // as which others reach it
	scope string // of capture
}

var hostCount atomic.Int32

// newHost makes a machine whose loopback is up, or skips the test where that
// may not be done, or where workloads cannot be captured.
func newHost(t *testing.T) *host {
	t.Helper()
	return newHostBy(t, capture.EBPF)
}

// newHostBy is for another way of capture.
func newHostBy(t *testing.T, method capture.Method) *host {
	t.Helper()
	h := newPlainHost(t)
	for _, f := range capture.Check() {
		if f.Method == method && f.Why != "" {
			t.Skipf("workloads cannot be captured here: %s: %s", f.Needs, f.Why)
		}
	}
	return h
}

// newPlainHost makes a machine on which nothing need be captured.
func newPlainHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := hostCount.Add(1)
	dir, err := os.MkdirTemp("", "naru-host-") // t.TempDir has names that are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Cleanup(func() { forget(fmt.Sprintf("e%dn%d", os.Getpid(), n)) })
	if err := os.Chmod(dir, 0o755); err != nil { // for workloads of other users
		t.Fatal(err)
	}
	h := &host{t: t, name: fmt.Sprintf("host%d", n), dir: dir, addr: "127.0.0.1", scope: fmt.Sprintf("e%dn%d", os.Getpid(), n)}
	made := make(chan error)
	go func() {
		// No thread may end: what it has started would be told to end.
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer own.Close()
			err = syscall.Unshare(syscall.CLONE_NEWNET)
		}
		if err == nil {
			h.ns, err = os.Open("/proc/thread-self/ns/net")
			err = errors.Join(err, enter(own))
		}
		if err == nil {
			runtime.UnlockOSThread()
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	t.Cleanup(func() { h.ns.Close() })
	h.ip("link set lo up")
	return h
}

// give makes the machine's folder a user's own: root has given it, so that both
// believe what is met there.
func (h *host) give(uid int) {
	h.t.Helper()
	h.dir = filepath.Join(h.dir, "own")
	if err := errors.Join(os.Mkdir(h.dir, 0o755), os.Chmod(h.dir, 0o755), os.Chown(h.dir, uid, uid), os.Chmod(filepath.Dir(binary), 0o755)); err != nil {
		h.t.Fatal(err)
	}
}

// forget removes what a killed proxy has left to its successor.
func forget(scope string) {
	spaces, _ := filepath.Glob("/run/netns/" + scope + "-*")
	for _, path := range spaces {
		_ = syscall.Unmount(path, syscall.MNT_DETACH)
		_ = os.Remove(path)
	}
	for _, pattern := range []string{"/sys/fs/bpf/" + scope + "*", "/sys/fs/cgroup/" + scope + "*", "/sys/fs/cgroup/unified/" + scope + "*"} {
		found, _ := filepath.Glob(pattern)
		for _, top := range found {
			if name := strings.TrimLeft(strings.TrimPrefix(filepath.Base(top), scope), "b"); name != "" && name[0] != '.' && name[0] != '-' {
				continue // of host12, where this is host1
			}
			_ = os.RemoveAll(top) // pins; of a cgroup only its folders can be removed
			for range 4 {
				_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
					if err == nil && d.IsDir() {
						_ = os.Remove(path)
					}
					return err
				})
			}
		}
	}
}

// inside calls do in the machine's network.
func (h *host) inside(do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer own.Close()
			err = enter(h.ns)
		}
		if err != nil {
			result <- err
			return
		}
		err = do()
		if back := enter(own); back == nil {
			runtime.UnlockOSThread() // else the thread ends
		}
		result <- err
	}()
	return <-result
}

func enter(ns *os.File) error {
	if _, _, e := syscall.RawSyscall(setns, ns.Fd(), syscall.CLONE_NEWNET, 0); e != 0 {
		return fmt.Errorf("setns: %w", e)
	}
	return nil
}

// ip runs that command there.
func (h *host) ip(args string) string {
	h.t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		h.t.Skip("ip is not installed")
	}
	var out []byte
	err := h.inside(func() (err error) {
		out, err = exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		return err
	})
	if err != nil {
		h.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// dial connects from there, as somebody who is no workload.
func (h *host) dial(addr string) (conn net.Conn, err error) {
	err = h.inside(func() (err error) {
		conn, err = net.DialTimeout("tcp", addr, patience)
		return err
	})
	return conn, err
}

// get asks from there, as somebody who is no workload.
func (h *host) get(url string) (status int, body string, err error) {
	c := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, _, addr string) (net.Conn, error) { return h.dial(addr) },
	}}
	res, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// file writes one into the machine's folder, as editors do.
func (h *host) file(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// running is a process on a machine.
type running struct {
	h     *host
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *transcript
	errs  *transcript
	done  chan struct{}
	admin string // URL of the admin server, once greeted
	began time.Time
}

// start runs a program there; change may alter the command.
func (h *host) start(change func(*exec.Cmd), program string, args ...string) *running {
	t := h.t
	t.Helper()
	p := &running{h: h, cmd: exec.Command(program, args...), out: newTranscript(), errs: newTranscript(), done: make(chan struct{}), began: time.Now()}
	p.cmd.Dir = h.dir
	// Told to end with the tests, so that it takes away what it captures with.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	p.cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+h.dir)
	if change != nil {
		change(p.cmd)
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.inside(p.cmd.Start); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.out.read(out) })
	reading.Go(func() { p.errs.read(errs) })
	go func() {
		reading.Wait()
		_ = p.cmd.Wait() // the status is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if text := p.errs.text(); strings.Contains(text, "panic") || strings.Contains(text, "DATA RACE") || strings.Contains(text, "goroutine ") {
			t.Errorf("%s speaks of a panic:\n%s", program, text)
		} else if t.Failed() && testing.Verbose() {
			t.Logf("%s %v said:\n%s%s", program, args, p.out.text(), text)
		}
	})
	return p
}

// signal sends one.
func (p *running) signal(s os.Signal) {
	p.h.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.h.t.Fatal(err)
	}
}

// ended waits for its end and gives its exit status.
func (p *running) ended() int {
	p.h.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.h.t.Fatalf("%v does not end, and says:\n%s%s", p.cmd.Args, p.out.text(), p.errs.text())
	}
	return p.cmd.ProcessState.ExitCode()
}

// naru runs a command of it that serves, and waits for its greeting.
func (h *host) naru(change func(*exec.Cmd), args ...string) *running {
	h.t.Helper()
	p := h.start(change, binary, append(args, "--json", "--admin", "127.0.0.1:0")...)
	line, ok := p.out.await(func(line string) bool { return strings.Contains(line, `"event":"running"`) })
	var greeting struct{ Admin string }
	if !ok || json.Unmarshal([]byte(line), &greeting) != nil {
		h.t.Fatalf("naru %v does not greet:\n%s%s", args, p.out.text(), p.errs.text())
	}
	p.admin = greeting.Admin
	return p
}

// node are the flags of a process that serves workloads there.
func (h *host) node() []string {
	return []string{"--node", h.name, "--address", h.addr, "--socket", h.path("node.sock"), "--capture-scope", h.scope, "--data", h.path("data"), "--drain", "2s", "--access-log", "json",
		"--overload", "off"} // this machine is busy with other tests
}

// mesh runs all of a mesh on this machine.
func (h *host) mesh(config string, args ...string) *running {
	h.t.Helper()
	file := h.file("mesh.yaml", config)
	return h.naru(nil, append(append([]string{"run", file, "--control-socket", h.path("control.sock")}, h.node()...), args...)...)
}

// exec runs a command as a workload; what comes before "--" is for naru exec.
func (h *host) exec(args ...string) *running {
	h.t.Helper()
	return h.execAs(nil, args...)
}

func (h *host) execAs(change func(*exec.Cmd), args ...string) *running {
	h.t.Helper()
	return h.start(change, binary, append([]string{"exec", "--socket", h.path("node.sock")}, args...)...)
}

// surfer is a workload of the account web that reads URLs, asks for each, and
// says what it got and curl's status: "orders here (0)".
func (h *host) surfer() *running {
	h.t.Helper()
	return h.exec("--account", "web", "--", "sh", "-c", `while read url; do curl -sS -m 60 $url 2>&1; echo " ($?)"; done`)
}

// callsOrders says whether a surfer reaches orders.
func callsOrders(surfer *running) bool {
	fmt.Fprintln(surfer.in, "http://orders:9102/")
	line, _ := surfer.out.await(func(line string) bool { return strings.Contains(line, "(") })
	return strings.Contains(line, "orders here (0)")
}

// output runs a workload to its end.
func (h *host) output(args ...string) (status int, out string) {
	h.t.Helper()
	p := h.exec(args...)
	status = p.ended()
	return status, p.out.text() + p.errs.text()
}

// curl asks as a workload of an account; it gives "STATUS BODY", or curl's
// complaint.
func (h *host) curl(account, url string, args ...string) string {
	h.t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		h.t.Skip("curl is not installed")
	}
	all := append([]string{"--account", account, "--", "curl", "-sS", "-m", "60", "-w", "\n%{http_code}", url}, args...)
	_, out := h.output(all...)
	body, status, _ := strings.Cut(out, "\n")
	if i := strings.LastIndexByte(strings.TrimSuffix(out, "\n"), '\n'); i >= 0 {
		body, status = out[:i], strings.TrimSpace(out[i+1:])
	}
	return status + " " + body
}

// status is what naru status --json says of the control plane there.
func (h *host) status() *admin.PlaneStatus {
	h.t.Helper()
	s, err := admin.AtPlane(h.path("control.sock")).Status(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// token makes one at the control plane there.
func (h *host) token(args ...string) string {
	h.t.Helper()
	return h.tokenAt("control.sock", args...)
}

// tokenAt is for a control plane with another socket.
func (h *host) tokenAt(socket string, args ...string) string {
	h.t.Helper()
	if !slices.ContainsFunc(args, func(a string) bool { return a == "--account" || a == "--namespace" }) {
		args = append(args, "--any")
	}
	p := h.start(nil, binary, append([]string{"token", "create", "--socket", h.path(socket)}, args...)...)
	if status := p.ended(); status != 0 {
		h.t.Fatalf("naru token create: %d %s", status, p.errs.text())
	}
	return strings.TrimSpace(p.out.text())
}

// knows says whether there is a workload whose name begins so.
func (h *host) knows(prefix string) bool {
	h.t.Helper()
	for _, w := range h.status().Workloads {
		if strings.HasPrefix(w.Name, prefix) {
			return true
		}
	}
	return false
}

// serving waits until n workloads of a service may be called.
func (h *host) serving(service string, n int) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%d instances of %s serve", n, service), func() bool {
		found := 0
		for _, w := range h.status().Workloads {
			if w.State == "serving" && strings.Join(w.Services, " ") == service {
				found++
			}
		}
		return found == n
	})
}

// page reads one of the admin server.
func (p *running) page(path string) string {
	p.h.t.Helper()
	_, body, err := p.h.get(p.admin + path)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return body
}

// value adds up samples of a metric.
func (p *running) value(family string, labels ...string) float64 {
	p.h.t.Helper()
	all, err := readMetrics(strings.NewReader(p.page("/metrics")))
	if err != nil {
		p.h.t.Fatal(err)
	}
	return all.value(family, labels...)
}

// change saves another configuration, and waits until what it makes different
// is seen.
func (p *running) change(config, what string, seen func() bool) {
	p.h.t.Helper()
	p.h.file("mesh.yaml", config)
	eventually(p.h.t, what, seen)
}

// as has a process run for another user.
func as(uid uint32) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
}

var errUnknownAct = errors.New("there is no such act")

// stranger serves a text at an address there, and is no workload.
func (h *host) stranger(addr, text string) {
	h.t.Helper()
	var ln net.Listener
	err := h.inside(func() (err error) {
		ln, err = net.Listen("tcp", addr)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { ln.Close() })
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })) //nolint:errcheck // it ends with the listener
}

// ask asks an address in plain HTTP, as somebody who is no workload.
func (h *host) ask(addr string) (string, error) {
	_, body, err := h.get("http://" + addr + "/")
	return body, err
}
