package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// authority signs certificates of clients and services.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
	next int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, next: 1, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate for clients and for services of a name.
func (a *authority) sign(name string) (chain, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.next++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// showing is a client's TLS with a certificate of a's; nil shows none.
func showing(a *authority, name string) *tls.Config {
	conf := &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}
	if a == nil {
		return conf
	}
	pair, err := tls.X509KeyPair(pem2(a.sign(name)))
	if err != nil {
		a.t.Fatal(err)
	}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return conf
}

func pem2(chain, key string) ([]byte, []byte) { return []byte(chain), []byte(key) }

func mustTLS(t testing.TB, addr string, conf *tls.Config) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// over asks by one version of HTTP, with claims of the client's own.
func (g *gateway) over(version string, conf *tls.Config) (string, error) {
	g.t.Helper()
	var tr http.RoundTripper
	if version == "h3" {
		three := &http3.Transport{TLSClientConfig: conf.Clone()}
		defer three.Close()
		tr = three
	} else {
		one := &http.Transport{TLSClientConfig: conf.Clone(), Protocols: new(http.Protocols)}
		one.Protocols.SetHTTP1(version == "h1")
		one.Protocols.SetHTTP2(version == "h2")
		defer one.CloseIdleConnections()
		tr = one
	}
	r, err := http.NewRequest("GET", g.url("/"), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Host = "a.example"
	r.Header.Set("X-Forwarded-Client-Cert", "Hash=0;Subject=\"CN=admin\"")
	a, err := (&http.Client{Transport: tr, Timeout: patience}).Do(r)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	return fmt.Sprint(a.StatusCode, " ", string(text)), err
}

// TestMutualTLS: in all versions of HTTP, clients are let in by their
// certificates and services are told of them, and are shown ours.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	people, inside := newAuthority(t), newAuthority(t)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told := r.Header.Get("X-Forwarded-Client-Cert")
		_, told, _ = strings.Cut(told, ";") // without the hash
		fmt.Fprintf(w, "%s, from %s", told, r.TLS.PeerCertificates[0].Subject)
	}))
	chain, key := inside.sign("orders.internal")
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	up.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	up.TLS.ClientCAs.AddCert(inside.cert)
	up.StartTLS()
	defer up.Close()

	config := func(optional bool, name string) string {
		return fmt.Sprintf(`listen: {address: 'https://$LISTEN', protocols: [h1, h2, h3], tls: {cert: a.crt, key: a.key}, clientAuth: {ca: people.pem, optional: %v, forward: true}}
routes:
- to: orders
services:
  orders:
    endpoints: %s
    health: /
    tls: {ca: inside.pem, serverName: sni.internal, names: [other.internal, %s], cert: gateway.crt, key: gateway.key}
log: {format: json, file: access.log}
`, optional, up.Listener.Addr(), name)
	}
	g := prepare(t, config(false, "orders.internal"))
	g.keys("a", 1, "a.example")
	in := func(name string) string { return filepath.Join(g.dir, name) }
	g.saveAs(in("people.pem"), people.pem)
	g.saveAs(in("inside.pem"), inside.pem)
	chain, key = inside.sign("gateway")
	g.saveAs(in("gateway.crt"), chain)
	g.saveAs(in("gateway.key"), key)
	g.run("run", g.file)

	const alice = `200 Subject="CN=alice";DNS=alice, from CN=gateway`
	for _, version := range []string{"h1", "h2", "h3"} {
		if got, err := g.over(version, showing(people, "alice")); got != alice {
			t.Errorf("%s: alice gets %q, %v", version, got, err)
		}
		for who, conf := range map[string]*tls.Config{"nobody": showing(nil, ""), "mallory": showing(newAuthority(t), "mallory")} {
			if got, err := g.over(version, conf); err == nil {
				t.Errorf("%s: %s is let in: %q", version, who, got)
			}
		}
	}
	said(t, g.errs, "client_certificate_invalid", "CN=mallory")
	eventually(t, "all refusals are counted", func() bool {
		m := g.metrics()
		return m.value("naru_refused_total", "reason", "client_certificate_missing") >= 3 && m.value("naru_refused_total", "reason", "client_certificate_invalid") >= 3
	})
	g.counted(3, "naru_client_certificates_total")

	eventually(t, "alice stands in the access log", func() bool {
		b, _ := os.ReadFile(in("access.log"))
		return strings.Contains(string(b), `"client_certificate":"CN=alice (serial `)
	})

	// Another authority in the file: a resumed session does not help.
	kept := showing(people, "alice")
	kept.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for range 2 {
		if got, err := g.over("h1", kept); got != alice {
			t.Errorf("alice gets %q, %v", got, err)
		}
	}
	others := newAuthority(t)
	g.saveAs(in("people.pem"), others.pem)
	said(t, g.errs, "certificate reloaded", "client CA")
	if got, err := g.over("h1", kept); err == nil {
		t.Errorf("an authority that is gone lets in: %q", got)
	}
	if got, err := g.over("h1", showing(others, "alice")); got != alice {
		t.Errorf("alice gets %q, %v", got, err)
	}

	// Optional: everybody is served, and nobody is believed without proof.
	g.reload(config(true, "orders.internal"))
	for _, version := range []string{"h1", "h2", "h3"} {
		for who, conf := range map[string]*tls.Config{"nobody": showing(nil, ""), "mallory": showing(newAuthority(t), "mallory")} {
			if got, err := g.over(version, conf); got != "200 , from CN=gateway" {
				t.Errorf("%s: %s gets %q, %v", version, who, got, err)
			}
		}
	}

	// A certificate is demanded again: a connection from before has shown none.
	before := newClient(t, mustTLS(t, g.addr, showing(nil, "")))
	before.get("/").is(t, 200, ", from CN=gateway")
	g.reload(config(false, "orders.internal"))
	before.send("GET / HTTP/1.1\nHost: a.example\n\n")
	if a, err := before.read("GET"); err == nil && a.StatusCode < 500 {
		t.Errorf("a connection from before is served: %d %q", a.StatusCode, a.body)
	}

	// Authorities that are not there: the configuration is refused as a whole.
	g.reload(config(true, "orders.internal"))
	version := g.version()
	g.save(strings.ReplaceAll(config(false, "orders.internal"), "people.pem", "missing.pem"))
	said(t, g.errs, "missing.pem", "no such file")
	if g.version() != version {
		t.Error("a configuration whose authorities are missing is in force")
	}

	// A service whose certificate is for another name is not spoken to.
	g.reload(config(true, "elsewhere.internal"))
	if got, _ := g.over("h1", showing(others, "alice")); !strings.HasPrefix(got, "502 ") || !strings.Contains(got, "upstream_tls") {
		t.Errorf("a service by another name: %q", got)
	}
}
