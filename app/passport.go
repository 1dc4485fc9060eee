package app

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/filter/authz"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// passports are those of this process: which it makes, and which it believes.
// The public half of a gateway's key travels with its Workload, which nobody
// but a node that may have that account can register.
type passports struct {
	keys   atomic.Pointer[map[string]passportKey] // by key id
	check  atomic.Pointer[authz.Verifier]
	mint   atomic.Pointer[authz.Minter]
	public []byte // PKIX; of a gateway
}

// passportKey is whose it is.
type passportKey struct {
	issuer string
	key    crypto.PublicKey
}

// begin is called once the trust domain is known, before anything of the mesh
// is served. gateway is "" where nothing is minted.
func (p *passports) begin(trust string, gateway identity.ID, g *gateway) error {
	v, err := authz.NewVerifier(authz.VerifyOptions{TrustDomain: trust, Keys: p.key, Log: g.log})
	if err != nil {
		return err
	}
	p.check.Store(v)
	if gateway == "" {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if p.public, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return err
	}
	sign, err := authz.NewSign(key, keyID(p.public))
	if err != nil {
		return err
	}
	p.mint.Store(authz.NewMinter(authz.MintOptions{Issuer: string(gateway), TrustDomain: trust, Sign: sign, Log: g.log}))
	return nil
}

func keyID(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// know takes the gateways' keys from a configuration.
func (p *passports) know(c *model.Config, trust string) {
	all := map[string]passportKey{}
	for _, w := range c.Workloads {
		if len(w.PassportKey) == 0 {
			continue
		}
		if key, err := x509.ParsePKIXPublicKey(w.PassportKey); err == nil {
			all[keyID(w.PassportKey)] = passportKey{string(identity.WorkloadID(trust, w.Namespace, w.Account)), key}
		}
	}
	p.keys.Store(&all)
}

func (p *passports) key(issuer, kid string) crypto.PublicKey {
	all := p.keys.Load()
	if all == nil {
		return nil
	}
	if k, ok := (*all)[kid]; ok && k.issuer == issuer {
		return k.key
	}
	return nil
}

// gateway says whether an identity is that of a gateway that makes passports.
func (p *passports) gateway(id string) bool {
	all := p.keys.Load()
	if all == nil || !strings.HasSuffix(id, "/sa/"+model.GatewayAccount) {
		return false
	}
	for _, k := range *all {
		if k.issuer == id {
			return true
		}
	}
	return false
}

// checking and minting are the filters, from the time that there is a mesh.
type checking struct{ *passports }

func (c checking) OnRequest(x *filter.Exchange) filter.Verdict {
	if v := c.check.Load(); v != nil {
		return v.OnRequest(x)
	}
	return filter.Continue
}

type minting struct{ *passports }

func (m minting) OnRequest(x *filter.Exchange) filter.Verdict {
	if v := m.mint.Load(); v != nil {
		return v.OnRequest(x)
	}
	return filter.Continue
}
