package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// corporate is an authority that naru did not make.
type corporate struct {
	h    *host
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCorporate(h *host) *corporate {
	h.t.Helper()
	c := &corporate{h: h}
	c.issue("corporate")
	return c
}

// issue writes NAME.pem and NAME.key; the first is the authority's own.
func (c *corporate) issue(name string) { c.write(name, c.cert == nil) }

// sign writes those of an authority below it.
func (c *corporate) sign(name string) { c.write(name, true) }

// base64 is its certificate, as a bundle has it.
func (c *corporate) base64() string { return base64.StdEncoding.EncodeToString(c.cert.Raw) }

func (c *corporate) write(name string, signs bool) {
	t := c.h.t
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if signs {
		x.IsCA, x.BasicConstraintsValid, x.KeyUsage, x.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	}
	parent, signer := c.cert, c.key
	if parent == nil {
		parent, signer = x, key
	}
	der, err := x509.CreateCertificate(rand.Reader, x, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if c.cert == nil {
		if c.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		c.key = key
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.h.file(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	c.h.file(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// TestMeshCredential has a node join by a certificate of an authority that the
// control plane was told of; others, other names and other control planes are
// refused.
func TestMeshCredential(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	by := newCorporate(h)
	by.issue("vm-1")
	by.issue("db-1")
	forger := &corporate{h: h}
	forger.issue("forger")
	forger.issue("vm-2")
	h.naru(nil, "control", h.file("mesh.yaml", "mesh: {trustDomain: shop.example}\nservices:\n  orders: {mesh: 9102}\n"), "--node", "plane", "--address", "127.0.0.1",
		"--listen", "127.0.0.1:15012", "--control-socket", h.path("control.sock"), "--join-ca", h.path("corporate.pem"), "--join-nodes", "vm-*", "--join-account", "orders,web")
	hash := ""
	eventually(t, "the root is known", func() bool { hash = h.status().RootHash; return len(hash) == 64 })
	args := func(name, credential, hash string) []string {
		return []string{"node", "--node", name, "--address", "127.0.0.1", "--socket", h.path("node.sock"), "--capture-scope", h.scope, "--trust-domain", "shop.example",
			"--control", "127.0.0.1:15012", "--credential", h.path(credential+".pem") + "," + h.path(credential+".key"), "--root-hash", hash, "--drain", "1s"}
	}
	refused := func(what string, args []string, want string) {
		t.Helper()
		p := h.start(nil, binary, append(args, "--admin", "off")...)
		eventually(t, what+" is refused", func() bool { return strings.Contains(p.errs.text(), want) })
		_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
		p.ended()
		if strings.Contains(p.out.text(), "is running") {
			t.Errorf("%s serves: %s", what, p.out.text())
		}
	}
	refused("another's certificate", args("vm-3", "vm-1", hash), `the certificate is for "vm-1"`)
	refused("a name that is not granted", args("db-1", "db-1", hash), `the certificate is for "db-1"`)
	refused("a forged certificate", args("vm-2", "vm-2", hash), "no control plane")
	other := h.start(nil, binary, append(args("vm-1", "vm-1", strings.Repeat("00", 32)), "--admin", "off")...)
	if status := other.ended(); status != 1 || !strings.Contains(other.errs.text(), "127.0.0.1:15012 is another control plane, or somebody is in between: --root-hash names the root 0000000000000000..., and its root is "+hash[:16]) {
		t.Errorf("another control plane: %d %s", status, other.errs.text())
	}
	refused("no hash", args("vm-1", "vm-1", ""), "naru status shows")

	h.naru(nil, args("vm-1", "vm-1", hash)...)
	h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	h.serving("orders", 1)
	if got := h.curl("web", "http://orders:9102/"); got != "200 orders here" {
		t.Errorf("a call by it: %s", got)
	}
}

// TestMeshGrant has a node whose workloads are said to be where it is not, and
// are not those that it may have: they are refused with what would be right, to
// who starts them and in naru status, until they are granted.
func TestMeshGrant(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	plane := h.naru(nil, "control", h.file("mesh.yaml", "mesh: {}\n"), "--node", "plane", "--address", "127.0.0.1", "--listen", "127.0.0.1:15012", "--control-socket", h.path("control.sock"), "--lease", "3s")
	eventually(t, "the root is known", func() bool { return len(h.status().RootHash) == 64 })
	token := h.token("--node", h.name, "--account", "orders")
	h.naru(nil, append([]string{"node", "--join", token, "--bind", "127.0.0.1"}, append(h.node(), "--address", "192.0.2.7")...)...)
	refused := func(want string, args ...string) {
		t.Helper()
		p := h.exec(args...)
		if status := p.ended(); status != 1 || !strings.Contains(p.errs.text(), want) {
			t.Errorf("%v: %d %s, and not: %s", args, status, p.errs.text(), want)
		}
	}
	grant := func(want string, args ...string) {
		t.Helper()
		p := h.start(nil, binary, append([]string{"token", "grant", "--socket", h.path("control.sock"), "--node", h.name}, args...)...)
		if status := p.ended(); status != 0 || p.out.text() != h.name+" may have "+want+"\n" {
			t.Errorf("naru token grant %v: %d %s%s", args, status, p.out.text(), p.errs.text())
		}
	}
	refused("node "+h.name+" may not have workloads of namespace default, account payments; where that is right write on the control plane: naru token grant --node "+h.name+" --account default/payments", "--account", "payments", "--", "true")
	want := "node " + h.name + " may not have workloads at 192.0.2.7: its connection comes from 127.0.0.1; start it with --address 127.0.0.1, or where that is right (NAT, several networks) write on the control plane: naru token grant --node " + h.name + " --address 192.0.2.7"
	refused(want, "--account", "orders", "--", "true")
	status := h.start(nil, binary, "status", "--socket", h.path("control.sock"))
	status.ended()
	if text := status.out.text(); !strings.Contains(text, h.name+" may not have default/orders: "+want) {
		t.Errorf("status does not show it: %s", text)
	}
	if n := plane.value("naru_link_refused_total", "why", "address"); n == 0 {
		t.Error("it is not counted")
	}
	grant("workloads of default/orders, at the address that it connects from")
	grant("workloads of default/orders, at the address that it connects from and 192.0.2.7", "--address", "192.0.2.7")
	granted := h.exec("--account", "orders", "--", "echo", "it runs")
	if status := granted.ended(); status != 0 || granted.out.text() != "it runs\n" {
		t.Errorf("once it is granted: %d %s%s", status, granted.out.text(), granted.errs.text())
	}
	grant("workloads of default/payments, at the address that it connects from and 192.0.2.7", "--only", "--account", "payments", "--address", "192.0.2.7")
	refused("may not have workloads of namespace default, account cart", "--account", "cart", "--", "true")

	forget := func() (int, string) {
		p := h.start(nil, binary, "token", "forget", "--socket", h.path("control.sock"), "--node", h.name)
		return p.ended(), p.errs.text()
	}
	if status, text := forget(); status != 0 || text != "" {
		t.Errorf("naru token forget: %d %s", status, text)
	}
	if status, text := forget(); status != 1 || !strings.Contains(text, "there is no node "+h.name) {
		t.Errorf("naru token forget, again: %d %s", status, text)
	}
	eventually(t, "it is told nothing more", func() bool { return len(h.status().Proxies) == 0 })
}

// TestMeshFederation has two meshes follow each other's bundles by SVIDs
// (https_spiffe), and a workload that is told of both; then no more.
func TestMeshFederation(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	plane := func(name string, link, bundle int, config string) *running {
		return h.naru(nil, "control", h.file(name+".yaml", config), "--node", name, "--address", "127.0.0.1", "--listen", fmt.Sprintf("127.0.0.1:%d", link),
			"--control-socket", h.path(name+".sock"), "--bundle-listen", fmt.Sprintf("127.0.0.1:%d", bundle))
	}
	bundle := func(name string) {
		t.Helper()
		p := h.start(nil, binary, "bundle", "--socket", h.path(name+".sock"))
		if p.ended() != 0 || !strings.Contains(p.out.text(), `"x509-svid"`) {
			t.Fatalf("naru bundle: %s%s", p.out.text(), p.errs.text())
		}
		h.file(name+".json", p.out.text())
	}
	federated := func(own, other string, port int) string {
		return fmt.Sprintf("mesh: {trustDomain: %s.test, federated: [{trustDomain: %s.test, url: \"https://127.0.0.1:%d/\", endpointID: \"spiffe://%s.test/bundle\", ca: %s.json}]}\n", own, other, port, other, other)
	}
	a := plane("a", 15012, 8443, "mesh: {trustDomain: a.test}\n")
	bundle("a")
	b := plane("b", 15013, 8444, federated("b", "a", 8443))
	bundle("b")
	h.naru(nil, append([]string{"node", "--join", h.tokenAt("a.sock", "--node", h.name)}, h.node()...)...)
	workload := h.perform([]string{"--account", "web"}, "bundles")
	said(t, workload.out, "believes a.test")
	h.file("a.yaml", federated("a", "b", 8444))
	said(t, workload.out, "believes a.test b.test")
	for domain, p := range map[string]*running{"b.test": a, "a.test": b} {
		eventually(t, "the bundle of "+domain+" comes from its endpoint", func() bool {
			return p.value("naru_federation_fetches_total", "trust_domain", domain, "result", "ok") >= 1
		})
	}
	h.file("a.yaml", "mesh: {trustDomain: a.test}\n")
	eventually(t, "b is not believed any more", func() bool {
		lines := strings.Split(strings.TrimSpace(workload.out.text()), "\n")
		return lines[len(lines)-1] == "believes a.test" && len(lines) > 2
	})
	// b's bundle does not speak for c.
	h.file("a.yaml", strings.ReplaceAll(federated("a", "c", 8444), "c.json", "b.json"))
	eventually(t, "it is a problem", func() bool { return strings.Contains(a.page("/problems"), "the bundle of the trust domain c.test") })
}
