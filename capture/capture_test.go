package capture

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

func TestExplicit(t *testing.T) {
	c, err := Open(Options{Method: Explicit})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	k, err := c.Workload(WorkloadOptions{Name: "shop/orders"})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "echo started")
	var out strings.Builder
	cmd.Stdout = &out
	if err := k.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || out.String() != "started\n" || len(cmd.Env) > 0 {
		t.Errorf("%q, %v, environment %q", out.String(), err, cmd.Env)
	}
	if err := k.Adopt(1); err == nil || err.Error() != "a running process cannot be captured by explicit" {
		t.Errorf("adopt: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	a4, a6 := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("[::1]:1")
	for want, o := range map[string]WorkloadOptions{
		"it has no name":       {Outbound: a4},
		"the name is too long": {Outbound: a4, Name: strings.Repeat("é", 40)},
		"no outbound address: every connection would be refused":               {Name: "x"},
		"Outbound is [::1]:1: want an address of the loopback and a port":      {Name: "x", Outbound: a6},
		"Outbound6 is 127.0.0.1:1: want an address of the loopback and a port": {Name: "x", Outbound6: a4},
		"DNS is 192.0.2.1:53: want an address of the loopback and a port":      {Name: "x", Outbound: a4, DNS: netip.MustParseAddrPort("192.0.2.1:53")},
		"DNS6 is [::1]:0: want an address of the loopback and a port":          {Name: "x", Outbound: a4, DNS6: netip.MustParseAddrPort("[::1]:0")},
		"more than 64 exclusions": {Name: "x", Outbound: a4, ExcludePorts: make([]uint16, 65)},
		"excluded network ::ffff:10.0.0.0/104: want a CIDR of IPv4 or IPv6": {Name: "x", Outbound: a4, Exclude: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
		"it serves port 0": {Name: "x", Outbound: a4, Ports: []uint16{80, 0}},
	} {
		if err := o.check(EBPF); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Open(Options{Method: "iptables"}); err == nil || err.Error() != `method "iptables": want ebpf, nftables or explicit` {
		t.Errorf("method: %v", err)
	}
	if _, err := Open(Options{Scope: "a/b"}); err == nil || err.Error() != `scope "a/b": want letters, digits and "-"` {
		t.Errorf("scope: %v", err)
	}
}

// TestClosed: a Capture that was closed promises nothing.
func TestClosed(t *testing.T) {
	c, err := Open(Options{Method: Explicit})
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.Workload(WorkloadOptions{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Workload(WorkloadOptions{Name: "orders"}); err == nil || err.Error() != `capture of workload "orders": capture is closed` {
		t.Errorf("workload: %v", err)
	}
}

// TestCheck: what can be opened is found, and what is found can be opened.
func TestCheck(t *testing.T) {
	lacks := map[Method]string{}
	for _, f := range Check() {
		if f.Why != "" {
			lacks[f.Method] += f.Needs + ": " + f.Why + "; "
		}
	}
	for _, m := range []Method{EBPF, Nftables, Explicit} {
		c, err := Open(Options{Method: m, Scope: nextScope()})
		if (err == nil) != (lacks[m] == "") {
			t.Errorf("%s: lacks %q, opens with %v", m, lacks[m], err)
		}
		if err == nil {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestBest: without a wish it is the best that is to be had, and Why says why
// not a better one.
func TestBest(t *testing.T) {
	c, err := Open(Options{Scope: nextScope()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if (c.Method() == EBPF) != (c.Why() == "") || c.Method() == Explicit && !strings.Contains(c.Why(), "nftables: ") {
		t.Errorf("%s, for %q", c.Method(), c.Why())
	}
}

func TestEscape(t *testing.T) {
	for name, want := range map[string]string{"orders": "orders", "shop/orders-7f3a": "shop_2forders-7f3a", "a.b_c": "a_2eb_5fc", "..": "_2e_2e", "é": "_c3_a9"} {
		if got := escape(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestMounts: hybrid and unified hierarchies, and names with spaces.
func TestMounts(t *testing.T) {
	const hybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
41 31 0:38 /sub /sys/fs/cgroup/uni\040fied rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate
this is none
`
	all, err := readMounts(strings.NewReader(hybrid))
	if err != nil || len(all) != 2 || all[1] != (mount{"/sub", "/sys/fs/cgroup/uni fied", "cgroup2"}) {
		t.Errorf("%+v, %v", all, err)
	}
}
