package app

import (
	"os"
	"slices"
	"testing"

	"github.com/naru-mesh/naru/identity"
)

// TestAttest: a process is of the workload that it is in, and not of one that
// has started that.
func TestAttest(t *testing.T) {
	t.Parallel()
	all := []inhabitant{
		{id: "orders", pid: 10, abode: abode{cgroup: "/sys/fs/cgroup/naru/orders"}},
		{id: "bob", pid: 20, abode: abode{cgroup: "/sys/fs/cgroup/naru/bob"}},
		{id: "off", pid: 30},
		{id: "web", pid: 50, abode: abode{netns: 7}},
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
				got = string(w.id)
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
		want int
	}{
		{"who has asked", own, 1},
		{"its parent", identity.Process{PID: os.Getppid(), Began: identity.Began(os.Getppid())}, 1},
		{"another one with its number", identity.Process{PID: own.PID, Began: own.Began + "1"}, 0},
		{"one with the number of its parent", identity.Process{PID: os.Getppid(), Began: "1"}, 0},
		{"one of which nothing is known", identity.Process{PID: own.PID}, 0},
	} {
		n := &node{locals: map[string]*resident{"orders": {id: "spiffe://x/orders", by: c.by}}}
		if ids, err := n.attest(own); err != nil || len(ids) != c.want {
			t.Errorf("%s: %v, %v", c.name, ids, err)
		}
	}
}
