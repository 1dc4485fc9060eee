package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store/memory"
)

// signedBy is the root that a chain ends in.
func signedBy(t *testing.T, a *Authority, chain []*x509.Certificate) int {
	t.Helper()
	for i, root := range bundles(t, a).Own.Roots {
		one := &identity.Bundles{Own: &identity.Bundle{TrustDomain: "a.test", Roots: []*x509.Certificate{root}}}
		if _, err := identity.NewVerifier(one).Verify(chain, time.Now()); err == nil {
			return i
		}
	}
	return -1
}

func stages(a *Authority) string {
	var all []string
	for _, r := range a.Status().Roots {
		all = append(all, r.Stage)
	}
	return strings.Join(all, " ")
}

// TestRotate goes through a rotation with two replicas, each step of which is
// taken by a process that starts only then.
func TestRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := memory.New()
		opt := Options{Store: m, MaxTTL: 48 * time.Hour}
		other, _ := start(t, opt)
		a, end := start(t, opt)
		again := func() { end(); a, end = start(t, opt) }
		atStart := issue(t, a, 48*time.Hour)

		if err := a.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		published := a.Status().Published
		if got := stages(other); got != "active prepared" || published != bundles(t, other).Own.Sequence {
			t.Fatal(got, published)
		}
		if err := a.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "a rotation is under way") {
			t.Error(err)
		}
		if signedBy(t, a, issue(t, a, 0)) != 0 || signedBy(t, other, issue(t, other, 0)) != 0 {
			t.Error("the new root signs before anybody has it")
		}
		again()
		if err := a.Acknowledged(t.Context(), published-1); err != nil || stages(a) != "active prepared" {
			t.Error(err, stages(a))
		}
		again()
		if err := a.Acknowledged(t.Context(), published); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if stages(a) != "retiring active" || stages(other) != "retiring active" {
			t.Fatal(stages(a), stages(other))
		}
		if signedBy(t, a, issue(t, a, 0)) != 1 || signedBy(t, other, issue(t, other, 0)) != 1 {
			t.Error("the old root signs on")
		}
		again()
		// As long as a certificate below the old root is valid it is believed.
		for time.Now().Before(atStart[0].NotAfter) {
			if err := believed(t, a, atStart); err != nil {
				t.Fatal(err)
			}
			pass(time.Hour)
		}
		again()
		pass(25 * time.Hour)
		if stages(a) != "active" || stages(other) != "active" || signedBy(t, a, issue(t, a, 0)) != 0 {
			t.Error(stages(a), stages(other))
		}
	})
}

// TestRotateBound has nobody acknowledge.
func TestRotateBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := start(t, Options{Store: memory.New(), Publish: 3 * time.Hour})
		if err := a.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(3*time.Hour - time.Minute)
		if stages(a) != "active prepared" {
			t.Error(stages(a))
		}
		pass(2 * time.Minute)
		if stages(a) != "retiring active" {
			t.Error(stages(a))
		}
	})
}

// TestYears has an authority go on alone for long: intermediates and roots are
// replaced, and at no time is a new certificate refused.
func TestYears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		a, err := New(ctx, Options{TrustDomain: "a.test", Sealer: sealer(t, 'k'), Store: memory.New()})
		if err != nil {
			t.Fatal(err)
		}
		roots, intermediates := map[string]bool{}, map[string]bool{}
		csr, _ := request(t, x509.CertificateRequest{})
		const days = 5
		for range 11 * 365 / days { // a step in five days is enough, and fast
			if err := a.step(ctx); err != nil {
				t.Fatal(err)
			}
			ders, err := a.SignX509(ctx, orders, csr, 0)
			if err != nil {
				t.Fatal(err)
			}
			leaf, _ := x509.ParseCertificate(ders[0])
			between, err := x509.ParseCertificate(ders[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := believed(t, a, []*x509.Certificate{leaf, between}); err != nil {
				t.Fatal(time.Now(), err)
			}
			if time.Until(leaf.NotAfter) != 24*time.Hour {
				t.Fatalf("a leaf lives until %s only", leaf.NotAfter)
			}
			roots[between.Issuer.String()] = true
			intermediates[between.Subject.String()] = true
			if p := a.Problems(); len(p) > 0 {
				t.Fatal(p)
			}
			pass(days * 24 * time.Hour)
		}
		if len(roots) != 2 || len(intermediates) < 22 || len(intermediates) > 26 {
			t.Errorf("%d roots and %d intermediates in 11 years", len(roots), len(intermediates))
		}
	})
}

// given writes an authority's files, and gives those who sign next with it.
type given struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func writeGiven(t *testing.T, folder string, by *given, life time.Duration, change func(*x509.Certificate)) *given {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	number := serial()
	c := &x509.Certificate{SerialNumber: new(big.Int).Set(number), Subject: pkix.Name{CommonName: "corp " + number.Text(16)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	if change != nil {
		change(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(folder, "chain.pem"), "CERTIFICATE", der)
	writePEM(t, filepath.Join(folder, "key.pem"), "PRIVATE KEY", plain)
	return &given{cert: cert, key: key}
}

func writePEM(t *testing.T, file, kind string, ders ...[]byte) {
	t.Helper()
	var all []byte
	for _, der := range ders {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGiven(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		files := &Given{ChainFile: filepath.Join(folder, "chain.pem"), KeyFile: filepath.Join(folder, "key.pem")}
		old := writeGiven(t, folder, nil, 100*24*time.Hour, nil)
		m := memory.New()
		a, end := start(t, Options{Store: m, Given: files, MaxTTL: 48 * time.Hour})
		chain := issue(t, a, 0)
		if err := believed(t, a, chain); err != nil || len(chain) != 2 || chain[1].NotAfter.After(old.cert.NotAfter) {
			t.Error(err, len(chain))
		}
		if err := a.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "put the new one beside the old") {
			t.Error(err)
		}

		// Its owner rotates: a second root, then an intermediate below it that
		// must have no authority below.
		roots := filepath.Join(folder, "roots.pem")
		files.RootsFile = roots
		writePEM(t, roots, "CERTIFICATE", old.cert.Raw)
		next := writeGiven(t, folder, nil, 3000*24*time.Hour, nil)
		writePEM(t, roots, "CERTIFICATE", old.cert.Raw, next.cert.Raw)
		writeGiven(t, folder, next, 20*24*time.Hour, func(c *x509.Certificate) { c.MaxPathLenZero = true })
		pass(2 * time.Minute)
		direct := issue(t, a, 0)
		if len(direct) != 2 || direct[1].Issuer.String() != next.cert.Subject.String() || direct[0].Issuer.String() != direct[1].Subject.String() {
			t.Errorf("%d, %s below %s", len(direct), direct[0].Issuer, direct[1].Issuer)
		}
		for _, c := range [][]*x509.Certificate{chain, direct} {
			if err := believed(t, a, c); err != nil {
				t.Error(err)
			}
		}
		if p := a.Problems(); len(p) != 1 || !strings.Contains(p[0].String(), "signs with CN=corp") {
			t.Error(p)
		}
		// The same roots and another intermediate.
		writeGiven(t, folder, next, 21*24*time.Hour, func(c *x509.Certificate) { c.MaxPathLenZero = true })
		pass(2 * time.Minute)
		if again := issue(t, a, 0); again[1].Equal(direct[1]) || believed(t, a, again) != nil {
			t.Error("the new intermediate is not used")
		}
		// Files that are not usable change nothing.
		if err := os.WriteFile(files.ChainFile, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		if err := believed(t, a, issue(t, a, 0)); err != nil {
			t.Error(err)
		}
		if _, err := New(t.Context(), Options{TrustDomain: "a.test", Store: m, Sealer: sealer(t, 'k'), Given: files}); err == nil || !strings.Contains(err.Error(), "chain.pem") {
			t.Error(err)
		}
		end()

		// A replica without the files cannot sign, and says so; a rotation there
		// leads back to a root of naru's own.
		b, _ := start(t, Options{Store: m, MaxTTL: 48 * time.Hour})
		csr, _ := request(t, x509.CertificateRequest{})
		if _, err := b.SignX509(t.Context(), orders, csr, 0); err == nil || !strings.Contains(err.Error(), "which this replica was not given") {
			t.Error(err)
		}
		if p := b.Problems(); len(p) == 0 || p[0].Code != "no-signer" {
			t.Error(p)
		}
		if err := b.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Acknowledged(t.Context(), b.Status().Published); err != nil {
			t.Fatal(err)
		}
		if err := believed(t, b, issue(t, b, 0)); err != nil || stages(b) != "retiring retiring active" {
			t.Error(err, stages(b))
		}
		if err := believed(t, b, direct); err != nil {
			t.Error(err)
		}
	})
}

// TestGivenAfterOwn puts a given authority beside a root of naru's own: it is
// published before it signs.
func TestGivenAfterOwn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := memory.New()
		first, err := New(context.Background(), Options{TrustDomain: "a.test", Sealer: sealer(t, 'k'), Store: m})
		if err != nil {
			t.Fatal(err)
		}
		own := issue(t, first, 0)
		corp := writeGiven(t, folder, nil, 1000*24*time.Hour, nil)
		a, _ := start(t, Options{Store: m, Given: &Given{ChainFile: filepath.Join(folder, "chain.pem"), KeyFile: filepath.Join(folder, "key.pem")}})
		if stages(a) != "active prepared" || signedBy(t, a, issue(t, a, 0)) != 0 {
			t.Error(stages(a))
		}
		pass(24*time.Hour + time.Minute)
		chain := issue(t, a, 0)
		if stages(a) != "retiring active" || chain[1].Issuer.String() != corp.cert.Subject.String() {
			t.Error(stages(a), chain[1].Issuer)
		}
		if err := believed(t, first, own); err == nil {
			t.Error("a certificate of a day is believed after a day")
		}
	})
}
