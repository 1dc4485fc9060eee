package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// machines are a control plane and two machines with workloads, each with a
// network of its own, joined by a bridge at the first.
type machines struct {
	t       *testing.T
	plane   *host
	at      [2]*host
	control *running
	nodes   [2]*running
}

// newMachines makes them; nothing runs yet.
func newMachines(t *testing.T) *machines {
	t.Helper()
	m := &machines{t: t, plane: newHost(t)}
	m.plane.addr = "10.77.0.1"
	if err := m.plane.inside(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	m.plane.ip("link add sw type bridge")
	m.plane.ip("addr add 10.77.0.1/24 dev sw")
	m.plane.ip("link set sw up")
	for i := range m.at {
		h := newHost(t)
		h.addr = fmt.Sprintf("10.77.0.%d", i+2)
		m.at[i] = h
		// The descriptor is ours, and ip's parent is this process.
		m.plane.ip(fmt.Sprintf("link add to%d type veth peer name eth0 netns /proc/%d/fd/%d", i, os.Getpid(), h.ns.Fd()))
		m.plane.ip(fmt.Sprintf("link set to%d master sw up", i))
		h.ip("addr add " + h.addr + "/24 dev eth0")
		h.ip("link set eth0 up")
		h.ip("route add default via 10.77.0.1")
	}
	return m
}

func (m *machines) startControl(config string, args ...string) {
	m.t.Helper()
	h := m.plane
	file := h.file("mesh.yaml", config)
	m.control = h.naru(nil, append([]string{"control", file, "--node", "plane", "--address", h.addr, "--listen", h.addr + ":15012",
		"--control-socket", h.path("control.sock"), "--data", h.path("data")}, args...)...)
}

// token makes one for a node.
func (m *machines) token(args ...string) string {
	m.t.Helper()
	return m.plane.token(args...)
}

// join starts the node of a machine; without a token it goes by what it has.
func (m *machines) join(i int, args ...string) {
	m.t.Helper()
	m.nodes[i] = m.at[i].naru(nil, append(append([]string{"node"}, m.at[i].node()...), args...)...)
}

// start starts everything.
func (m *machines) start(config string, args ...string) {
	m.t.Helper()
	m.startControl(config, args...)
	for i, h := range m.at {
		m.join(i, "--join", m.token("--node", h.name))
	}
}

// sniffer reads what a bridge carries.
type sniffer struct {
	fd      int
	ended   chan struct{}
	packets atomic.Int64
	found   atomic.Int64
}

// sniff looks in every packet that passes the bridge for a text, until the test
// ends.
func (m *machines) sniff(marker string) *sniffer {
	m.t.Helper()
	s := &sniffer{ended: make(chan struct{})}
	const all = 0x0300 // ETH_P_ALL, as the network writes it
	err := m.plane.inside(func() (err error) {
		s.fd, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, all)
		return err
	})
	if err != nil {
		m.t.Skipf("packets cannot be read here: %v", err)
	}
	go func() {
		defer close(s.ended)
		b := make([]byte, 1<<17)
		for {
			n, _, err := syscall.Recvfrom(s.fd, b, 0)
			if err == syscall.EINTR || err == syscall.EAGAIN {
				if s.packets.Load() < 0 {
					return
				}
				continue
			}
			if err != nil {
				return
			}
			if s.packets.Add(1) < 0 {
				return
			}
			if bytes.Contains(b[:n], []byte(marker)) {
				s.found.Add(1)
			}
		}
	}()
	if err := syscall.SetsockoptTimeval(s.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 100_000}); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		s.packets.Store(-1 << 40)
		<-s.ended
		syscall.Close(s.fd)
	})
	return s
}

// saved waits until both nodes have on their disks what they serve.
func (m *machines) saved() {
	m.t.Helper()
	eventually(m.t, "what is known is on the disks", func() bool {
		return m.nodes[0].value("naru_link_unsaved") == 0 && m.nodes[1].value("naru_link_unsaved") == 0
	})
}

const secret = "wh4t-n0b0dy-m4y-r34d"

// TestMeshTwoMachines joins two machines by tokens; what they say to each other
// nobody reads on the way.
func TestMeshTwoMachines(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.start(shopMesh)
	a, b := m.at[0], m.at[1]
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", secret)
	b.perform([]string{"--service", "chat", "--port", "9104"}, "greet", "9104")
	m.plane.serving("orders", 1)
	m.plane.serving("chat", 1)
	s := m.sniff(secret)
	var got string
	eventually(t, "the other machine knows", func() bool {
		got = a.curl("web", "http://orders:9102/"+secret)
		return strings.HasPrefix(got, "200")
	})
	if got != "200 "+secret {
		t.Errorf("across: %s", got)
	}
	p := a.perform([]string{"--account", "web"}, "talk", "chat:9104")
	said(t, p.out, "welcome")
	fmt.Fprintln(p.in, secret)
	said(t, p.out, secret)
	if got := b.curl("web", "http://orders:9102/"); got != "200 "+secret {
		t.Errorf("on one machine: %s", got)
	}
	if s.packets.Load() < 10 || s.found.Load() != 0 {
		t.Errorf("of %d packets %d can be read", s.packets.Load(), s.found.Load())
	}
	// That the sniffer would find it: whoever is no workload sends it openly.
	if conn, err := a.dial(b.addr + ":15008"); err == nil {
		fmt.Fprint(conn, secret)
		eventually(t, "plaintext is seen", func() bool { return s.found.Load() > 0 })
		conn.Close()
	} else {
		t.Error(err)
	}

	status := m.plane.start(nil, binary, "status", "--socket", m.plane.path("control.sock"))
	status.ended()
	for _, want := range []string{a.name, b.name, "newest", "default/", b.addr} {
		if !strings.Contains(status.out.text(), want) {
			t.Errorf("naru status lacks %q:\n%s", want, status.out.text())
		}
	}
	status = m.plane.start(nil, binary, "status", "--json", "--socket", m.plane.path("control.sock"))
	status.ended()
	var all struct {
		Proxies []struct{ Node, Configuration string }
	}
	if err := json.Unmarshal([]byte(status.out.text()), &all); err != nil || len(all.Proxies) != 2 {
		t.Errorf("naru status --json: %v\n%s", err, status.out.text())
	}
}

// TestMeshTokens: a token is good once, for one node, for its time.
func TestMeshTokens(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.startControl("mesh: {trustDomain: shop.example}\n")
	a, b := m.at[0], m.at[1]
	used := m.token("--node", a.name)
	m.join(0, "--join", used)
	refused := func(what, token string, words ...string) {
		t.Helper()
		p := b.start(nil, binary, append([]string{"node", "--join", token, "--admin", "off"}, b.node()...)...)
		if status := p.ended(); status != 1 {
			t.Errorf("%s: exit status %d", what, status)
		}
		for _, w := range words {
			if !strings.Contains(p.errs.text(), w) {
				t.Errorf("%s: it is not said %q:\n%s", what, w, p.errs.text())
			}
		}
	}
	refused("a token that was used", used, "token")
	refused("a token for another", m.token("--node", "other"), "token")
	refused("nonsense", "naru1.nonsense", "token")
	short := m.token("--node", b.name, "--ttl", "1ms")
	refused("a token that has expired", short, "token", "expired")
	good := m.token("--node", b.name)
	middle := len(good) / 2
	other := "A"
	if good[middle] == 'A' {
		other = "B"
	}
	refused("a forged token", good[:middle]+other+good[middle+1:], "token")
	m.join(1, "--join", good)
	// Whoever has joined may say the token at every start, or never again.
	for _, again := range [][]string{{"--join", good}, nil} {
		m.nodes[1].signal(syscall.SIGTERM)
		if status := m.nodes[1].ended(); status != 0 {
			t.Errorf("a node that is told to stop: exit status %d\n%s", status, m.nodes[1].errs.text())
		}
		m.join(1, again...)
		eventually(t, "the node is back", func() bool {
			for _, p := range m.plane.status().Proxies {
				if p.Node == b.name && p.Since.After(m.nodes[1].began) {
					return true
				}
			}
			return false
		})
	}
}

// TestMeshWithoutControl kills the control plane: what ran runs on, also when
// the proxies start again; what is new comes when it is back.
func TestMeshWithoutControl(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.start(shopMesh)
	a, b := m.at[0], m.at[1]
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	web := a.surfer()
	calls := func() bool { return callsOrders(web) }
	eventually(t, "a calls b", calls)
	m.saved()

	m.control.signal(syscall.SIGKILL)
	m.control.ended()
	if !calls() {
		t.Errorf("without a control plane: %s", web.out.text())
	}
	for i := range m.nodes {
		m.nodes[i].signal(syscall.SIGKILL)
		m.nodes[i].ended()
		m.join(i)
	}
	eventually(t, "a calls b by proxies that have seen no control plane", calls)

	m.startControl(shopMesh + "policies: [{name: none, to: orders, allow: []}]\n")
	eventually(t, "a policy that came meanwhile is in force", func() bool { return !calls() })
	m.plane.file("mesh.yaml", shopMesh)
	eventually(t, "and its end", calls)
}

// TestMeshCutOff takes a machine's link away: the other goes on, and those that
// are lost leave by their lease.
func TestMeshCutOff(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.start(inTurn, "--lease", "8s")
	a, b := m.at[0], m.at[1]
	a.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "a")
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "b")
	m.plane.serving("orders", 2)
	eventually(t, "both are called", func() bool {
		return a.curl("web", "http://orders:9102/") == "200 b" && a.curl("web", "http://orders:9102/") != ""
	})
	load := a.perform([]string{"--account", "web"}, "hammer", "http://orders:9102/")
	said(t, load.out, "warm")
	m.plane.ip("link set to1 down")
	m.plane.serving("orders", 1)
	if got := a.curl("web", "http://orders:9102/"); got != "200 a" {
		t.Errorf("a to itself: %s", got)
	}
	m.plane.ip("link set to1 up")
	m.plane.serving("orders", 2)
	load.signal(syscall.SIGTERM)
	load.ended()
	t.Logf("%s", load.out.text())
	eventually(t, "both are called again", func() bool { return a.curl("web", "http://orders:9102/") == "200 b" })
}

// TestMeshRenewal lets certificates end while there is no control plane, and
// sees them renewed when it is back.
func TestMeshRenewal(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("it takes the life of a certificate: -long")
	}
	m := newMachines(t)
	m.start(shopMesh, "--certificate-life", "1m")
	a, b := m.at[0], m.at[1]
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	m.plane.serving("orders", 1)
	eventually(t, "a calls b", func() bool { return a.curl("web", "http://orders:9102/") == "200 orders here" })
	m.control.signal(syscall.SIGKILL)
	m.control.ended()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for began := time.Now(); a.curl("web", "http://orders:9102/") == "200 orders here"; <-tick.C {
		if time.Since(began) > 3*time.Minute {
			t.Fatal("certificates of a minute are good for three")
		}
	}
	began := time.Now()
	m.startControl(shopMesh, "--certificate-life", "1m")
	eventually(t, "a calls b again", func() bool { return a.curl("web", "http://orders:9102/") == "200 orders here" })
	t.Logf("%v after the control plane's return", time.Since(began))
}

// TestMeshDiskFull fills the control plane's disk: what runs runs on, and it is
// told.
func TestMeshDiskFull(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("it fills 320 MiB: -long")
	}
	m := newMachines(t)
	if err := os.Mkdir(m.plane.path("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", m.plane.path("data"), "tmpfs", 0, "size=320m"); err != nil {
		t.Skipf("no file system can be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(m.plane.path("data"), syscall.MNT_DETACH) })
	m.start(shopMesh)
	a, b := m.at[0], m.at[1]
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	web := a.surfer()
	calls := func() bool { return callsOrders(web) }
	eventually(t, "a calls b", calls)
	fill, err := os.Create(m.plane.path("data/fill"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = fill.Write(block)
	}
	fill.Close()
	m.plane.file("mesh.yaml", shopMesh+"policies: [{name: none, to: payments, allow: []}]\n")
	for range 20 {
		if !calls() {
			t.Fatalf("with a full disk: %s", web.out.text())
		}
	}
	token := func() (int, string) {
		p := m.plane.start(nil, binary, "token", "create", "--node", "x", "--any", "--socket", m.plane.path("control.sock"))
		return p.ended(), p.errs.text()
	}
	if status, text := token(); status != 1 || !strings.Contains(text, "the disk of") {
		t.Errorf("a token with a full disk: %d %s", status, text)
	}
	if out := a.rotate("workloads", "node.sock"); !strings.Contains(out, "have new certificates") {
		t.Errorf("renewals with a full disk: %s", out) // what is read suffices for them
	}
	if err := os.Remove(m.plane.path("data/fill")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a token is made again", func() bool { status, _ := token(); return status == 0 })
	if !calls() {
		t.Errorf("afterwards: %s", web.out.text())
	}
}

// TestMeshDrainAcross ends an instance that another machine calls.
func TestMeshDrainAcross(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.start(inTurn)
	a, b := m.at[0], m.at[1]
	a.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "a")
	leaves := b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "b")
	m.plane.serving("orders", 2)
	eventually(t, "b is called", func() bool { return a.curl("web", "http://orders:9102/") == "200 b" })
	load := a.perform([]string{"--account", "web"}, "hammer", "http://orders:9102/")
	said(t, load.out, "warm")
	leaves.signal(syscall.SIGTERM)
	if status := leaves.ended(); status != 0 {
		t.Errorf("exit status %d\n%s", status, leaves.errs.text())
	}
	m.plane.serving("orders", 1)
	load.signal(syscall.SIGTERM)
	load.ended()
	if !strings.Contains(load.out.text(), " bad 0\n") {
		t.Errorf("the load:\n%s", load.out.text())
	}
}

// inTurn is shopMesh with callers that ask every instance, also one that was
// slow the first time.
var inTurn = strings.Replace(shopMesh, "orders: {mesh: {port: 9102, ", "orders: {balance: round-robin, mesh: {port: 9102, ", 1)

// TestMeshRollingRestart starts every instance of a service anew, one after the
// other, on two machines, while both call it: nobody notices.
func TestMeshRollingRestart(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.start(inTurn)
	start := func(h *host) *running {
		return h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", h.name)
	}
	var instances, loads [2]*running
	for i, h := range m.at {
		instances[i] = start(h)
	}
	m.plane.serving("orders", 2)
	for i, h := range m.at {
		other := m.at[1-i].name
		eventually(t, h.name+" calls the other", func() bool { return h.curl("web", "http://orders:9102/") == "200 "+other })
		loads[i] = h.perform([]string{"--account", "web"}, "hammer", "http://orders:9102/", "2ms")
		said(t, loads[i].out, "warm")
	}
	for range 3 {
		for i, h := range m.at {
			instances[i].signal(syscall.SIGTERM)
			if status := instances[i].ended(); status != 0 {
				t.Errorf("exit status %d\n%s", status, instances[i].errs.text())
			}
			if text := instances[i].errs.text(); strings.Contains(text, "not every caller knows") {
				t.Errorf("%s: %s", h.name, text)
			}
			instances[i] = start(h)
			m.plane.serving("orders", 2)
		}
	}
	for i, load := range loads {
		load.signal(syscall.SIGTERM)
		load.ended()
		text := strings.ReplaceAll(strings.TrimSpace(load.out.text()), "\n", ", ")
		t.Logf("%s: %s", m.at[i].name, text)
		if !strings.HasSuffix(text, " bad 0") {
			t.Error("requests failed")
		}
	}
	for i, n := range m.nodes {
		if text := n.errs.text(); strings.Contains(text, "does not say who knows") {
			t.Errorf("%s: %s", m.at[i].name, text)
		}
	}
}
