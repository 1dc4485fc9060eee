package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const orders = identity.ID("spiffe://a.test/ns/shop/sa/orders")

// pass lets (fake) time pass.
func pass(d time.Duration) { <-time.After(d) }

func sealer(t *testing.T, b byte) *identity.Sealer {
	t.Helper()
	s, err := identity.NewSealer([]byte(strings.Repeat(string(b), 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start makes an Authority that runs until the test, or what end calls, ends.
func start(t *testing.T, opt Options) (a *Authority, end func()) {
	t.Helper()
	if opt.TrustDomain == "" {
		opt.TrustDomain = "a.test"
	}
	if opt.Sealer == nil {
		opt.Sealer = sealer(t, 'k')
	}
	a, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { a.Run(ctx) })
	end = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(end)
	return a, end
}

func request(t *testing.T, template x509.CertificateRequest) (csr []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if csr, err = x509.CreateCertificateRequest(rand.Reader, &template, key); err != nil {
		t.Fatal(err)
	}
	return csr, key
}

// issue gets an SVID of orders.
func issue(t *testing.T, a *Authority, ttl time.Duration) []*x509.Certificate {
	t.Helper()
	csr, _ := request(t, x509.CertificateRequest{})
	ders, err := a.SignX509(t.Context(), orders, csr, ttl)
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

func bundles(t *testing.T, a *Authority) *identity.Bundles {
	t.Helper()
	b, err := a.Bundles(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func believed(t *testing.T, a *Authority, chain []*x509.Certificate) error {
	t.Helper()
	_, err := identity.NewVerifier(bundles(t, a)).Verify(chain, time.Now())
	return err
}

func TestSignX509(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := start(t, Options{Store: memory.New()})
		// What the request asks for does not count.
		evil, _ := url.Parse("spiffe://a.test/ns/bank/sa/vault")
		csr, key := request(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "vault"}, DNSNames: []string{"bank.test"}, URIs: []*url.URL{evil}})
		ders, err := a.SignX509(t.Context(), orders, csr, 0)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(ders[0])
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if len(leaf.URIs) != 1 || leaf.URIs[0].String() != string(orders) || len(leaf.DNSNames)+len(leaf.Subject.Names) != 0 ||
			!key.PublicKey.Equal(leaf.PublicKey) || !leaf.NotBefore.Equal(now.Add(-5*time.Minute)) || !leaf.NotAfter.Equal(now.Add(24*time.Hour)) {
			t.Errorf("%+v %s..%s", leaf.URIs, leaf.NotBefore, leaf.NotAfter)
		}
		// The only name is critical (RFC 5280, section 4.2.1.6).
		if !slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool {
			return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) && e.Critical
		}) {
			t.Error("the name is not critical")
		}
		if len(ders) != 2 {
			t.Errorf("%d certificates, not leaf and intermediate", len(ders))
		}
		chain := issue(t, a, 0)
		if err := believed(t, a, chain); err != nil {
			t.Error(err)
		}
		if chain[0].SerialNumber.Cmp(leaf.SerialNumber) == 0 || chain[0].SerialNumber.BitLen() < 120 {
			t.Error("serial numbers can be guessed")
		}
		if between := chain[1]; between.NotAfter.Sub(now) != 365*24*time.Hour || !between.MaxPathLenZero {
			t.Errorf("the intermediate lives until %s", between.NotAfter)
		}
		if root := bundles(t, a).Own.Roots[0]; root.NotAfter.Sub(now) != 3650*24*time.Hour || root.PublicKeyAlgorithm != x509.ECDSA {
			t.Errorf("the root lives until %s", root.NotAfter)
		}
		for asked, want := range map[time.Duration]time.Duration{time.Second: time.Minute, time.Hour: time.Hour, 1e6 * time.Hour: 90 * 24 * time.Hour, -time.Hour: time.Minute} {
			if got := time.Until(issue(t, a, asked)[0].NotAfter); got != want {
				t.Errorf("%s was asked for, %s given, not %s", asked, got, want)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	a, _ := start(t, Options{Store: memory.New()})
	good, _ := request(t, x509.CertificateRequest{})
	forged := slices.Clone(good)
	forged[len(forged)-1] ^= 1
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weakKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id  identity.ID
		csr []byte
		why refusal
		err string
	}{
		"forged":       {orders, forged, badRequest, "the signature of the request is not by its key"},
		"weak":         {orders, weak, badRequest, "RSA key has 1024 bits"},
		"garbage":      {orders, []byte("hello"), badRequest, "not a PKCS #10"},
		"large":        {orders, make([]byte, 1<<20), badRequest, "1048576 bytes, 16384 are allowed"},
		"foreign":      {"spiffe://b.test/ns/shop/sa/orders", good, foreignDomain, "trust domain b.test is not that of this authority, a.test"},
		"no path":      {"spiffe://a.test", good, badIdentity, "has a path"},
		"no identity":  {"", good, badIdentity, "does not begin with spiffe://"},
		"not as it is": {"spiffe://A.test/x", good, badIdentity, "not in canonical form, which is spiffe://a.test/x"},
		"up":           {"spiffe://a.test/../x", good, badIdentity, "not a SPIFFE ID"},
	} {
		before := a.counts.refused[c.why].Load()
		_, err := a.SignX509(t.Context(), c.id, c.csr, 0)
		if !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), string(c.id)) {
			t.Errorf("%s: %v", name, err)
		}
		if a.counts.refused[c.why].Load() != before+1 {
			t.Errorf("%s is not counted as %s", name, c.why)
		}
	}
	for _, audience := range [][]string{nil, {""}, make([]string, 17)} {
		if _, err := a.SignJWT(t.Context(), orders, audience, 0); !errors.Is(err, identity.ErrRefused) {
			t.Error(err)
		}
	}
	if _, err := a.SignJWT(t.Context(), "spiffe://b.test/x", []string{"db"}, 0); !errors.Is(err, identity.ErrRefused) {
		t.Error(err)
	}
	g := observe.NewRegistry(1)
	a.Register(g)
	values := map[string]float64{}
	g.Collect(func(f observe.Family) {
		f.Each(func(s *observe.Sample) { values[f.Name+strings.Join(s.Values, ",")] = s.Value })
	})
	if values["naru_authority_refused_totalbad_request"] != 4 || values["naru_authority_refused_totalforeign_trust_domain"] != 2 ||
		values["naru_authority_expiry_daysroot"] < 3649 || values["naru_authority_expiry_daysintermediate"] < 364 || values["naru_authority_rootsactive"] != 1 {
		t.Error(values)
	}
}

func TestSignJWT(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, err := New(t.Context(), Options{TrustDomain: "a.test", Sealer: sealer(t, 'k'), Store: memory.New()})
		if err != nil {
			t.Fatal(err)
		}
		token, err := a.SignJWT(t.Context(), orders, []string{"db"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		check := func(token string) error {
			_, _, err := identity.NewVerifier(bundles(t, a)).VerifyJWT(token, "db", time.Now())
			return err
		}
		if err := check(token); err != nil {
			t.Error(err)
		}
		pass(7 * time.Minute) // five, and the leeway
		if err := check(token); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Error(err)
		}
		// Keys are replaced without a token being refused: the next is published
		// before it signs, and the last stays while its tokens live.
		first := bundles(t, a).Own
		deadline := time.Now().Add(keyLife + 4*24*time.Hour)
		seen := map[int]bool{}
		for time.Now().Before(deadline) {
			if err := a.step(t.Context()); err != nil { // in place of Run, which is slower
				t.Fatal(err)
			}
			token, err := a.SignJWT(t.Context(), orders, []string{"db"}, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			old := identity.NewVerifier(bundles(t, a)) // somebody who asks again late
			pass(identity.DefaultRefresh)
			fresh, err := a.SignJWT(t.Context(), orders, []string{"db"}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := old.VerifyJWT(fresh, "db", time.Now()); err != nil {
				t.Fatal(err)
			}
			pass(50 * time.Minute)
			if err := check(token); err != nil {
				t.Fatal(err)
			}
			seen[len(bundles(t, a).Own.Keys)] = true
		}
		last := bundles(t, a).Own
		if len(last.Keys) != 1 || first.Equal(last) || last.Sequence <= first.Sequence || !seen[2] {
			t.Errorf("%d keys, sequence %d then %d", len(last.Keys), first.Sequence, last.Sequence)
		}
	})
}

// TestFirstStart has many replicas start at once.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	m := newFragile(memory.New())
	var all [10]*Authority
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() {
			a, err := New(t.Context(), Options{TrustDomain: "a.test", Store: m, Sealer: sealer(t, 'k')})
			if err != nil {
				t.Error(err)
				return
			}
			all[i] = a
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	for _, a := range all {
		if b := bundles(t, a); len(b.Own.Roots) != 1 || !b.Equal(bundles(t, all[0])) {
			t.Error("there are several roots")
		}
		if err := believed(t, all[0], issue(t, a, 0)); err != nil {
			t.Error(err)
		}
	}
	if n := m.txns; n != 1 {
		t.Errorf("%d transactions", n)
	}
	// Private keys cannot be read in the store.
	item, err := m.Get(t.Context(), "authority/record")
	if err != nil {
		t.Fatal(err)
	}
	var r record
	if err := json.Unmarshal(item.Value, &r); err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{r.Roots[0].Key, r.Keys[0].Key} {
		if _, err := x509.ParsePKCS8PrivateKey(key); err == nil || len(key) == 0 {
			t.Error("a private key is not sealed")
		}
	}
	// Who has another key, or another name, is told.
	for want, opt := range map[string]Options{
		"all replicas must be given the same sealing key": {TrustDomain: "a.test", Store: m, Sealer: sealer(t, 'x')},
		"the store holds the authority of trust domain":   {TrustDomain: "b.test", Store: m, Sealer: sealer(t, 'k')},
		"not a SPIFFE ID":                    {TrustDomain: "A.test", Store: m, Sealer: sealer(t, 'k')},
		"is 1s (write 1m0s to 2160h0m0s)":    {TrustDomain: "a.test", Store: m, Sealer: sealer(t, 'k'), TTL: time.Second},
		"is 2400h0m0s (write 1m0s to 2160h0": {TrustDomain: "a.test", Store: m, Sealer: sealer(t, 'k'), MaxTTL: 2400 * time.Hour},
		"(write at least 48h0m0s, twice":     {TrustDomain: "a.test", Store: m, Sealer: sealer(t, 'k'), Intermediate: time.Hour},
	} {
		if _, err := New(t.Context(), opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	m.fail(errors.New("no quorum"))
	if _, err := New(t.Context(), Options{TrustDomain: "a.test", Store: m, Sealer: sealer(t, 'k')}); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// TestStoreAway has the store go away and come back.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFragile(memory.New())
		a, _ := start(t, Options{Store: m})
		synctest.Wait()
		m.fail(errors.New("no quorum"))
		pass(23 * time.Hour)
		if err := believed(t, a, issue(t, a, 0)); err != nil {
			t.Error(err)
		}
		if len(a.Problems()) != 1 || !strings.Contains(a.Problems()[0].String(), "no quorum") {
			t.Error(a.Problems())
		}
		pass(2 * time.Hour)
		csr, _ := request(t, x509.CertificateRequest{})
		if _, err := a.SignX509(t.Context(), orders, csr, 0); !errors.Is(err, store.ErrUnavailable) {
			t.Error(err)
		}
		m.fail(nil)
		pass(2 * time.Minute)
		if err := believed(t, a, issue(t, a, 0)); err != nil {
			t.Error(err)
		}
		if len(a.Problems()) != 0 {
			t.Error(a.Problems())
		}
	})
}

// TestFederated keeps bundles of others for all replicas.
func TestFederated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := memory.New()
		a, _ := start(t, Options{Store: m})
		b, _ := start(t, Options{Store: m, Replica: "second"})
		c, _ := start(t, Options{Store: memory.New(), TrustDomain: "c.test"})
		before := bundles(t, b)
		theirs := bundles(t, c).Own
		if err := a.SetFederated(t.Context(), theirs); err != nil {
			t.Fatal(err)
		}
		after, err := b.Bundles(t.Context(), before)
		if err != nil || len(after.Federated) != 1 || !after.Federated[0].Equal(theirs) {
			t.Error(after, err)
		}
		if err := a.SetFederated(t.Context(), bundles(t, a).Own); err == nil || !strings.Contains(err.Error(), "our own") {
			t.Error(err)
		}
		if err := b.DropFederated(t.Context(), "c.test"); err != nil {
			t.Fatal(err)
		}
		if last, err := a.Bundles(t.Context(), after); err != nil || len(last.Federated) != 0 {
			t.Error(last, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := a.Bundles(ctx, bundles(t, a)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
