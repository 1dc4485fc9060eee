package test

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMeshStoreDies kills the etcd of a control plane, and nothing else: requests
// go on, a proxy that comes back gets what is known, what is new in files comes;
// nobody joins, and is told why. When etcd is back what waited is done at once.
func TestMeshStoreDies(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	h, a, b := m.plane, m.at[0], m.at[1]
	h.file("seal.key", strings.Repeat("5e", 32))
	if err := syscall.Chmod(h.path("seal.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	startEtcd := func() *running {
		p := h.start(acting("etcd"), testProgram(t), h.path("etcd"), "127.0.0.1:2379")
		said(t, p.out, "etcd is ready")
		return p
	}
	outside := startEtcd()
	m.start(shopMesh, "--etcd", "http://127.0.0.1:2379", "--seal-key", h.path("seal.key"))
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	web := a.surfer()
	calls := func() bool { return callsOrders(web) }
	eventually(t, "a calls b", calls)
	m.saved()
	load := a.perform([]string{"--account", "web"}, "hammer", "http://orders:9102/", "10ms")
	said(t, load.out, "warm")
	waiting := m.token("--node", "third") // made while it could be

	outside.signal(syscall.SIGKILL)
	outside.ended()
	eventually(t, "both sides say so", func() bool {
		return h.status().Limited != "" && m.nodes[0].value("naru_link_limited") == 1 && m.nodes[1].value("naru_link_limited") == 1
	})
	if v := m.control.value("naru_link_store_available"); v != 0 {
		t.Errorf("naru_link_store_available is %v", v)
	}
	for _, p := range []string{m.control.page("/problems"), m.nodes[0].page("/problems")} {
		if !strings.Contains(p, "store-unavailable") || !strings.Contains(p, "the store of control plane plane does not answer since") {
			t.Errorf("problems: %s", p)
		}
	}
	third := a.start(nil, binary, "node", "--join", waiting, "--node", "third", "--address", a.addr, "--mesh-port", "15018", "--socket", a.path("third/node.sock"),
		"--capture", "off", "--admin", "off", "--data", a.path("third"))
	said(t, third.errs, "join: the control plane's store does not answer, so nobody can join")
	p := h.start(nil, binary, "token", "create", "--node", "x", "--any", "--socket", h.path("control.sock"))
	if status := p.ended(); status != 1 || !strings.Contains(p.errs.text(), "store") {
		t.Errorf("a token: %d %s", status, p.errs.text())
	}
	// A renewal is asked for, and fails; the certificate of before is shown on.
	renew := a.start(nil, binary, "rotate", "workloads", "--socket", a.path("node.sock"))
	said(t, m.nodes[0].errs, "an identity could not be renewed", "the control plane's store does not answer")
	load.signal(syscall.SIGTERM)
	load.ended()
	if text := load.out.text(); !regexp.MustCompile(`good \d{3,} bad 0\n`).MatchString(text) {
		t.Errorf("the load:\n%s", text)
	}
	// A proxy that starts again is told what there is, and serves.
	m.nodes[1].signal(syscall.SIGKILL)
	m.nodes[1].ended()
	m.join(1)
	eventually(t, "a calls b by a proxy that has started without a store", calls)
	if s := m.nodes[1].page("/status"); !strings.Contains(s, `"fromDisk": false`) {
		t.Errorf("it does not follow the control plane: %s", s)
	}
	h.file("mesh.yaml", shopMesh+"policies: [{name: none, to: payments, allow: []}]\n")
	eventually(t, "what is new in a file comes", func() bool {
		s := h.status()
		for _, p := range s.Proxies {
			if p.Configuration != s.Configuration {
				return false
			}
		}
		return len(s.Proxies) == 2
	})

	before := m.nodes[0].value("naru_identity_renewals_total")
	began := time.Now()
	startEtcd()
	started := time.Since(began)
	eventually(t, "what waited is renewed", func() bool { return m.nodes[0].value("naru_identity_renewals_total") > before })
	t.Logf("etcd was there after %v, and certificates were renewed %v later", started, time.Since(began)-started)
	if status := renew.ended(); status != 0 {
		t.Logf("the renewal that was asked for: %s", renew.errs.text()) // it waits for half a minute
	}
	said(t, third.out, "running")
	eventually(t, "all is well", func() bool { return h.status().Limited == "" && m.nodes[0].value("naru_link_limited") == 0 })
	h.serving("orders", 1)
	if !calls() {
		t.Errorf("afterwards: %s", web.out.text())
	}
}
