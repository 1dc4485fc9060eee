package identity

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"strings"
	"time"
)

// ID is a SPIFFE ID (SPIFFE-ID, section 2), in canonical form.
type ID string

// ErrBadID is wrapped by what ParseID returns.
var ErrBadID = errors.New("not a SPIFFE ID")

// ErrRefused is wrapped by what an Authority says of a request that is wrong, or
// for an identity that whoever asks may not have: asking again is of no use.
var ErrRefused = errors.New("refused to sign")

// WorkloadID is the identity of an account of a namespace.
func WorkloadID(trustDomain, namespace, account string) ID {
	return ID("spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + account)
}

// TrustDomain is the first part.
func (id ID) TrustDomain() string {
	domain, _, _ := strings.Cut(strings.TrimPrefix(string(id), "spiffe://"), "/")
	return domain
}

// Workload gives namespace and account, where the ID has that form.
func (id ID) Workload() (namespace, account string, ok bool) {
	_, path, _ := strings.Cut(strings.TrimPrefix(string(id), "spiffe://"), "/")
	part := strings.Split(path, "/")
	if len(part) != 4 || part[0] != "ns" || part[2] != "sa" {
		return "", "", false
	}
	return part[1], part[3], true
}

// SVID is an identity with its proof (X509-SVID).
type SVID struct {
	ID ID
	// Chain is the leaf, then intermediates, without the root.
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// Bundle is what the SVIDs of a trust domain are checked with. It is not
// written to once it is given away.
type Bundle struct {
	TrustDomain string
	Roots       []*x509.Certificate
	// Keys check JWT-SVIDs, by key id.
	Keys map[string]crypto.PublicKey
	// Sequence grows with each change. Refresh is how often to ask again.
	Sequence uint64
	Refresh  time.Duration
}

// Authority signs for a trust domain: the embedded one, or one that is reached
// over the link. It has checked, or checks, that whoever asks may have what is
// asked for. Any goroutine.
type Authority interface {
	// SignX509 gives a chain (leaf first, DER) for the key of csr, whose own
	// signature must be right and of which nothing else counts. ttl is bounded;
	// 0 is the authority's default.
	SignX509(ctx context.Context, id ID, csr []byte, ttl time.Duration) ([][]byte, error)
	// SignJWT gives a JWT-SVID. audience is not empty.
	SignJWT(ctx context.Context, id ID, audience []string, ttl time.Duration) (string, error)
	// Bundles gives the bundles of the trust domain and of those that it is
	// federated with, and waits until they are not those of after (nil: does not
	// wait), or ctx ends.
	Bundles(ctx context.Context, after *Bundles) (*Bundles, error)
}

// Bundles are those of our own trust domain, first, and of others.
type Bundles struct {
	Own       *Bundle
	Federated []*Bundle // sorted by trust domain
	// Forgotten are certificates of our own trust domain that are refused.
	Forgotten []Forgotten
}
