package app

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/capture"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
)

// TestMethod: how a workload is captured depends on what it wishes, on the
// machine, on who starts it, and on how it runs already.
func TestMethod(t *testing.T) {
	t.Parallel()
	c, err := capture.Open(capture.Options{Method: capture.Explicit})
	if err != nil {
		t.Fatal(err)
	}
	by := admin.Caller{PID: os.Getpid()}
	for _, tc := range []struct {
		name  string
		cages *capture.Capture
		wish  admin.Wish
		want  capture.Method
		note  string
		fails string
	}{
		{"off", c, admin.Wish{Capture: "off"}, "off", "", ""},
		{"explicit", c, admin.Wish{Capture: "explicit"}, capture.Explicit, "", ""},
		{"auto", c, admin.Wish{}, capture.Explicit, "", ""}, // as the machine's method
		{"nothing to capture with", nil, admin.Wish{Capture: "auto"}, capture.Explicit, "traffic is not captured (no luck)", ""},
		{"nothing, and it must be", nil, admin.Wish{Capture: "transparent"}, "", "", "cannot be captured here: no luck"},
		{"runs in a namespace", c, admin.Wish{Running: "nftables"}, "", "", "captured by nftables, and this proxy captures by explicit: start the command again"},
	} {
		n := &node{cages: tc.cages, opt: MeshOptions{uncaptured: "no luck"}}
		how, note, err := n.method(&tc.wish, by)
		switch {
		case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
			t.Errorf("%s: %v, not %q", tc.name, err, tc.fails)
		case tc.fails == "" && (err != nil || how != tc.want || !strings.HasPrefix(note, tc.note) || (note == "") != (tc.note == "")):
			t.Errorf("%s: %s %q %v", tc.name, how, note, err)
		}
	}
}

// TestMayEnter: only who has CAP_SYS_ADMIN where we have it starts something
// in a network namespace.
func TestMayEnter(t *testing.T) {
	t.Parallel()
	if why := mayEnter(1 << 30); why == "" {
		t.Error("a process that is not there may")
	}
	if os.Geteuid() != 0 {
		if why := mayEnter(os.Getpid()); !strings.Contains(why, "CAP_SYS_ADMIN") {
			t.Errorf("we are not root: %q", why)
		}
		return
	}
	for what, change := range map[string]*syscall.SysProcAttr{
		"CAP_SYS_ADMIN":  {Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
		"user namespace": {Cloneflags: syscall.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}}},
	} {
		cmd := exec.Command("cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = change
		if err := cmd.Start(); err != nil {
			t.Logf("%s: %v", what, err)
			continue
		}
		if why := mayEnter(cmd.Process.Pid); !strings.Contains(why, what) {
			t.Errorf("%s: %q", what, why)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestPlaces: what is meant for a workload in a network namespace comes there
// or nowhere.
func TestPlaces(t *testing.T) {
	t.Parallel()
	c, err := capture.Open(capture.Options{Method: capture.Nftables, Scope: fmt.Sprintf("p%d", os.Getpid())})
	if err != nil {
		t.Skipf("nftables cannot be tried here: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	cage, err := c.Workload(capture.WorkloadOptions{Name: "orders", Outbound: netip.AddrPortFrom(loopback, 15100)})
	if err != nil {
		t.Fatal(err)
	}
	driver, err := loop.New(loop.Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(driver.Close)
	// One that runs in a namespace that is not there any more is not taken over.
	n := &node{cages: c}
	if _, _, err := n.method(&admin.Wish{Namespace: "default", Instance: "lost", Running: "nftables"}, admin.Caller{PID: os.Getpid()}); err == nil || !strings.Contains(err.Error(), "lost its name") {
		t.Errorf("a lost one: %v", err)
	}
	var p places
	r := &resident{outbound: 15100, ports: []model.WorkloadPort{{Port: 9102}}}
	if err := p.put(r, cage); err != nil {
		t.Fatal(err)
	}
	served, other := netip.AddrPortFrom(loopback, 9102), netip.AddrPortFrom(loopback, 9103)
	if p.of(served) == nil || p.of(other) != nil || p.of(netip.MustParseAddrPort("192.0.2.1:9102")) != nil {
		t.Error("the port that it serves is not where it is")
	}
	d := placed{driver, &p}
	ended := func(c wire.Conn, _ bool) { c.Close() }
	door := netip.AddrPortFrom(loopback, 15100)
	l, err := d.Listen(door, wire.ListenOptions{}, ended)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := (&resident{node: &node{marked: &marked{}}}).dial(t.Context(), "tcp", door.String()); err == nil {
		conn.Close()
		t.Error("its door is on the machine")
	}
	inside := &resident{node: &node{marked: &marked{}}, cage: cage}
	if conn, err := inside.dial(t.Context(), "tcp", door.String()); err != nil {
		t.Errorf("its door is not in its namespace: %v", err)
	} else {
		conn.Close()
	}
	l.Close()

	if err := cage.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err := d.Listen(door, wire.ListenOptions{}, ended); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the door of one that has left opens: %v %v", l, err)
	}
	if ns := p.of(served); ns == nil || ns.Control(func(uintptr) {}) == nil {
		t.Error("the port of one that has left is the machine's")
	}
	if _, err := inside.dial(t.Context(), "tcp", served.String()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("health of one that has left: %v", err)
	}
	if err := p.put(r, nil); err != nil || p.of(served) != nil {
		t.Errorf("another one with the same ports, on the machine: %v", err)
	}
}
