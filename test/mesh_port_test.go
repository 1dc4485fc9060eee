package test

import (
	"strings"
	"syscall"
	"testing"
)

// TestMeshListenerOnAWorkloadsPort: of a listener and a workload that want the
// same port of a machine the one that comes later is refused, and told so.
func TestMeshListenerOnAWorkloadsPort(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	run := h.mesh(shopMesh)
	w := h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	h.file("mesh.yaml", strings.Replace(shopMesh, "listen: 127.0.0.1:8080", "listen: ['127.0.0.1:8080', '127.0.0.1:9102', '127.0.0.1:9106']", 1))
	eventually(t, "the other new listener serves", func() bool {
		status, body, err := h.get("http://127.0.0.1:9106/")
		return err == nil && status == 200 && body == "orders here"
	})
	const told = "is not served: port 9102 is that of workload default/orders-"
	said(t, run.errs, told)
	if p := run.page("/problems"); !strings.Contains(p, "port-taken") || !strings.Contains(p, told) || !strings.Contains(p, "mesh.yaml") {
		t.Errorf("problems: %s", p)
	}
	if got := h.curl("web", "http://orders:9102/"); got != "200 orders here" {
		t.Errorf("the workload: %s", got)
	}
	if status, body, err := h.get("http://127.0.0.1:9102/"); err == nil {
		t.Errorf("plaintext to a strict service: %d %q", status, body)
	}

	w.signal(syscall.SIGTERM)
	w.ended()
	eventually(t, "the port is free, and the listener serves", func() bool {
		status, _, err := h.get("http://127.0.0.1:9102/")
		return err == nil && status == 503
	})
	said(t, run.errs, "no longer a problem: ")
	p := h.exec("--service", "orders", "--port", "9102", "--", "true")
	if status := p.ended(); status == 0 || !strings.Contains(p.errs.text(), "port 9102 is the proxy's own: listener ") {
		t.Errorf("a workload at a listener's port: %d %s", status, p.errs.text())
	}
}
