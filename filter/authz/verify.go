package authz

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

const (
	// skew is how far the clocks of two machines may be apart.
	skew = 30 * time.Second
	// mostLife is the longest life of a passport that is believed.
	mostLife = 5 * time.Minute
	// mostToken bounds what is looked at, in bytes.
	mostToken = 8 << 10
)

// VerifyOptions say which passports are believed.
type VerifyOptions struct {
	// TrustDomain is our own: passports of another, or for another, are not.
	TrustDomain string
	// Gateways are the workloads that may issue them, NAMESPACE/ACCOUNT, with *
	// for any of either; none: "*/gateway".
	Gateways []string
	// Keys gives the public key of that id if the issuer, a SPIFFE ID, may sign
	// with it, or nil. It is called by loops and does not wait.
	Keys func(issuer, kid string) crypto.PublicKey
	// Now is the clock, time.Now where it is nil.
	Now func() time.Time
	// Log is told of refusals, once a second at most; nil is silence.
	Log *slog.Logger
}

// Verifier is the filter of requests that come to a workload: it checks the
// passport, if there is one, and makes it the Exchange's Caller. A passport
// that is not valid is refused with 401, reason bad_passport. One that was seen
// before costs no second check of its signature.
type Verifier struct {
	o    VerifyOptions
	key  wire.Key
	seed maphash.Seed
	seen [slots]atomic.Pointer[passport]
	told observe.Seldom
}

var errTwo = errors.New("there are two")

// passport is one that was checked.
type passport struct {
	token  string
	kid    string
	key    crypto.PublicKey // whose signature it has
	until  int64            // Unix, skew included
	caller *filter.Caller
}

var _ filter.Request = (*Verifier)(nil)

// NewVerifier makes a Verifier. An error is a pattern of Gateways that is none.
func NewVerifier(o VerifyOptions) (*Verifier, error) {
	if len(o.Gateways) == 0 {
		o.Gateways = []string{"*/gateway"}
	}
	for _, g := range o.Gateways {
		namespace, account, ok := strings.Cut(g, "/")
		if !ok || namespace == "" || account == "" || strings.Contains(account, "/") {
			return nil, fmt.Errorf("%q names no gateways: write NAMESPACE/ACCOUNT, for example */gateway", g)
		}
	}
	if o.Keys == nil {
		o.Keys = func(string, string) crypto.PublicKey { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Verifier{o: o, key: wire.KeyOf(PassportHeader), seed: maphash.MakeSeed()}, nil
}

// OnRequest refuses a passport that is not valid.
func (v *Verifier) OnRequest(x *filter.Exchange) filter.Verdict {
	i := x.Request.Next(v.key, 0)
	if i < 0 {
		return filter.Continue
	}
	text := x.Request.Value(&x.Request.Fields[i])
	var c *filter.Caller
	err := errTwo
	if x.Request.Next(v.key, i+1) < 0 {
		c, err = v.caller(text)
	}
	if err == nil {
		x.Caller = c
		return filter.Continue
	}
	x.Caller = nil
	x.Refuse(observe.BadPassport)
	x.Detail = fmt.Errorf("passport: %w", err)
	v.tell(x, err)
	return filter.Answer
}

// caller gives whom a passport is for, or what is wrong with it.
func (v *Verifier) caller(text []byte) (*filter.Caller, error) {
	now := v.o.Now()
	slot := &v.seen[maphash.Bytes(v.seed, text)%slots]
	if p := slot.Load(); p != nil && p.token == string(text) && now.Unix() < p.until && same(v.o.Keys(p.caller.Issuer, p.kid), p.key) {
		return p.caller, nil
	}
	p, err := v.check(text, now)
	if err != nil {
		return nil, err
	}
	slot.Store(p)
	return p.caller, nil
}

// same says whether a key is still the one that it was: a key that was taken
// back ends what it has signed.
func same(a, b crypto.PublicKey) bool {
	switch k := a.(type) {
	case *ecdsa.PublicKey:
		o, ok := b.(*ecdsa.PublicKey)
		return k == o || ok && k.Equal(o) // which would allocate
	case ed25519.PublicKey:
		o, ok := b.(ed25519.PublicKey)
		return ok && bytes.Equal(k, o)
	}
	return false
}

func (v *Verifier) check(text []byte, now time.Time) (*passport, error) {
	if len(text) > mostToken {
		return nil, errors.New("it is too long")
	}
	t, err := parseJWS(text)
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := json.Unmarshal(t.payload, &claims); err != nil || claims == nil {
		return nil, errors.New("its claims are malformed")
	}
	issuer, _ := claims["iss"].(string)
	if err := v.issuer(issuer); err != nil {
		return nil, err
	}
	key := v.o.Keys(issuer, t.Kid)
	if key == nil {
		return nil, fmt.Errorf("nobody knows the key %.40q of %.200s", t.Kid, issuer)
	}
	if !t.checks(key) {
		return nil, fmt.Errorf("it is forged: the signature is not that of %.200s", issuer)
	}
	subject, _ := claims["sub"].(string)
	issued, ok1 := claims["iat"].(float64)
	expires, ok2 := claims["exp"].(float64)
	switch {
	case subject == "":
		return nil, errors.New("it is nobody's: sub is missing")
	case !isFor(claims["aud"], v.o.TrustDomain):
		return nil, fmt.Errorf("it is for %.100v, not for %s", claims["aud"], v.o.TrustDomain)
	case !ok1 || !ok2 || !(expires-issued <= mostLife.Seconds()) || !(issued <= expires):
		return nil, errors.New("it is valid for too long")
	case !(issued <= float64(now.Add(skew).Unix())):
		return nil, errors.New("it is of the future: a clock is wrong")
	case !(float64(now.Add(-skew).Unix()) < expires):
		return nil, fmt.Errorf("it has expired %s ago", now.Sub(time.Unix(int64(expires), 0)).Round(time.Second))
	}
	return &passport{
		token: string(text), kid: t.Kid, key: key, until: int64(expires) + int64(skew.Seconds()),
		caller: &filter.Caller{Issuer: issuer, Subject: subject, Claims: claims},
	}, nil
}

// issuer says whether somebody may issue passports.
func (v *Verifier) issuer(id string) error {
	rest, ok := strings.CutPrefix(id, "spiffe://"+v.o.TrustDomain+"/ns/")
	if !ok {
		return fmt.Errorf("its issuer %.200q is not of trust domain %s", id, v.o.TrustDomain)
	}
	namespace, account, ok := strings.Cut(rest, "/sa/")
	for _, g := range v.o.Gateways {
		n, a, _ := strings.Cut(g, "/")
		if ok && (n == "*" || n == namespace) && (a == "*" || a == account) {
			return nil
		}
	}
	return fmt.Errorf("its issuer %.200s is not a gateway", id)
}

func isFor(aud any, domain string) bool {
	if list, ok := aud.([]any); ok {
		for _, a := range list {
			if a == domain {
				return true
			}
		}
		return false
	}
	return aud == domain
}

// tell writes who has sent it.
func (v *Verifier) tell(x *filter.Exchange, why error) {
	omitted, ok := v.told.May(time.Duration(v.o.Now().UnixNano()), quiet)
	if !ok {
		return
	}
	remote, principal := "", ""
	if x.Peer != nil {
		remote = x.Peer.Remote.String()
		if x.Peer.TLS != nil {
			principal = x.Peer.TLS.Identity
		}
	}
	v.o.Log.Warn("a passport was refused", "remote", remote, "principal", principal, "error", why, "omitted", omitted)
}
