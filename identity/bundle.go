package identity

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// DefaultRefresh is how often a bundle is asked for that does not say.
const DefaultRefresh = 5 * time.Minute

// ParseBundle reads the document of a bundle: a JWK set (SPIFFE Trust Domain
// and Bundle, section 4). Keys whose use is not known are passed over.
func ParseBundle(trustDomain string, doc []byte) (*Bundle, error) {
	if err := CheckTrustDomain(trustDomain); err != nil {
		return nil, err
	}
	td, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadID, err)
	}
	read, err := spiffebundle.Parse(td, doc)
	if err != nil {
		return nil, fmt.Errorf("bundle of %s: %w", trustDomain, err)
	}
	b := &Bundle{TrustDomain: trustDomain, Roots: read.X509Authorities(), Keys: read.JWTAuthorities()}
	b.Sequence, _ = read.SequenceNumber()
	if b.Refresh, _ = read.RefreshHint(); b.Refresh < 0 {
		b.Refresh = 0
	}
	for _, root := range b.Roots {
		if err := CheckSigner(root, trustDomain); err != nil {
			return nil, fmt.Errorf("bundle of %s: %w", trustDomain, err)
		}
	}
	return b, nil
}

// Document is what ParseBundle reads.
func (b *Bundle) Document() ([]byte, error) {
	td, err := spiffeid.TrustDomainFromString(b.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadID, err)
	}
	doc := spiffebundle.New(td)
	doc.SetX509Authorities(b.Roots)
	doc.SetJWTAuthorities(b.Keys)
	doc.SetSequenceNumber(b.Sequence)
	if b.Refresh > 0 {
		doc.SetRefreshHint(b.Refresh)
	}
	return doc.Marshal()
}

// KeySet is the JWK set of the keys for JWT-SVIDs alone, as the Workload API
// gives it (SPIFFE Workload API, section 6.2.2).
func (b *Bundle) KeySet() ([]byte, error) {
	td, err := spiffeid.TrustDomainFromString(b.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadID, err)
	}
	return jwtbundle.FromJWTAuthorities(td, b.Keys).Marshal()
}

// DERRoots are the roots, one after the other.
func (b *Bundle) DERRoots() []byte {
	var all []byte
	for _, root := range b.Roots {
		all = append(all, root.Raw...)
	}
	return all
}

// Equal says whether a peer is judged the same by both, and their sequence is
// the same. Either may be nil.
func (b *Bundle) Equal(o *Bundle) bool {
	if b == nil || o == nil {
		return b == o
	}
	if b.TrustDomain != o.TrustDomain || b.Sequence != o.Sequence || b.Refresh != o.Refresh || len(b.Keys) != len(o.Keys) ||
		!slices.EqualFunc(b.Roots, o.Roots, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) }) {
		return false
	}
	for id, key := range b.Keys {
		if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(o.Keys[id]) {
			return false
		}
	}
	return true
}

// Equal says whether all bundles are equal. Either may be nil.
func (b *Bundles) Equal(o *Bundles) bool {
	if b == nil || o == nil {
		return b == o
	}
	return b.Own.Equal(o.Own) && slices.EqualFunc(b.Federated, o.Federated, (*Bundle).Equal) && slices.EqualFunc(b.Forgotten, o.Forgotten, Forgotten.equal)
}

// All are our own, then the others.
func (b *Bundles) All() []*Bundle {
	if b.Own == nil {
		return b.Federated
	}
	return append([]*Bundle{b.Own}, b.Federated...)
}

// Sort puts the others in order.
func (b *Bundles) Sort() {
	slices.SortFunc(b.Federated, func(x, y *Bundle) int { return strings.Compare(x.TrustDomain, y.TrustDomain) })
}
