package attest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// TestAttest: a process is of the workload that it is in, and not of one that
// has started that.
func TestAttest(t *testing.T) {
	t.Parallel()
	all := []inhabitant{
		{of: &Workload{Name: "orders"}, pid: 10, abode: abode{cgroup: "/sys/fs/cgroup/naru/orders"}},
		{of: &Workload{Name: "bob"}, pid: 20, abode: abode{cgroup: "/sys/fs/cgroup/naru/bob"}},
		{of: &Workload{Name: "off"}, pid: 30},
		{of: &Workload{Name: "web"}, pid: 50, abode: abode{netns: 7}},
	}
	abodes := map[int]abode{10: {"/naru/orders", 1}, 20: {"/naru/bob", 1}, 30: {"/naru/orders", 1}, 50: {"/shell", 1}}
	for _, c := range []struct {
		name   string
		before []int
		cgroup string
		netns  uint64
		want   string
	}{
		{"its child", []int{11, 10, 2}, "/naru/orders", 1, "orders"},
		{"one that it has started", []int{21, 20, 11, 10, 2}, "/naru/bob", 1, "bob"},
		{"one that is not captured", []int{31, 30, 11, 10, 2}, "/naru/orders", 1, "off"},
		{"a child without a parent", []int{22, 1}, "/naru/bob", 1, "bob"},
		{"a child of one that another has adopted", []int{22, 11, 10, 2}, "/naru/bob", 1, "bob"},
		{"a child cgroup", []int{12, 11, 10, 2}, "/naru/orders/inner", 1, "orders"},
		{"a stranger", []int{40, 2}, "/user/shell", 1, ""},
		{"a stranger in the root", []int{40, 2}, "/", 1, ""},
		{"one that is gone", nil, "", 0, ""},
		{"in a network namespace", []int{51, 50, 2}, "/shell", 7, "web"},
		{"in one, without a parent", []int{51, 1}, "/shell", 7, "web"},
		{"in the machine's own, started by a workload", []int{52, 50, 2}, "/shell", 1, "web"},
		{"in one of nobody", []int{60, 2}, "/shell", 8, ""},
	} {
		for range 2 {
			got := ""
			if w := inmost(all, c.before, abode{c.cgroup, c.netns}, func(pid int) abode { return abodes[pid] }); w != nil {
				got = w.of.Name
			}
			if got != c.want {
				t.Errorf("%s: %q, not %q", c.name, got, c.want)
			}
			slices.Reverse(all) // the order is that of a map
		}
	}
	if list := ancestry(os.Getpid()); len(list) < 2 || list[0] != os.Getpid() || list[1] != os.Getppid() {
		t.Errorf("%v", list)
	}
}

// TestAttestNumberReused: whoever gets the process number of one that has ended
// is not its workload.
func TestAttestNumberReused(t *testing.T) {
	t.Parallel()
	own := identity.Process{PID: os.Getpid(), Began: identity.Began(os.Getpid())}
	for _, c := range []struct {
		name string
		by   identity.Process
		want bool
	}{
		{"who has asked", own, true},
		{"its parent", identity.Process{PID: os.Getppid(), Began: identity.Began(os.Getppid())}, true},
		{"another one with its number", identity.Process{PID: own.PID, Began: own.Began + "1"}, false},
		{"one with the number of its parent", identity.Process{PID: os.Getppid(), Began: "1"}, false},
		{"one of which nothing is known", identity.Process{PID: own.PID}, false},
	} {
		if w := Of([]Workload{{Name: "orders", By: c.by}}, own.PID); (w != nil) != c.want {
			t.Errorf("%s: %v", c.name, w)
		}
	}
}

// TestMain connects where it is told to, and ends with its input.
func TestMain(m *testing.M) {
	if to := os.Getenv("ATTEST_CONNECT"); to != "" {
		conn, err := net.Dial("tcp", to)
		if err != nil {
			os.Exit(1)
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
		conn.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func process(pid int) identity.Process {
	return identity.Process{PID: pid, Began: identity.Began(pid)}
}

// TestCallers: what a workload's process has started is told from what another
// has, and from us.
func TestCallers(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	// connect has a new process do so, or us, and gives our end.
	connect := func(by string) (pid int, conn net.Conn) {
		pid = os.Getpid()
		if by == "self" {
			dialled, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dialled.Close() })
		} else {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			// A process between: what is started by what was started.
			cmd := exec.Command("sh", "-c", by, self)
			cmd.Env = append(os.Environ(), "ATTEST_CONNECT="+ln.Addr().String())
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				in.Close()
				_ = cmd.Wait()
			})
			pid = cmd.Process.Pid
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return pid, conn
	}
	ends := func(c net.Conn) (client, server netip.AddrPort) {
		return netip.MustParseAddrPort(c.RemoteAddr().String()), netip.MustParseAddrPort(c.LocalAddr().String())
	}
	const below = `"$0"; exit`
	orders, first := connect(below)
	other, theirs := connect(below)
	_, ours := connect("self")
	all := []Workload{{Name: "orders", By: process(orders)}, {Name: "other", By: process(other)}}
	var c Callers
	for _, is := range []struct {
		workload string
		conn     net.Conn
		want     string
	}{
		{"orders", first, ""},
		{"orders", first, ""}, // by memory
		{"other", theirs, ""},
		{"orders", theirs, "no process of the workload"},
		{"other", first, "no process of the workload"},
		{"orders", ours, "no process of the workload"},
		{"gone", first, "has left"},
	} {
		client, server := ends(is.conn)
		switch err := c.Check(all, is.workload, client, server); {
		case (err == nil) != (is.want == ""), err != nil && !strings.Contains(err.Error(), is.want):
			t.Errorf("%s: %v, want %q", is.workload, err, is.want)
		}
	}
	// A workload that was started by another is not that one.
	client, server := ends(ours)
	inner := []Workload{{Name: "outer", By: process(os.Getppid())}, {Name: "inner", By: process(os.Getpid())}}
	if err := c.Check(inner, "inner", client, server); err != nil {
		t.Error(err)
	}
	if err := c.Check(inner, "outer", client, server); err == nil {
		t.Error("it passes for the one that has started it")
	}
	// Nobody has connected from there, and a listener is no client.
	none := netip.AddrPortFrom(client.Addr(), server.Port())
	if inode, _, err := socketOf(none, netip.AddrPortFrom(client.Addr(), 1)); err == nil {
		t.Errorf("socket %d for a connection that is none", inode)
	}
	// Where its processes may not be looked into it is any of its user's.
	unseen := Workload{Name: "unseen", By: process(orders), Unseen: true}
	unseen.By.UID = uint32(os.Getuid())
	if err := c.Check([]Workload{unseen}, "unseen", client, server); err != nil {
		t.Error(err)
	}
	unseen.By.UID++
	if err := c.Check([]Workload{unseen}, "unseen", client, server); err == nil || !strings.Contains(err.Error(), "by user") {
		t.Errorf("another user's connection: %v", err)
	}
	c.Forget("orders")
	if len(c.last) != 2 {
		t.Errorf("%v", c.last)
	}
	if err := Visible(os.Getpid()); err != nil {
		t.Error(err)
	}
	if ByUser(uint32(os.Getuid())) != nil && os.Getuid() != 65534 || ByUser(65534) == nil {
		t.Error("a user of this machine is taken for one that it does not know, or the reverse")
	}
	if Visible(1<<30) == nil {
		t.Error("a process that is none is visible")
	}
}

// TestClosed: a client that is gone is nobody.
func TestClosed(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, server := netip.MustParseAddrPort(conn.RemoteAddr().String()), netip.MustParseAddrPort(conn.LocalAddr().String())
	if inode, _, err := socketOf(client, server); err != nil || inode == 0 {
		t.Fatalf("%d, %v", inode, err)
	}
	dialled.Close()
	// Another test that begins a process just now may share it for a moment.
	for end := time.Now().Add(90 * time.Second); ; runtime.Gosched() {
		inode, _, err := socketOf(client, server)
		if err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("closed, and socket %d", inode)
		}
	}
}
