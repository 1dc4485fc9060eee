package authz

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

var gatewayID = sa("edge", "gateway")

// border is a gateway and what checks its passports, on one clock.
type border struct {
	now      time.Time
	keys     map[string]crypto.PublicKey
	signed   int
	log      bytes.Buffer
	minter   *Minter
	verifier *Verifier
	sign     func(map[string]any) (string, error)
}

func newBorder(t *testing.T, key crypto.Signer) *border {
	t.Helper()
	b := &border{now: time.Unix(1_800_000_000, 0), keys: map[string]crypto.PublicKey{"k1": key.Public()}}
	clock := func() time.Time { return b.now }
	log := slog.New(slog.NewTextHandler(&b.log, nil))
	sign, err := NewSign(key, "k1")
	if err != nil {
		t.Fatal(err)
	}
	b.sign = sign
	b.minter = NewMinter(MintOptions{Issuer: gatewayID, TrustDomain: own, Now: clock, Log: log, Sign: func(c map[string]any) (string, error) {
		b.signed++
		return sign(c)
	}})
	b.verifier, err = NewVerifier(VerifyOptions{TrustDomain: own, Now: clock, Log: log, Keys: func(issuer, kid string) crypto.PublicKey {
		if issuer != gatewayID {
			return nil
		}
		return b.keys[kid]
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func p256(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t *testing.T) crypto.Signer {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// certified is a client that has shown a certificate.
func certified(name string) *wire.Peer {
	p := peer("192.0.2.1:5", "")
	u, _ := url.Parse(name)
	p.TLS = &wire.TLSState{Certificate: &x509.Certificate{URIs: []*url.URL{u}, Signature: []byte(name)}}
	return p
}

func TestPassport(t *testing.T) {
	t.Parallel()
	for _, key := range []crypto.Signer{p256(t), edKey(t)} {
		b := newBorder(t, key)
		alice := certified("spiffe://partner/alice")
		cross := func() *filter.Exchange {
			x := ask(alice, "GET shop/", "Naru-Passport: mine", "naru-passport: and mine")
			if b.minter.OnRequest(x) != filter.Continue {
				t.Fatal("the gateway answers")
			}
			inner := ask(peer("10.0.0.1:1", gatewayID), "GET shop/")
			v, ok := x.Request.Joined(wire.KeyOf(PassportHeader), nil)
			if !ok {
				t.Fatal("no passport")
			}
			inner.Request.Add(wire.KeyOf(PassportHeader), v)
			if b.verifier.OnRequest(inner) != filter.Continue {
				t.Fatalf("refused: %v", inner.Detail)
			}
			return inner
		}
		first := cross().Caller
		if first.Subject != "spiffe://partner/alice" || first.Issuer != gatewayID || first.Claims["aud"] != own || first.Claims["exp"] != float64(b.now.Unix()+60) || first.Claims["jti"] == "" {
			t.Errorf("caller %+v", first)
		}
		if again := cross().Caller; again != first || b.signed != 1 {
			t.Errorf("the same caller again: signed %d times, remembered %v", b.signed, again == first)
		}
		b.now = b.now.Add(31 * time.Second)
		if later := cross().Caller; later == first || b.signed != 2 || later.Claims["jti"] == first.Claims["jti"] {
			t.Errorf("half a minute later: signed %d times", b.signed)
		}
		// Whom another filter has verified comes before the certificate.
		x := ask(alice, "GET shop/")
		x.Caller = &filter.Caller{Issuer: "https://login", Subject: "bob", Claims: map[string]any{"roles": []any{"a"}, "iss": "https://login", "exp": 1.0}}
		b.minter.OnRequest(x)
		if c, err := b.verifier.caller(passportOf(t, x)); err != nil || c.Subject != "bob" || c.Claims["verified_by"] != "https://login" || c.Claims["iss"] != gatewayID {
			t.Errorf("%+v, %v", c, err)
		}
	}
}

func passportOf(t *testing.T, x *filter.Exchange) []byte {
	t.Helper()
	v, ok := x.Request.Get(wire.KeyOf(PassportHeader))
	if !ok {
		t.Fatal("no passport")
	}
	return v
}

// TestNobodyHasNoPassport: what a client brings is taken off, whatever else.
func TestNobodyHasNoPassport(t *testing.T) {
	t.Parallel()
	b := newBorder(t, p256(t))
	invalid := certified("spiffe://partner/mallory")
	invalid.TLS.Invalid = errors.New("expired")
	unsigned := NewMinter(MintOptions{})
	broken := NewMinter(MintOptions{Sign: func(map[string]any) (string, error) { return "", errors.New("no key") }, Log: slog.New(slog.NewTextHandler(&b.log, nil))})
	for _, c := range []struct {
		m *Minter
		p *wire.Peer
	}{{b.minter, peer("1.2.3.4:5", "")}, {b.minter, invalid}, {b.minter, nil}, {unsigned, certified("x")}, {broken, certified("x")}} {
		x := ask(c.p, "GET shop/", "naru-passport: mine")
		if c.m.OnRequest(x) != filter.Continue || x.Request.Has(wire.KeyOf(PassportHeader)) {
			t.Errorf("%+v has a passport", c.p)
		}
	}
	if !strings.Contains(b.log.String(), "no key") {
		t.Errorf("log %q", b.log.String())
	}
}

func TestBadPassports(t *testing.T) {
	t.Parallel()
	b := newBorder(t, p256(t))
	now := b.now.Unix()
	claims := func(change func(map[string]any)) string {
		c := map[string]any{"iss": gatewayID, "sub": "alice", "aud": own, "iat": now, "exp": now + 60, "jti": "x"}
		change(c)
		s, err := b.sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	set := func(name string, value any) string { return claims(func(c map[string]any) { c[name] = value }) }
	good := set("jti", "y")
	parts := strings.Split(good, ".")
	other, _ := NewSign(p256(t), "k1")
	forged, _ := other(map[string]any{"iss": gatewayID, "sub": "alice", "aud": own, "iat": now, "exp": now + 60})
	unknown, _ := NewSign(p256(t), "k2")
	stranger, _ := unknown(map[string]any{"iss": gatewayID, "sub": "alice", "aud": own, "iat": now, "exp": now + 60})
	head := func(json string) string { return coding.EncodeToString([]byte(json)) + "." + parts[1] + "." + parts[2] }
	for token, want := range map[string]string{
		"":    "it is no token",
		"a.b": "it is no token",
		parts[0] + "." + parts[1] + "." + parts[2] + "=":                                           "it is malformed",
		good + "." + parts[2]:                                                                      "it is malformed",
		head(`{"alg":"ES256","kid":"k1","typ":"naru-passport+jwt","crit":["x"]}`):                  "it is malformed",
		head(`{"alg":"ES256","kid":"k1","typ":"JWT"}`):                                             "another type",
		head(`{"alg":"none","kid":"k1","typ":"naru-passport+jwt"}`):                                "it is forged",
		head(`{"alg":"HS256","kid":"k1","typ":"naru-passport+jwt"}`):                               "it is forged",
		head(`{"alg":"EdDSA","kid":"k1","typ":"naru-passport+jwt"}`):                               "it is forged",
		parts[0] + "." + coding.EncodeToString([]byte(`{"iss":"`+gatewayID+`"}`)) + "." + parts[2]: "it is forged",
		parts[0] + "." + coding.EncodeToString([]byte(`null`)) + "." + parts[2]:                    "its claims are malformed",
		forged:                        "it is forged",
		stranger:                      `nobody knows the key "k2"`,
		set("iss", sa("shop", "web")): "is not a gateway",
		set("iss", "spiffe://other/ns/edge/sa/gateway"):         "is not of trust domain naru.local",
		set("iss", "spiffe://"+own+"/ns/edge/sa/gateway/extra"): "is not a gateway",
		set("iss", sa("other", "gateway")):                      "nobody knows the key",
		set("aud", "other"):                                     "it is for other, not for naru.local",
		set("aud", []string{"other"}):                           "it is for [other]",
		set("sub", ""):                                          "it is nobody's",
		set("exp", now-30):                                      "it is valid for too long",
		claims(func(c map[string]any) { c["iat"], c["exp"] = now-100, now-30 }): "it has expired 30s ago",
		set("exp", now+3600):                       "it is valid for too long",
		set("iat", now+31):                         "it is of the future",
		set("exp", "soon"):                         "it is valid for too long",
		set("big", strings.Repeat("a", mostToken)): "it is too long",
	} {
		x := ask(peer("10.0.0.7:1", sa("shop", "mallory")), "GET h/")
		x.Caller = &filter.Caller{Subject: "before"}
		x.Request.AddString(wire.KeyOf(PassportHeader), token)
		if b.verifier.OnRequest(x) != filter.Answer || x.Why != observe.BadPassport || x.Response.Status != 401 || x.Caller != nil || !strings.Contains(x.Detail.Error(), want) {
			t.Errorf("%.80s: %v %v, want %s", token, x.Why, x.Detail, want)
		}
	}
	two := ask(peer("10.0.0.7:1", ""), "GET h/", "naru-passport: "+good, "naru-passport: "+good)
	if b.verifier.OnRequest(two) != filter.Answer {
		t.Error("two passports were taken")
	}
	if log := b.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "principal="+sa("shop", "mallory")) {
		t.Errorf("log %q", log)
	}
	// One that was believed is not for ever: its key goes, or its time comes.
	if _, err := b.verifier.caller([]byte(good)); err != nil {
		t.Fatal(err)
	}
	key := b.keys["k1"]
	delete(b.keys, "k1")
	if _, err := b.verifier.caller([]byte(good)); err == nil {
		t.Error("its key is gone, and it is still believed")
	}
	b.keys["k1"] = key
	if b.now = b.now.Add(89 * time.Second); true {
		if _, err := b.verifier.caller([]byte(good)); err != nil {
			t.Errorf("within the skew: %v", err)
		}
	}
	b.now = b.now.Add(time.Second)
	if _, err := b.verifier.caller([]byte(good)); err == nil {
		t.Error("it has expired, and is still believed")
	}
	if _, err := NewVerifier(VerifyOptions{Gateways: []string{"gateway"}}); err == nil {
		t.Error("a pattern without a namespace was taken")
	}
}

func TestKnownPassportsCostNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	b := newBorder(t, p256(t))
	out := ask(certified("alice"), "GET shop/")
	b.minter.OnRequest(out)
	in := ask(peer("10.0.0.1:1", gatewayID), "GET shop/", "naru-passport: "+string(passportOf(t, out)))
	if n := testing.AllocsPerRun(100, func() {
		out.Request.Buf, out.Request.Fields = out.Request.Buf[:0], out.Request.Fields[:0]
		b.minter.OnRequest(out)
	}); n != 0 || b.signed != 1 {
		t.Errorf("minting again costs %v allocations, %d signatures", n, b.signed)
	}
	if n := testing.AllocsPerRun(100, func() {
		if b.verifier.OnRequest(in) != filter.Continue {
			t.Fatal(in.Detail)
		}
	}); n != 0 {
		t.Errorf("checking again costs %v allocations", n)
	}
}

func FuzzPassport(f *testing.F) {
	v, err := NewVerifier(VerifyOptions{TrustDomain: own})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIiwidHlwIjoibmFydS1wYXNzcG9ydCtqd3QifQ.e30.AA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := v.caller(text); err == nil {
			t.Errorf("nobody signed %q for %+v", text, c)
		}
	})
}
