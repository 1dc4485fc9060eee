package local

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func start(t *testing.T, folder string, names ...string) (*Authority, *clock) {
	t.Helper()
	c := &clock{time.Now()}
	a := New(Options{Folder: folder, Now: c.now})
	a.Follow([]identity.Want{{Listener: "l", Names: names, Issuance: &model.Issuance{By: model.Local}}})
	return a, c
}

func ask(a *Authority, name string) *tls.Certificate {
	return a.Certificate("l", &tls.ClientHelloInfo{ServerName: name})
}

// trust gives all roots below folder.
func trust(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	list, err := Roots(folder)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	for _, r := range list {
		text, err := os.ReadFile(r.File)
		if err != nil || !pool.AppendCertsFromPEM(text) {
			t.Fatal(err)
		}
	}
	return pool
}

func verify(cert *tls.Certificate, roots *x509.CertPool, name string, now time.Time) error {
	_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

func TestLeavesAreValid(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "local")
	a, c := start(t, dir, "*.example.com", "shop.example.org", "shop.test")
	roots := trust(t, dir)
	for name, want := range map[string]bool{
		"localhost": true, "a.b.localhost": true, "Shop.TEST": true, "shop.example.org": true, "a.example.com": true, "b.a.example.com": true,
		"other.test": false, "example.com": false, "www.shop.example.org": false, "google.com": false, ".localhost": false, "com": false,
	} {
		cert := ask(a, name)
		if (cert != nil) != want {
			t.Errorf("%s: certificate %v, want one: %v", name, cert != nil, want)
		}
		if cert == nil {
			continue
		}
		if err := verify(cert, roots, name, c.at); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if life := cert.Leaf.NotAfter.Sub(c.at); life > leafLife {
			t.Errorf("%s lives for %v", name, life)
		}
		if ask(a, name) != cert {
			t.Errorf("%s is made anew for each client", name)
		}
	}
	nameless := ask(a, "")
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		if err := verify(nameless, roots, name, c.at); err != nil {
			t.Errorf("without a name: %v", err)
		}
	}
	if got := a.Certificate("other", &tls.ClientHelloInfo{ServerName: "localhost"}); got != nil {
		t.Error("a listener that wants nothing gets a certificate")
	}
	if p := a.Problems(); len(p) > 0 {
		t.Error(p)
	}
	if h := a.Holdings(2); len(h) != 2 || h[0].Name != "a.b.localhost" {
		t.Errorf("holdings %v", h)
	}
}

// Whoever steals a root's key gets nowhere with it: what it signs for other
// names is not believed.
func TestRootsAreOfNoOtherUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	for scope, cases := range map[string]struct {
		good, bad  []string
		addresses  []net.IP
		badAddress bool
	}{
		reserved:      {good: []string{"localhost", "x.test"}, bad: []string{"example.com", "localhost.com", "com"}, addresses: []net.IP{net.IPv4(10, 0, 0, 1)}, badAddress: true},
		"example.com": {good: []string{"example.com", "a.example.com"}, bad: []string{"example.org", "localhost", "xexample.com"}, addresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, badAddress: true},
	} {
		r, made, err := openRoot(dir, scope, now)
		if err != nil || !made {
			t.Fatal(made, err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(r.cert)
		for _, name := range append(cases.good, cases.bad...) {
			leaf, err := r.leaf([]string{name}, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			err = verify(leaf, pool, name, now)
			bad := len(cases.bad) > 0 && strings.Contains(" "+strings.Join(cases.bad, " ")+" ", " "+name+" ")
			if (err != nil) != bad {
				t.Errorf("root of %s, leaf of %s: %v", scope, name, err)
			}
		}
		for _, ip := range cases.addresses {
			leaf, err := r.leaf(nil, []net.IP{ip}, now)
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(leaf, pool, ip.String(), now); err == nil {
				t.Errorf("root of %s signs for %s", scope, ip)
			}
		}
		if r.cert.MaxPathLen != 0 || !r.cert.MaxPathLenZero || !r.cert.PermittedDNSDomainsCritical || r.cert.KeyUsage != x509.KeyUsageCertSign {
			t.Errorf("root of %s may too much: %+v", scope, r.cert)
		}
		// It vouches for servers only.
		leaf, _ := r.leaf([]string{cases.good[0]}, nil, now)
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
			t.Errorf("root of %s vouches for clients", scope)
		}
	}
}

func TestRootsStay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "local")
	first, c := start(t, dir, "shop.example.org")
	before := trust(t, dir)
	second, _ := start(t, dir, "shop.example.org")
	for _, name := range []string{"localhost", "shop.example.org"} {
		if err := verify(ask(second, name), before, name, c.at); err != nil {
			t.Error(err)
		}
	}
	err := filepath.Walk(filepath.Dir(dir), func(name string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// A leaf is renewed at half of its life, a root before its end.
	old := ask(first, "localhost")
	c.at = c.at.Add(leafLife/2 + time.Minute)
	if cert := ask(first, "localhost"); cert == old {
		t.Error("the leaf is not renewed")
	} else if err := verify(cert, before, "localhost", c.at); err != nil {
		t.Error(err)
	}
	if n := first.Counts(); n.Renewed != 1 {
		t.Errorf("counts %+v", n)
	}
	c.at = c.at.Add(rootLife - rootLeft)
	if err := verify(ask(first, "localhost"), trust(t, dir), "localhost", c.at); err != nil {
		t.Error("after the end of the root: ", err)
	}
}

func TestRootIsMadeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	made := make([]*root, 8)
	for i := range made {
		all.Go(func() {
			r, _, err := openRoot(dir, reserved, time.Now())
			if err != nil {
				t.Error(err)
			}
			made[i] = r
		})
	}
	all.Wait()
	for _, r := range made {
		if r != nil && !r.cert.Equal(made[0].cert) {
			t.Error("two processes have two roots")
		}
	}
}

func TestNoFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"", file} {
		a, _ := start(t, folder, "shop.example.org")
		if p := a.Problems(); len(p) == 0 || p[0].Severity != model.Broken || !strings.Contains(p[0].Message, "listener l") {
			t.Errorf("folder %q: problems %v", folder, p)
		}
		if ask(a, "localhost") != nil {
			t.Errorf("folder %q: a certificate out of nothing", folder)
		}
	}
	if list, err := Roots(filepath.Join(t.TempDir(), "none")); err != nil || list != nil {
		t.Error(list, err)
	}
}
