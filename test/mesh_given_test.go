package test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// TestMeshGivenAuthority has the company's own authority sign: an intermediate of
// it for naru, whose root is elsewhere. A node joins by a token, workloads call
// each other, and what they prove ends in the company's root.
func TestMeshGivenAuthority(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	corp := newCorporate(h)
	corp.sign("mesh")
	control := []string{"control", h.file("mesh.yaml", "mesh: {trustDomain: shop.example}\nservices:\n  orders: {mesh: 9102}\n"), "--node", "plane", "--address", "127.0.0.1",
		"--listen", "127.0.0.1:15012", "--control-socket", h.path("control.sock"), "--ca-cert", h.path("mesh.pem")}
	refused := func(status int, want string, args ...string) {
		t.Helper()
		p := h.start(nil, binary, append(append(control[:len(control):len(control)], "--admin", "off"), args...)...)
		if got := p.ended(); got != status || !strings.Contains(p.errs.text(), want) {
			t.Errorf("%v: %d %s, and not: %s", args, got, p.errs.text(), want)
		}
	}
	refused(2, "--ca-cert and --ca-key together")
	refused(1, "mesh.pem is not a root: name the file of the roots", "--ca-key", h.path("mesh.key"))
	refused(1, "does not match", "--ca-key", h.path("corporate.key"))
	h.naru(nil, append(control, "--ca-key", h.path("mesh.key"), "--ca-roots", h.path("corporate.pem"))...)
	hash := ""
	eventually(t, "the root is known", func() bool { hash = h.status().RootHash; return len(hash) == 64 })
	if want := sha256.Sum256(corp.cert.Raw); hash != hex.EncodeToString(want[:]) {
		t.Errorf("the root is %s", hash)
	}
	h.naru(nil, append([]string{"node", "--join", h.token("--node", h.name)}, h.node()...)...)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	if got := h.curl("web", "http://orders:9102/"); got != "200 orders here" {
		t.Errorf("a call: %s", got)
	}
	rotate := h.start(nil, binary, "rotate", "root", "--socket", h.path("control.sock"))
	if status := rotate.ended(); status != 1 || !strings.Contains(rotate.errs.text(), "put the new one beside the old in the file of the roots") {
		t.Errorf("its root is replaced: %d %s", status, rotate.errs.text())
	}
	bundle := h.start(nil, binary, "bundle", "--socket", h.path("control.sock"))
	if bundle.ended(); !strings.Contains(bundle.out.text(), corp.base64()) {
		t.Errorf("another root is published: %s", bundle.out.text())
	}
	if err := os.Remove(h.path("mesh.key")); err != nil { // of what was read nothing is lost
		t.Fatal(err)
	}
	if got := h.curl("late", "http://orders:9102/"); got != "200 orders here" {
		t.Errorf("a call of another: %s", got)
	}
}
