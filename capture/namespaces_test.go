package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	"github.com/naru-mesh/naru/wire"
)

// moved is a workload in a network namespace, with its proxy's listeners on a
// driver's loops.
func moved(t testing.TB, c *Capture, change func(*WorkloadOptions)) (*Cage, WorkloadOptions) {
	t.Helper()
	d := driver(t, 0)
	server := NewDNS(DNSOptions{Upstream: []netip.AddrPort{upstream(t, func(_ string, q *dns.Msg) *dns.Msg { return address(q, "192.0.2.99") })}, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(server.Close)
	server.SetNames(map[string]Name{"orders.shop.mesh": {Addrs: []netip.Addr{netip.MustParseAddr("240.1.2.3"), netip.MustParseAddr("fd6e:6172:7501::7")}}})
	opt := WorkloadOptions{Name: "shop/orders.1",
		Outbound: netip.MustParseAddrPort("127.0.0.1:15001"), Outbound6: netip.MustParseAddrPort("[::1]:15001"),
		DNS: netip.MustParseAddrPort("127.0.0.1:15053"), DNS6: netip.MustParseAddrPort("[::1]:15053")}
	if change != nil {
		change(&opt)
	}
	k, err := c.Workload(opt)
	if err != nil {
		t.Fatal(err)
	}
	var listening []wire.Listening
	err = k.Inside(func() error {
		for _, a := range []netip.AddrPort{opt.Outbound, opt.Outbound6} {
			listening = append(listening, tell(t, d, a.String()))
		}
		for _, a := range []netip.AddrPort{opt.DNS, opt.DNS6} {
			udp, err := net.ListenPacket("udp", a.String())
			if err != nil {
				return err
			}
			if err := server.Serve(udp, plain(t, a.String()), "shop"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return k, opt
}

// outer are the addresses of a workload by which the host knows it.
func outer(t *testing.T, k *Cage) (all []netip.Addr) {
	t.Helper()
	err := k.Inside(func() error {
		eth, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		has, err := eth.Addrs()
		for _, a := range has {
			if p := netip.MustParsePrefix(a.String()); nets4.Contains(p.Addr()) || nets6.Contains(p.Addr()) {
				all = append(all, p.Addr())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNftables(t *testing.T) {
	c := open(t, Nftables, 0)
	k, opt := moved(t, c, func(o *WorkloadOptions) {
		o.Exclude = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25"), netip.MustParsePrefix("2001:db8:2::/47")}
		o.ExcludePorts = []uint16{9}
	})
	for _, at := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "198.51.100.128:80", "[2001:db8:4::1]:80"} {
		host, port, _ := net.SplitHostPort(at)
		python(t, k.Place, "original "+at, askCode, host, port)
	}
	python(t, k.Place, "original 192.0.2.1:80", askCode, "::ffff:192.0.2.1", "80")
	python(t, k.Place, "original invalid AddrPort", askCode, "127.0.0.1", "15001")
	python(t, k.Place, "original invalid AddrPort", askCode, "::1", "15001")
	says(t, k.Place, "original 240.1.2.3:80", "curl", "--http0.9", "-4", "-sS", "-m", "60", "http://orders/")
	says(t, k.Place, "original [fd6e:6172:7501::7]:80", "curl", "--http0.9", "-6", "-sS", "-m", "60", "http://orders.shop.mesh/")
	says(t, k.Place, "original 192.0.2.99:80", "curl", "--http0.9", "-4", "-sS", "-m", "60", "http://www.example.com/")

	const reach = `
import socket,sys
s=socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET); s.settimeout(.2)
try: s.connect((sys.argv[1],int(sys.argv[2]))); print("captured")
except OSError: print("direct")`
	python(t, k.Place, "direct", reach, "198.51.100.9", "80")
	python(t, k.Place, "direct", reach, "2001:db8:3::1", "80")
	python(t, k.Place, "direct", reach, "192.0.2.1", "9")

	// The proxy reaches the workload's ports by its loopback, from inside.
	server := exec.Command(pythonPath(t), "-c", strings.NewReplacer("127.0.0.1", "0.0.0.0", "::1", "::").Replace(
		strings.Replace(serverCode, "l.bind", "f==socket.AF_INET6 and l.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,1); l.bind", 1)), "9002")
	out, _ := server.StdoutPipe()
	if err := k.Start(server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	if b := make([]byte, 6); read(out, b) != "ready\n" {
		t.Fatalf("the server says %q", b)
	}
	for _, at := range []string{"127.0.0.1:9002", "[::1]:9002"} {
		var got string
		if err := k.Inside(func() error { got = ask(at, 0); return nil }); err != nil || got != "served" {
			t.Errorf("from inside at %s: %q, %v", at, got, err)
		}
	}

	// Nobody else does, root included.
	workload := outer(t, k)
	if len(workload) != 2 {
		t.Fatalf("the workload has the addresses %v", workload)
	}
	for _, a := range workload {
		python(t, k.Place, "served", askCode, a.String(), "9002")
		conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(a, 9002).String(), patience)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("from the host at %v: %v, %v", a, conn, err)
		}
	}

	// A successor takes over, and only a part of it listens.
	scope := strings.TrimSuffix(c.does.(*namespaces).prefix, "-")
	if err := c.Leave(); err != nil {
		t.Fatal(err)
	}
	next := reopen(t, scope, Nftables, 0)
	if w := next.Waiting(); len(w) != 1 || w[0] != escape(opt.Name) {
		t.Errorf("waiting: %q", w)
	}
	if !next.Lives(opt.Name) || next.Lives("shop/orders.2") {
		t.Error("it is not known who lives")
	}
	opt.Outbound = netip.MustParseAddrPort("127.0.0.1:15002")
	again, err := next.Workload(opt)
	if err != nil {
		t.Fatal(err)
	}
	if again.Netns != k.Netns {
		t.Errorf("it has moved to %s", again.Netns)
	}
	if out, err := run(t, again.Place, pythonPath(t), "-c", askCode, "192.0.2.1", "80"); err == nil || !strings.Contains(out, "ConnectionRefusedError") {
		t.Errorf("without a listener: %q, %v", out, err)
	}
	python(t, again.Place, "original [2001:db8::1]:80", askCode, "2001:db8::1", "80")
}

// TestTwoNamespaces: workloads have networks of their own.
func TestTwoNamespaces(t *testing.T) {
	c := open(t, Nftables, 0)
	seen := map[netip.Addr]bool{}
	for i := range 3 {
		k, err := c.Workload(WorkloadOptions{Name: fmt.Sprint("w", i), Outbound: netip.MustParseAddrPort("127.0.0.1:15001")})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range outer(t, k) {
			if seen[a] {
				t.Errorf("workload %d has %v, as another one", i, a)
			}
			seen[a] = true
		}
	}
	if err := c.Sweep(); err != nil || len(c.does.(*namespaces).all()) != 3 {
		t.Errorf("a sweep took what is in use: %v, %q", err, c.does.(*namespaces).all())
	}
	scope := strings.TrimSuffix(c.does.(*namespaces).prefix, "-")
	if err := c.Leave(); err != nil {
		t.Fatal(err)
	}
	next := reopen(t, scope, Nftables, 0)
	if left := next.does.(*namespaces).all(); len(left) != 0 {
		t.Errorf("%q are left of workloads without processes", left)
	}
}

// TestNoNamespace: a name that is not mounted is told from one that may not be
// entered.
func TestNoNamespace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders")
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	err := Place{Netns: path}.Start(exec.Command("true"))
	if want := path + " is no network namespace here"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, and not %q", err, want)
	}
	if err := (Place{Netns: path + "s"}).Start(exec.Command("true")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a name: %v", err)
	}
}
