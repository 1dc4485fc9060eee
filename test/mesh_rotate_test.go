package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// rotate runs naru rotate on a machine.
func (h *host) rotate(what, socket string) string {
	h.t.Helper()
	p := h.start(nil, binary, "rotate", what, "--socket", h.path(socket))
	if status := p.ended(); status != 0 {
		h.t.Fatalf("naru rotate %s: %d %s", what, status, p.errs.text())
	}
	return p.out.text()
}

// TestMeshRotation replaces every certificate and key that two machines have,
// several times, and the intermediate and the root above them, under load: no
// request fails, and every one is by what is new. The long run is make
// bench-rotate.
func TestMeshRotation(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.start(shopMesh)
	a, b := m.at[0], m.at[1]
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	m.plane.serving("orders", 1)
	eventually(t, "a calls b", func() bool { return a.curl("web", "http://orders:9102/") == "200 orders here" })
	load := a.perform([]string{"--account", "web"}, "hammer", "http://orders:9102/")
	said(t, load.out, "warm")
	before := m.nodes[0].value("naru_service_connects_total", "service", "orders@default/web")
	const rounds = 10
	failures := func() (all float64) {
		for _, n := range m.nodes {
			all += n.value("naru_identity_renewal_failures_total")
		}
		return all
	}
	failed := failures()
	for i := range rounds {
		for _, h := range m.at {
			if out := h.rotate("workloads", "node.sock"); out != "1 identities have new certificates and keys\n" {
				t.Errorf("%s: %q", h.name, out)
			}
		}
		switch i {
		case 2, 7:
			m.plane.rotate("intermediate", "control.sock")
		case 4:
			m.plane.rotate("root", "control.sock")
		}
	}
	after := m.nodes[0].value("naru_service_connects_total", "service", "orders@default/web")
	load.signal(syscall.SIGTERM)
	load.ended()
	if text := load.out.text(); !regexp.MustCompile(`good \d{3,} bad 0\n`).MatchString(text) {
		t.Errorf("the load:\n%s", text)
	}
	t.Logf("%d rotations of a's identity, %v connections, %s", rounds, after-before, strings.ReplaceAll(strings.TrimSpace(load.out.text()), "\n", ", "))
	if after-before < rounds/2 {
		t.Errorf("%v connections for %d certificates: old ones are lent on", after-before, rounds)
	}
	if s := m.plane.status(); len(s.Roots) != 2 || s.Roots[0].Stage != "retiring" || s.Roots[1].Stage != "active" {
		t.Errorf("roots %+v", s.Roots)
	}
	if n := failures() - failed; n != 0 {
		t.Errorf("%v renewals failed", n)
	}
	if got := a.curl("web", "http://orders:9102/"); got != "200 orders here" {
		t.Errorf("afterwards: %s", got)
	}
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	p := a.start(as(65534), binary, "rotate", "workloads", "--socket", a.path("node.sock"))
	if status := p.ended(); status != 1 || !strings.Contains(p.errs.text(), "only root and the user who runs the proxy") {
		t.Errorf("for nobody: %d %s", status, p.errs.text())
	}
}
