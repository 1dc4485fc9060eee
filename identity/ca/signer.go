package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store"
)

// signer is what certificates are signed with.
type signer struct {
	cert  *x509.Certificate
	key   crypto.Signer
	chain [][]byte // DER: follows a leaf
	root  []byte   // DER
	until time.Time
	due   time.Time // when it is replaced; zero: never, it is somebody else's
}

type tokenSigner struct {
	signer jose.Signer
	key    *ecdsa.PrivateKey
}

const (
	rootSealed  = "the key of a root"
	tokenSealed = "the key for JWT-SVIDs"
)

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func (a *Authority) uri() []*url.URL {
	return []*url.URL{{Scheme: "spiffe", Host: a.opt.TrustDomain}}
}

// makeRoot makes a root of our own, its key sealed.
func (a *Authority) makeRoot(now time.Time) (root, error) {
	key, err := newKey()
	if err != nil {
		return root{}, err
	}
	number := serial()
	t := &x509.Certificate{
		SerialNumber: number, NotBefore: now.Add(-identity.Backdate), NotAfter: now.Add(rootLife),
		Subject: pkix.Name{Organization: []string{"naru"}, CommonName: a.opt.TrustDomain + " root " + hex.EncodeToString(number.Bytes()[:4])},
		URIs:    a.uri(), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: 1,
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return root{}, err
	}
	sealed, err := a.seal(rootSealed, key)
	return root{Cert: cert, Key: sealed}, err
}

func (a *Authority) makeTokenKey() (tokenKey, error) {
	key, err := newKey()
	if err != nil {
		return tokenKey{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return tokenKey{}, err
	}
	sum := sha256.Sum256(public)
	sealed, err := a.seal(tokenSealed, key)
	return tokenKey{ID: hex.EncodeToString(sum[:16]), Public: public, Key: sealed}, err
}

func (a *Authority) seal(what string, key *ecdsa.PrivateKey) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return a.opt.Sealer.Seal(a.opt.TrustDomain+": "+what, plain), nil
}

func (a *Authority) unseal(what string, sealed []byte) (*ecdsa.PrivateKey, error) {
	plain, err := a.opt.Sealer.Open(a.opt.TrustDomain+": "+what, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w (all replicas must be given the same sealing key)", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", what, key)
	}
	return own, nil
}

// bundlesOf is what a record and the bundles of others come to.
func (a *Authority) bundlesOf(r *record, federated map[string]store.Item) (*identity.Bundles, error) {
	own := &identity.Bundle{TrustDomain: a.opt.TrustDomain, Keys: map[string]crypto.PublicKey{}, Sequence: r.Sequence, Refresh: refresh}
	for i := range r.Roots {
		cert, err := x509.ParseCertificate(r.Roots[i].Cert)
		if err != nil {
			return nil, fmt.Errorf("a root in the store: %w", err)
		}
		own.Roots = append(own.Roots, cert)
	}
	for i := range r.Keys {
		key, err := x509.ParsePKIXPublicKey(r.Keys[i].Public)
		if err != nil {
			return nil, fmt.Errorf("a key for JWT-SVIDs in the store: %w", err)
		}
		own.Keys[r.Keys[i].ID] = key
	}
	all := &identity.Bundles{Own: own, Forgotten: r.Forgotten}
	for domain, item := range federated {
		b, err := identity.ParseBundle(domain, item.Value)
		if err != nil {
			a.log.Warn("a federated bundle in the store is not usable; its trust domain is not believed", "trust domain", domain, "err", err)
			continue
		}
		if domain != a.opt.TrustDomain {
			all.Federated = append(all.Federated, b)
		}
	}
	all.Sort()
	return all, nil
}

// equip gives v what it signs with, that of old where it still serves.
func (a *Authority) equip(v, old *view, now time.Time) error {
	v.tokens = map[string]*tokenSigner{}
	for i := range v.record.Keys {
		k := &v.record.Keys[i]
		if old != nil && old.tokens[k.ID] != nil {
			v.tokens[k.ID] = old.tokens[k.ID]
			continue
		}
		key, err := a.unseal(tokenSealed, k.Key)
		if err != nil {
			return err
		}
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: k.ID}}, (&jose.SignerOptions{}).WithType("JWT"))
		if err != nil {
			return err
		}
		v.tokens[k.ID] = &tokenSigner{signer: s, key: key}
	}
	from, err := a.issuer(&v.record, v.given)
	switch {
	case err != nil:
		return err
	case from == nil:
		v.unsigned = errors.New("the active root is an authority's in files, which this replica was not given")
		return nil
	case old != nil && old.serves(now) && old.signer.comesFrom(from):
		v.signer = old.signer
		return nil
	}
	v.signer, err = a.makeSigner(from, now)
	return err
}

// comesFrom says whether s was made of i, and with the same above it.
func (s *signer) comesFrom(i *issuer) bool {
	return string(s.root) == string(i.root) && len(s.chain) >= len(i.above) &&
		string(join(s.chain[len(s.chain)-len(i.above):])) == string(join(i.above)) && (len(i.above) == 0 || s.due.IsZero() == !i.deep())
}

func join(list [][]byte) (all []byte) {
	for _, b := range list {
		all = append(all, b...)
	}
	return all
}

// issuer is the newest that may sign, nil where this replica has none.
func (a *Authority) issuer(r *record, given *issuer) (*issuer, error) {
	for i := len(r.Roots) - 1; i >= 0; i-- {
		x := &r.Roots[i]
		switch {
		case x.Stage != active:
		case !x.given():
			key, err := a.unseal(rootSealed, x.Key)
			if err != nil {
				return nil, err
			}
			cert, err := x509.ParseCertificate(x.Cert)
			if err != nil {
				return nil, err
			}
			return &issuer{cert: cert, key: key, root: x.Cert}, nil
		case given != nil && string(given.root) == string(x.Cert):
			return given, nil
		}
	}
	return nil, nil
}

func (a *Authority) makeSigner(from *issuer, now time.Time) (*signer, error) {
	s := &signer{cert: from.cert, key: from.key, chain: from.above, root: from.root, until: from.cert.NotAfter}
	if !from.deep() {
		return s, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	number := serial()
	end := now.Add(a.opt.Intermediate)
	if end.After(from.cert.NotAfter) {
		end = from.cert.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber: number, NotBefore: now.Add(-identity.Backdate), NotAfter: end,
		Subject: pkix.Name{Organization: []string{"naru"}, CommonName: a.opt.Replica + " " + hex.EncodeToString(number.Bytes()[:4])},
		URIs:    a.uri(), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, from.cert, key.Public(), from.key)
	if err != nil {
		return nil, err
	}
	if s.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	s.key, s.until, s.due = key, end, now.Add(end.Sub(now)/2)
	s.chain = append([][]byte{der}, from.above...)
	return s, nil
}

// checkKey says what is wrong with a public key.
func checkKey(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return fmt.Errorf("its curve %s is too weak (P-256 at least)", k.Curve.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 8192 {
			return fmt.Errorf("its RSA key has %d bits (2048 to 8192 are allowed)", n)
		}
		return nil
	}
	return fmt.Errorf("its key is of an unknown kind (%T)", public)
}

// tokenBody is what a JWT-SVID says (JWT-SVID, section 3).
type tokenBody struct {
	Subject  string   `json:"sub"`
	Audience []string `json:"aud"`
	Expiry   int64    `json:"exp"`
	Issued   int64    `json:"iat"`
	ID       string   `json:"jti"`
}

func (t *tokenSigner) sign(body tokenBody) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	signed, err := t.signer.Sign(text)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
