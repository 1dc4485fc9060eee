package authz

import (
	"crypto/rand"
	"crypto/x509"
	"hash/maphash"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// PassportHeader carries the passport of a request, inward.
const PassportHeader = "naru-passport"

const (
	// passportLife is how long a passport is valid.
	passportLife = time.Minute
	// passportFresh is how long it is used again for the same caller, so that
	// what goes out has at least half of its life before it.
	passportFresh = passportLife / 2
	// slots bound the passports that are remembered, on either side; two that
	// fall on one slot drive each other out.
	slots = 4096
)

// MintOptions say how a gateway makes passports.
type MintOptions struct {
	// Issuer is the gateway's SPIFFE ID.
	Issuer string
	// TrustDomain is whom they are for.
	TrustDomain string
	// Sign makes a passport of claims; see NewSign. nil makes none: what
	// clients send is taken off all the same.
	Sign func(claims map[string]any) (string, error)
	// Now is the clock, time.Now where it is nil.
	Now func() time.Time
	// Log is told, once a second at most, that Sign fails; nil is silence.
	Log *slog.Logger
}

// Minter is the filter of a gateway's requests: it takes off what the client
// calls a passport, and puts on one of the caller whom somebody has verified:
// Exchange.Caller, or the client's certificate. Without one there is none.
type Minter struct {
	o      MintOptions
	key    wire.Key
	seed   maphash.Seed
	made   [slots]atomic.Pointer[minted]
	failed observe.Seldom
}

// minted is a passport that may be used again.
type minted struct {
	caller *filter.Caller
	cert   *x509.Certificate
	token  string
	until  int64 // Unix nanoseconds
}

var _ filter.Request = (*Minter)(nil)

// NewMinter makes a Minter.
func NewMinter(o MintOptions) *Minter {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Minter{o: o, key: wire.KeyOf(PassportHeader), seed: maphash.MakeSeed()}
}

// OnRequest never answers: who may come in without having proved who he is,
// policies say.
func (m *Minter) OnRequest(x *filter.Exchange) filter.Verdict {
	x.Request.Remove(m.key)
	var cert *x509.Certificate
	if x.Caller == nil {
		if x.Peer == nil || x.Peer.TLS == nil || x.Peer.TLS.Certificate == nil || x.Peer.TLS.Invalid != nil {
			return filter.Continue
		}
		cert = x.Peer.TLS.Certificate
	}
	if m.o.Sign == nil {
		return filter.Continue
	}
	slot := m.slot(x.Caller, cert)
	now := m.o.Now()
	p := slot.Load()
	if p == nil || p.caller != x.Caller || p.cert != cert || now.UnixNano() >= p.until {
		token, err := m.o.Sign(m.claims(x.Caller, cert, now))
		if err != nil {
			// Behind here the caller is nobody, who may do less.
			if omitted, ok := m.failed.May(time.Duration(now.UnixNano()), quiet); ok {
				m.o.Log.Error("no passport could be signed", "error", err, "omitted", omitted)
			}
			return filter.Continue
		}
		p = &minted{x.Caller, cert, token, now.Add(passportFresh).UnixNano()}
		slot.Store(p)
	}
	x.Request.AddString(m.key, p.token)
	return filter.Continue
}

func (m *Minter) slot(c *filter.Caller, cert *x509.Certificate) *atomic.Pointer[minted] {
	var h uint64
	if c != nil {
		h = maphash.String(m.seed, c.Subject)
	} else {
		h = maphash.Bytes(m.seed, cert.Signature)
	}
	return &m.made[h%slots]
}

// claims are what a passport says.
func (m *Minter) claims(c *filter.Caller, cert *x509.Certificate, now time.Time) map[string]any {
	all := map[string]any{}
	if c != nil {
		maps.Copy(all, c.Claims)
		if c.Issuer != "" {
			all["verified_by"] = c.Issuer
		}
		all["sub"] = c.Subject
	} else {
		all["sub"], all["verified_by"] = subjectOf(cert), "mtls"
	}
	all["iss"], all["aud"] = m.o.Issuer, m.o.TrustDomain
	all["iat"], all["exp"] = now.Unix(), now.Add(passportLife).Unix()
	all["jti"] = rand.Text()
	delete(all, "nbf")
	return all
}

// subjectOf names whoever has a certificate: by its URI (a SPIFFE ID is one),
// its DNS name, or its subject.
func subjectOf(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	}
	return strings.ToValidUTF8(c.Subject.String(), "?")
}
