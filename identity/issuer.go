package identity

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/naru-mesh/naru/model"
)

// Issuer gives certificates. Safe for use by any goroutine.
type Issuer interface {
	// Follow makes wants all that is wanted from now on. It returns at once;
	// what has to be got is got in the background. One caller at a time.
	Follow(wants []Want)
	// Certificate gives what is at hand for a client of listener, nil where
	// nothing is. It does not wait. Without a name in hello it is that of the
	// listener's first name.
	Certificate(listener string, hello *tls.ClientHelloInfo) *tls.Certificate
	// Issue gets one where Certificate gave none; it waits until ctx ends.
	// nil without an error: this name is none of the listener's.
	Issue(ctx context.Context, listener string, hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	// Challenge is what hello's name is proved with (TLS-ALPN-01, RFC 8737),
	// nil while nobody wants that.
	Challenge(hello *tls.ClientHelloInfo) *tls.Certificate
	// Answer is what host is proved with at the path of a request (HTTP-01,
	// RFC 8555 section 8.3), nil while nobody wants that. The path begins with
	// ChallengePath.
	Answer(host, path []byte) []byte
	// Problems are the names that have no certificate, or an old one, and why.
	Problems() []model.Problem
	// Holdings are the certificates at hand, at most max, sorted by name.
	Holdings(max int) []Holding
	Counts() Counts
	// Close ends what runs in the background, and waits for it.
	Close()
}

// ChallengePath is where authorities ask (RFC 8555 section 8.3).
const ChallengePath = "/.well-known/acme-challenge/"

// NoAuthority is the code of a Problem that the next Follow may mend: nothing
// can be got of an authority at all, for example because its storage cannot be
// written to.
const NoAuthority = "no-authority"

// Want is a listener's wish for certificates.
type Want struct {
	Listener string   // its name
	Names    []string // to hold certificates for, sorted; maybe none
	Issuance *model.Issuance
	Origin   model.Origin
}

// Holding is a certificate at hand.
type Holding struct {
	Name     string
	Issuer   string // who signed it, for people
	NotAfter time.Time
}

// Counts are since the start.
type Counts struct {
	Issued, Renewed, Failed uint64
	// Challenges are proofs that an authority was given.
	Challenges uint64
}
