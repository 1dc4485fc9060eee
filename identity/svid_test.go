package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// pair is a certificate and its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func uris(t *testing.T, list ...string) (all []*url.URL) {
	t.Helper()
	for _, s := range list {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// sign makes a certificate below by, or one that signs itself; change may spoil
// it.
func sign(t *testing.T, by *pair, ca bool, change func(*x509.Certificate), names ...string) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		URIs: uris(t, names...), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if ca {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.Subject = true, x509.KeyUsageCertSign, nil, pkix.Name{CommonName: "authority"}
	}
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
	return &pair{cert: cert, key: key}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	const orders = "spiffe://a.test/ns/shop/sa/orders"
	root := sign(t, nil, true, nil, "spiffe://a.test")
	between := sign(t, root, true, nil)
	other := sign(t, nil, true, nil, "spiffe://b.test")
	friend := sign(t, nil, true, nil, "spiffe://c.test")
	v := NewVerifier(&Bundles{
		Own:       &Bundle{TrustDomain: "a.test", Roots: []*x509.Certificate{root.cert}},
		Federated: []*Bundle{{TrustDomain: "c.test", Roots: []*x509.Certificate{friend.cert}}},
	})
	for name, c := range map[string]struct {
		by     *pair
		change func(*x509.Certificate)
		names  []string
		chain  []*x509.Certificate
		now    time.Time
		want   ID
		err    string
	}{
		"ours":            {by: root, names: []string{orders}, want: orders},
		"an intermediate": {by: between, names: []string{orders}, chain: []*x509.Certificate{between.cert}, want: orders},
		"a friend's":      {by: friend, names: []string{"spiffe://c.test/x"}, want: "spiffe://c.test/x"},
		"no usages":       {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.ExtKeyUsage = nil }, want: orders},

		"no intermediate":      {by: between, names: []string{orders}, err: orders + ": the bundle of a.test does not confirm it"},
		"a stranger's":         {by: other, names: []string{"spiffe://b.test/x"}, err: "spiffe://b.test/x: trust domain b.test is not ours, and we are not federated with it"},
		"ours by a stranger":   {by: other, names: []string{orders}, err: "the bundle of a.test does not confirm it"},
		"ours by a friend":     {by: friend, names: []string{orders}, err: "the bundle of a.test does not confirm it"},
		"a friend's by us":     {by: root, names: []string{"spiffe://c.test/x"}, err: "the bundle of c.test does not confirm it"},
		"two names":            {by: root, names: []string{orders, "spiffe://a.test/x"}, err: "it has 2 URI names, and exactly one is allowed"},
		"no name":              {by: root, change: func(c *x509.Certificate) { c.DNSNames = []string{"a.test"} }, err: "it has 0 URI names"},
		"no path":              {by: root, names: []string{"spiffe://a.test"}, err: "a workload's identity has a path"},
		"another scheme":       {by: root, names: []string{"https://a.test/x"}, err: "does not begin with spiffe://"},
		"a query":              {by: root, names: []string{orders + "?a=b"}, err: "not a SPIFFE ID"},
		"an authority as leaf": {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }, err: "it is the certificate of an authority"},
		"may sign":             {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }, err: "keyCertSign or cRLSign"},
		"may not sign":         {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, err: "lacks digitalSignature"},
		"one usage":            {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, err: "lacks serverAuth or clientAuth"},
		"other usages":         {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, err: "lacks serverAuth or clientAuth"},
		"expired":              {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) }, err: "it expired at 2026-05-01T11:59:00Z, and it is 2026-05-01T12:00:00Z"},
		"of tomorrow":          {by: root, names: []string{orders}, change: func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Minute) }, err: "valid from 2026-05-01T12:01:00Z, and it is 2026-05-01T12:00:00Z: the clock of this machine is behind by 1m0s at least"},
		"root expired":         {by: root, names: []string{orders}, now: noon.Add(90 * time.Minute), change: func(c *x509.Certificate) { c.NotAfter = noon.Add(2 * time.Hour) }, err: "the bundle of a.test does not confirm it"},
	} {
		leaf := sign(t, c.by, false, c.change, c.names...)
		if c.now.IsZero() {
			c.now = noon
		}
		id, err := v.Verify(append([]*x509.Certificate{leaf.cert}, c.chain...), c.now)
		if id != c.want || c.want == "" && (err == nil || !strings.Contains(err.Error(), c.err) || !errors.Is(err, ErrBadSVID)) || c.want != "" && err != nil {
			t.Errorf("%s: %q, %v; want %q, %q", name, id, err, c.want, c.err)
		}
	}
	if _, err := v.Verify(nil, noon); !errors.Is(err, ErrBadSVID) {
		t.Error(err)
	}

	// A friend's bundle that calls itself ours does not speak for us.
	posing := NewVerifier(&Bundles{
		Own:       &Bundle{TrustDomain: "a.test", Roots: []*x509.Certificate{root.cert}},
		Federated: []*Bundle{{TrustDomain: "a.test", Roots: []*x509.Certificate{other.cert}}},
	})
	forged, ours := sign(t, other, false, nil, orders), sign(t, root, false, nil, orders)
	if id, err := posing.Verify([]*x509.Certificate{forged.cert}, noon); err == nil {
		t.Errorf("%s is believed by the bundle of another", id)
	}
	if id, err := posing.Verify([]*x509.Certificate{ours.cert}, noon); id != orders || err != nil {
		t.Error(id, err)
	}

	// Those that sign have rules, too: the chain is shown by a stranger.
	leafAsSigner := sign(t, root, false, nil, "spiffe://a.test/evil")
	for name, bad := range map[string]*pair{
		"a workload signs":                 leafAsSigner,
		"an authority with a path":         sign(t, root, true, nil, "spiffe://a.test/ns/x/sa/y"),
		"an authority of another domain":   sign(t, root, true, nil, "spiffe://c.test"),
		"an authority that must not sign":  sign(t, root, true, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }),
		"an authority that has two names":  sign(t, root, true, nil, "spiffe://a.test", "spiffe://a.test"),
		"an authority that is out of date": sign(t, root, true, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }),
	} {
		leaf := sign(t, bad, false, nil, orders)
		if id, err := v.Verify([]*x509.Certificate{leaf.cert, bad.cert}, noon); err == nil || !errors.Is(err, ErrBadSVID) {
			t.Errorf("%s: %q is believed", name, id)
		}
	}
}

func TestBundleDocument(t *testing.T) {
	t.Parallel()
	root, key := sign(t, nil, true, nil, "spiffe://a.test"), sign(t, nil, true, nil)
	b := &Bundle{TrustDomain: "a.test", Roots: []*x509.Certificate{root.cert}, Keys: map[string]crypto.PublicKey{"k1": key.key.Public()}, Sequence: 7, Refresh: time.Minute}
	doc, err := b.Document()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{`"use":"x509-svid"`, `"use":"jwt-svid"`, `"kid":"k1"`, `"spiffe_sequence":7`, `"spiffe_refresh_hint":60`} {
		if !strings.Contains(string(doc), s) {
			t.Errorf("%s has no %s", doc, s)
		}
	}
	again, err := ParseBundle("a.test", doc)
	if err != nil || !again.Equal(b) {
		t.Errorf("%v: %+v is read as %+v", err, b, again)
	}
	// Without keys it revokes all.
	if none, err := ParseBundle("a.test", []byte(`{"keys":[]}`)); err != nil || len(none.Roots)+len(none.Keys) != 0 || none.Equal(b) {
		t.Error(none, err)
	}
	for name, doc := range map[string]string{
		"no keys":         `{}`,
		"no json":         `{`,
		"no certificate":  `{"keys":[{"use":"x509-svid","kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]}`,
		"a key without a": `{"keys":[{"use":"jwt-svid","kty":"RSA","n":"sXch","e":"AQAB"}]}`,
		"another's root": func() string {
			b := &Bundle{TrustDomain: "b.test", Roots: []*x509.Certificate{root.cert}}
			doc, _ := b.Document()
			return string(doc)
		}(),
	} {
		if b, err := ParseBundle("b.test", []byte(doc)); err == nil {
			t.Errorf("%s: %+v is taken", name, b)
		}
	}
	if _, err := ParseBundle("B.test", doc); !errors.Is(err, ErrBadID) {
		t.Error(err)
	}
}

func TestVerifyJWT(t *testing.T) {
	t.Parallel()
	key, other := sign(t, nil, true, nil), sign(t, nil, true, nil)
	v := NewVerifier(&Bundles{Own: &Bundle{TrustDomain: "a.test", Keys: map[string]crypto.PublicKey{"k1": key.key.Public()}}, Forgotten: []Forgotten{
		{ID: "spiffe://a.test/gone", Issued: noon.Add(-time.Minute), From: noon.Add(-50 * time.Second)},
		{ID: "spiffe://a.test/soon", Issued: noon, From: noon.Add(time.Second)},
	}})
	good := jwt.Claims{Subject: "spiffe://a.test/x", Audience: jwt.Audience{"db", "cache"}, Expiry: jwt.NewNumericDate(noon.Add(time.Minute))}
	for name, c := range map[string]struct {
		change func(*jwt.Claims)
		key    any
		kid    string
		alg    jose.SignatureAlgorithm
		typ    jose.ContentType
		err    string
	}{
		"good":              {},
		"good with type":    {typ: "JWT"},
		"another type":      {typ: "at+jwt", err: "neither JWT nor JOSE"},
		"forged":            {key: other.key, err: "spiffe://a.test/x: the signature is wrong"},
		"an unknown key":    {kid: "k2", err: `no key "k2"`},
		"a shared secret":   {key: []byte("0123456789abcdef0123456789abcdef"), alg: jose.HS256, err: "not a JWT-SVID"},
		"expired":           {change: func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(noon.Add(-2 * time.Minute)) }, err: "the token expired at 2026-05-01T11:58:00Z"},
		"never expires":     {change: func(c *jwt.Claims) { c.Expiry = nil }, err: "never expires"},
		"not yet":           {change: func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(noon.Add(2 * time.Minute)) }, err: "is a clock wrong?"},
		"another audience":  {change: func(c *jwt.Claims) { c.Audience = jwt.Audience{"web"} }, err: `the token is for web, not for "db"`},
		"no audience":       {change: func(c *jwt.Claims) { c.Audience = nil }, err: `not for "db"`},
		"a foreign subject": {change: func(c *jwt.Claims) { c.Subject = "spiffe://b.test/x" }, err: "trust domain b.test is not ours"},
		"forgotten": {change: func(c *jwt.Claims) {
			c.Subject, c.IssuedAt = "spiffe://a.test/gone", jwt.NewNumericDate(noon.Add(-2*time.Minute))
		}, err: "it is forgotten: identity spiffe://a.test/gone"},
		"forgotten, and nobody knows since when": {change: func(c *jwt.Claims) { c.Subject = "spiffe://a.test/gone" }, err: "it is forgotten"},
		"no subject":                             {change: func(c *jwt.Claims) { c.Subject = "" }, err: "not a SPIFFE ID"},
	} {
		claims := good
		if c.change != nil {
			c.change(&claims)
		}
		signing := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key.key, KeyID: "k1"}}
		if c.key != nil {
			signing.Key = jose.JSONWebKey{Key: c.key, KeyID: "k1"}
		}
		if c.kid != "" {
			signing.Key = jose.JSONWebKey{Key: key.key, KeyID: c.kid}
		}
		if c.alg != "" {
			signing.Algorithm = c.alg
		}
		opt := &jose.SignerOptions{}
		if c.typ != "" {
			opt = opt.WithType(c.typ)
		}
		s, err := jose.NewSigner(signing, opt)
		if err != nil {
			t.Fatal(name, err)
		}
		token, err := jwt.Signed(s).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(name, err)
		}
		id, all, err := v.VerifyJWT(token, "db", noon)
		if c.err == "" && (err != nil || id != "spiffe://a.test/x" || all["sub"] != string(id)) ||
			c.err != "" && (err == nil || !errors.Is(err, ErrBadSVID) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %q, %v; want %q", name, id, err, c.err)
		}
	}
	// A new one of an identity that was forgotten, and an old one in the time that was given.
	for subject, issued := range map[string]time.Time{"spiffe://a.test/gone": noon, "spiffe://a.test/soon": noon.Add(-time.Minute)} {
		claims := good
		claims.Subject, claims.IssuedAt = subject, jwt.NewNumericDate(issued)
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key.key, KeyID: "k1"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(s).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.VerifyJWT(token, "db", noon); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
	for _, token := range []string{"", "a.b.c", strings.Repeat("a", maxToken+1), "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzcGlmZmU6Ly9hLnRlc3QveCJ9."} {
		if _, _, err := v.VerifyJWT(token, "db", noon); !errors.Is(err, ErrBadSVID) {
			t.Errorf("%.20q: %v", token, err)
		}
	}
}
