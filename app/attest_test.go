package app

import (
	"os"
	"slices"
	"testing"
)

// TestAttest: a process is of the workload that it is in, and not of one that
// has started that.
func TestAttest(t *testing.T) {
	t.Parallel()
	all := []inhabitant{
		{id: "orders", pid: 10, cgroup: "/sys/fs/cgroup/naru/orders"},
		{id: "bob", pid: 20, cgroup: "/sys/fs/cgroup/naru/bob"},
		{id: "off", pid: 30},
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
