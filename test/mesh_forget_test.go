package test

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestMeshForget makes a machine whose keys somebody may have a stranger: the
// others refuse its certificates at once, also on connections that are open, and
// go on among themselves; it comes back with another token. Of an identity the
// old certificates are refused, and no call of those fails that have new ones.
func TestMeshForget(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.start(shopMesh)
	h, a, b := m.plane, m.at[0], m.at[1]
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	far, near := a.surfer(), b.surfer()
	eventually(t, "both call orders", func() bool { return callsOrders(far) && callsOrders(near) })
	forget := func(args ...string) {
		t.Helper()
		p := h.start(nil, binary, append([]string{"token", "forget", "--socket", h.path("control.sock")}, args...)...)
		if status := p.ended(); status != 0 {
			t.Fatalf("forget: %d %s", status, p.errs.text())
		}
	}

	before := m.nodes[1].value("naru_refused_total", "reason", "client_identity")
	forget("--node", a.name)
	eventually(t, "the machine that is forgotten is refused", func() bool {
		return !callsOrders(far) && m.nodes[1].value("naru_refused_total", "reason", "client_identity") > before
	})
	said(t, m.nodes[1].errs, "handshake failed", "it is forgotten: machine "+a.name)
	if !callsOrders(near) {
		t.Error("another machine is refused, too")
	}
	if s := h.status(); len(s.Forgotten) != 1 || !strings.Contains(s.Forgotten[0], "machine "+a.name) {
		t.Errorf("naru status: %q", s.Forgotten)
	}
	// With another token, and without what it knew, it is as any other.
	m.nodes[0].signal(syscall.SIGTERM)
	m.nodes[0].ended()
	if err := os.RemoveAll(a.path("data")); err != nil {
		t.Fatal(err)
	}
	m.join(0, "--join", m.token("--node", a.name))
	eventually(t, "with another token it is back", func() bool { return callsOrders(far) })

	forget("--account", "web")
	eventually(t, "identities have new certificates", func() bool { return len(h.status().Forgotten) == 2 })
	for range 20 {
		if !callsOrders(far) || !callsOrders(near) {
			t.Error("who has a new certificate is refused")
		}
	}
}
