package attest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestAttest: a process is of the workload that it is in, and not of one that
// has started that.
func TestAttest(t *testing.T) {
	t.Parallel()
	all := []Workload{
		{Name: "orders", PID: 10, Cgroup: "/sys/fs/cgroup/naru/orders"},
		{Name: "bob", PID: 20, Cgroup: "/sys/fs/cgroup/naru/bob"},
		{Name: "off", PID: 30},
	}
	cgroups := map[int]string{10: "/naru/orders", 20: "/naru/bob", 30: "/naru/orders"}
	for _, c := range []struct {
		name   string
		before []int
		cgroup string
		want   string
	}{
		{"its child", []int{11, 10, 2}, "/naru/orders", "orders"},
		{"one that it has started", []int{21, 20, 11, 10, 2}, "/naru/bob", "bob"},
		{"one that is not captured", []int{31, 30, 11, 10, 2}, "/naru/orders", "off"},
		{"a child without a parent", []int{22, 1}, "/naru/bob", "bob"},
		{"a child of one that another has adopted", []int{22, 11, 10, 2}, "/naru/bob", "bob"},
		{"a child cgroup", []int{12, 11, 10, 2}, "/naru/orders/inner", "orders"},
		{"a stranger", []int{40, 2}, "/user/shell", ""},
		{"a stranger in the root", []int{40, 2}, "/", ""},
		{"one that is gone", nil, "", ""},
	} {
		for range 2 {
			got := ""
			if w := inmost(all, c.before, c.cgroup, func(pid int) string { return cgroups[pid] }); w != nil {
				got = w.Name
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
	all := []Workload{{Name: "orders", PID: orders}, {Name: "other", PID: other}}
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
	inner := []Workload{{Name: "outer", PID: os.Getppid()}, {Name: "inner", PID: os.Getpid()}}
	if err := c.Check(inner, "inner", client, server); err != nil {
		t.Error(err)
	}
	if err := c.Check(inner, "outer", client, server); err == nil {
		t.Error("it passes for the one that has started it")
	}
	// Nobody has connected from there, and a listener is no client.
	none := netip.AddrPortFrom(client.Addr(), server.Port())
	if inode, err := inodeOf(none, netip.AddrPortFrom(client.Addr(), 1)); err == nil {
		t.Errorf("socket %d for a connection that is none", inode)
	}
	c.Forget("orders")
	if len(c.last) != 2 {
		t.Errorf("%v", c.last)
	}
	if err := Visible(os.Getpid()); err != nil {
		t.Error(err)
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
	if inode, err := inodeOf(client, server); err != nil || inode == 0 {
		t.Fatalf("%d, %v", inode, err)
	}
	dialled.Close()
	if inode, err := inodeOf(client, server); err == nil {
		t.Errorf("closed, and socket %d", inode)
	}
}
