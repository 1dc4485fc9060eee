package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/naru-mesh/naru/test/pebble"
)

// issued is a configuration whose certificates come from p.
func issued(p *pebble.Server, up, more string) string {
	return fmt.Sprintf(`listen:
- {address: "$LISTEN", redirect: https}
- {address: "https://$LISTEN2", tls: {auto: {directory: %q, directoryCAFile: %q, storage: acme, email: ops@example.com%s}}}
routes:
- {match: shop.%%s.test/, to: "http://%s"}
- {match: /, to: "http://%s"}
`, p.Directory, p.CAFile, more, up, up)
}

func (g *gateway) number(port string) int {
	n, err := strconv.Atoi(g.ports[port])
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// visit asks https://name/, which leads to addr, trusting roots, and gives the
// certificate that was shown.
func visit(t testing.TB, addr, name string, roots *x509.CertPool) (body string, cert *x509.Certificate, err error) {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	c := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
	}}
	res, err := c.Get("https://" + name + "/x")
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), res.TLS.PeerCertificates[0], err
}

// The names are those of the routes. The proof is found although everything is
// redirected to https, and what was got serves the next start too.
func TestCertificatesByHTTP(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := prepare(t, "")
	p := pebble.Start(t, pebble.Options{HTTPPort: g.number("$PORT")})
	g.save(fmt.Sprintf(issued(p, up.addr, ""), "http"))
	g.run("run", g.file)
	body, cert, err := visit(t, g.ports["$LISTEN2"], "shop.http.test", p.Roots())
	if err != nil || body != "GET /x" {
		t.Fatalf("%q, %v", body, err)
	}
	if m := g.metrics(); m.value("naru_certificates_issued_total", "by", "acme") != 1 || m.value("naru_certificate_challenges_total") < 1 ||
		m.value("naru_certificate_expiry_timestamp_seconds", "name", "shop.http.test") != float64(cert.NotAfter.Unix()) {
		t.Errorf("metrics %v", m["naru_certificate_expiry_timestamp_seconds"])
	}
	if _, text := g.page("/problems"); strings.Contains(text, "shop.http.test") {
		t.Errorf("problems %s", text)
	}
	// Other paths below, and other hosts, are redirected as ever.
	for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/token"} {
		req, err := http.NewRequest("GET", "http://"+g.ports["$LISTEN"]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "shop.http.test"
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 301 {
			t.Errorf("%s is answered with %d", path, res.StatusCode)
		}
	}
	if _, _, err := visit(t, g.ports["$LISTEN2"], "stranger.test", p.Roots()); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name that nobody has a certificate for: %v", err)
	}
	asked := p.Orders()
	g.signal(os.Interrupt)
	if g.ended() != 0 {
		t.Error("naru does not end well")
	}
	g.run("run", g.file)
	_, again, err := visit(t, g.ports["$LISTEN2"], "shop.http.test", p.Roots())
	if err != nil || !again.Equal(cert) || p.Orders() != asked {
		t.Errorf("after a restart: %v, %d orders instead of %d", err, p.Orders(), asked)
	}
}

// What the authority says of a certificate comes with the handshake, to every
// client that asks for it, and is asked for once.
func TestCertificatesAreVouchedFor(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := prepare(t, "")
	p := pebble.Start(t, pebble.Options{HTTPPort: g.number("$PORT"), OCSP: true})
	g.save(fmt.Sprintf(issued(p, up.addr, ""), "ocsp"))
	g.run("run", g.file)
	if _, _, err := visit(t, g.ports["$LISTEN2"], "shop.ocsp.test", p.Roots()); err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := tls.Dial("tcp", g.ports["$LISTEN2"], &tls.Config{RootCAs: p.Roots(), ServerName: "shop.ocsp.test", MaxVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		state := conn.ConnectionState()
		conn.Close()
		said, err := ocsp.ParseResponseForCert(state.OCSPResponse, state.PeerCertificates[0], p.Issuer())
		if err != nil || said.Status != ocsp.Good {
			t.Errorf("%s: %d bytes, %v", tls.VersionName(version), len(state.OCSPResponse), err)
		}
	}
	if n := p.Vouched(); n != 1 {
		t.Errorf("the responder was asked %d times", n)
	}
}

// On demand, by TLS-ALPN-01: the handshake waits while the authority shakes
// hands with the same port.
func TestCertificatesOnDemand(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := prepare(t, "")
	p := pebble.Start(t, pebble.Options{TLSPort: g.number("$PORT2")})
	g.save(fmt.Sprintf(issued(p, up.addr, ", onDemand: [\"*.tenants.test\"]"), "alpn"))
	g.run("run", g.file)
	at := g.ports["$LISTEN2"]
	for _, name := range []string{"a.tenants.test", "shop.alpn.test"} {
		if body, _, err := visit(t, at, name, p.Roots()); err != nil || body != "GET /x" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
	if _, _, err := visit(t, at, "a.strangers.test", p.Roots()); err == nil {
		t.Error("what no pattern allows is served")
	}
	if p.Orders() < 2 {
		t.Errorf("%d orders", p.Orders())
	}

	// The authority goes away: what there is serves on, and why there is
	// nothing else is told.
	p.Down(true)
	if _, _, err := visit(t, at, "b.tenants.test", p.Roots()); err == nil {
		t.Error("a certificate without an authority")
	}
	if _, _, err := visit(t, at, "a.tenants.test", p.Roots()); err != nil {
		t.Error(err)
	}
	g.reload(strings.Replace(fmt.Sprintf(issued(p, up.addr, ", onDemand: [\"*.tenants.test\"]"), "alpn"),
		"routes:", "routes:\n- {match: late.alpn.test/, respond: 200}", 1))
	for _, name := range []string{"b.tenants.test", "late.alpn.test"} {
		eventually(t, name+" is told", func() bool {
			_, text := g.page("/problems")
			return strings.Contains(text, name) && strings.Contains(text, "no-certificate")
		})
	}
	if _, _, err := visit(t, at, "shop.alpn.test", p.Roots()); err != nil {
		t.Error(err)
	}
}

// What the command line says, and roots that are of no use elsewhere.
func TestLocalAuthority(t *testing.T) {
	t.Parallel()
	up := witness(t)
	g := prepare(t, "")
	g.run("run", "--to", "http://"+up.addr, "--tls", "local", "--listen", g.ports["$LISTEN"], "shop.example.com", "*.shop.test")
	out, err := exec.Command(binary, "certs", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Roots []struct{ File, SHA256 string }
	}
	if err := json.Unmarshal(out, &stored); err != nil || len(stored.Roots) < 2 {
		t.Fatal(string(out), err)
	}
	pools := map[string]*x509.CertPool{}
	for _, r := range stored.Roots {
		text, err := os.ReadFile(r.File)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		pools[filepath.Base(filepath.Dir(r.File))] = pool
		for name, mode := range map[string]os.FileMode{r.File: 0o600, filepath.Dir(r.File): 0o700 | os.ModeDir, strings.TrimSuffix(r.File, "pem") + "key": 0o600} {
			if info, err := os.Stat(name); err != nil || info.Mode() != mode {
				t.Errorf("%s has the mode %v, %v", name, info.Mode(), err)
			}
		}
	}
	at := g.ports["$LISTEN"]
	for name, root := range map[string]string{"localhost": "reserved", "127.0.0.1": "reserved", "a.shop.test": "reserved", "shop.example.com": "shop.example.com"} {
		body, cert, err := visit(t, at, name, pools[root])
		if err != nil || body != "GET /x" {
			t.Errorf("%s: %q, %v", name, body, err)
			continue
		}
		if time.Until(cert.NotAfter) > 25*time.Hour {
			t.Errorf("%s: the certificate lives until %v", name, cert.NotAfter)
		}
	}
	if _, _, err := visit(t, at, "shop.example.com", pools["reserved"]); err == nil {
		t.Error("the root of reserved names vouches for another")
	}
	if _, _, err := visit(t, at, "www.example.com", pools["reserved"]); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name that is not served: %v", err)
	}
}

// --tls stands beside what a file says.
func TestTLSOnTopOfAFile(t *testing.T) {
	t.Parallel()
	g := prepare(t, "listen: \"$LISTEN\"\nroutes: [{match: shop.localhost/, respond: 200 hello}]\n")
	g.run("run", g.file, "--tls", "local", "--listen", g.ports["$LISTEN2"])
	if body, _, err := visitAnyRoot(t, g.ports["$LISTEN2"], "shop.localhost"); err != nil || body != "hello" {
		t.Errorf("%q, %v", body, err)
	}
}

func visitAnyRoot(t testing.TB, addr, name string) (string, *x509.Certificate, error) {
	t.Helper()
	roots := x509.NewCertPool()
	files, err := filepath.Glob(filepath.Join(os.Getenv("XDG_DATA_HOME"), "naru/local/*/root.pem"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		roots.AppendCertsFromPEM(text)
	}
	return visit(t, addr, name, roots)
}
