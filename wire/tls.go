package wire

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// Security gives TLS to both sides; wire/secure implements it.
type Security interface {
	// Server makes the TLS side of a listening address. It reads the
	// credentials now; an error names the credential and what is wrong.
	Server(cfg *ServerTLS) (ServerSecurity, error)
	// Client makes a Dialer whose connections are TLS.
	Client(cfg *ClientTLS) (Dialer, error)
}

// ServerSecurity terminates TLS for one listening address.
type ServerSecurity interface {
	// Secure takes c, shakes hands off the loop, and calls ready on c's loop
	// with the plain side of it (Peer().TLS is set). A handshake that fails or
	// takes too long closes c and is told to ServerTLS.Failed.
	Secure(c Conn, ready func(Conn))
	// Update replaces the configuration for handshakes to come. On an error
	// the old one stays.
	Update(cfg *ServerTLS) error
	// Lend gives the same certificates, at each handshake those of now, to a
	// transport that does TLS by itself (QUIC), which speaks these protocols.
	Lend(protocols ...string) *tls.Config
	// Agreed tells what a handshake with a lent configuration has agreed, the
	// client's certificate judged. It takes about as long as a part of a
	// handshake, and belongs on no loop.
	Agreed(st tls.ConnectionState) *TLSState
	// Close stops watching files. Connections live on.
	Close()
}

// ServerTLS configures a ServerSecurity.
type ServerTLS struct {
	Credentials []Credential
	// Certifier is asked for names that no Credential is for; nil: the first
	// Credential serves them.
	Certifier Certifier
	// ClientAuth asks clients for a certificate; nil does not.
	ClientAuth *ClientAuth
	MinVersion uint16        // tls.VersionTLS12 where 0
	Protocols  []string      // ALPN in order of preference, for example "http/1.1"
	Handshake  time.Duration // bound of a handshake; negative none
	// Failed is told of each handshake that did not succeed, on any goroutine.
	Failed func(why observe.Reason, remote netip.AddrPort, err error)
	// Reloaded is told when changed files, of credentials and of ClientAuth's
	// authorities ("client CA"), were read again; err says that they
	// are not usable and the old credential stays, or, if it has a method
	// Usable that says so, what is doubtful about the new one. Any goroutine.
	// May be nil.
	Reloaded func(name string, err error)
}

// Certifier has certificates that come by themselves. Its methods are called
// from the goroutines of handshakes, several at a time. hello.Conn tells no
// addresses and must not be used otherwise.
type Certifier interface {
	// Certificate gives what is at hand for the name that the client asks for
	// ("" where it asks for none), nil where nothing is. It must not wait.
	Certificate(hello *tls.ClientHelloInfo) *tls.Certificate
	// Issue is called where Certificate had nothing, and gets one. It may wait
	// until ctx ends, which it does with the connection. nil without an error:
	// there is none for this name, and another may be shown.
	Issue(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	// Challenge gives what proves to an authority that this is the server of
	// hello's name (RFC 8737), nil where none has asked. It must not wait. No
	// connection is served after such a handshake.
	Challenge(hello *tls.ClientHelloInfo) *tls.Certificate
}

// ChallengeProtocol is the ALPN of an authority that asks (RFC 8737).
const ChallengeProtocol = "acme-tls/1"

// Credential is a certificate chain and its key, and the names it is for.
type Credential struct {
	Name string
	// Hostname restricts it to an SNI ("a.example.com", "*.example.com"); ""
	// means the names in the certificate. The first credential of all is the
	// default for clients without a known SNI.
	Hostname string
	// Chain and Key are PEM, or the files are.
	Chain, Key         []byte
	ChainFile, KeyFile string
	// Identity, in place of both, is a SPIFFE ID: the certificate is the newest
	// that Identities has for it, at each handshake. Hostname must be set.
	Identity   string
	Identities Identities
}

// ClientAuth is how clients' certificates are checked: in the handshake, and
// again where a session resumes. One of Identities and CA (or CAFile) is set.
type ClientAuth struct {
	// CA is PEM; CAFile is read again when it changes.
	CA     []byte
	CAFile string
	// Identities wants an SVID. What it tells is TLSState.Identity.
	Identities Identities
	// Optional lets clients in without a certificate, or with one that is not
	// valid: TLSState says which.
	Optional bool
}

// Identities gives and judges the certificates of workloads (SPIFFE
// X.509-SVIDs). Its methods are called by handshakes, on any goroutine, several
// at a time; they do not wait.
type Identities interface {
	// Certificate is the newest of an identity, "spiffe://...", nil where there
	// is none.
	Certificate(id string) *tls.Certificate
	// Verify judges the chain that a peer has shown, leaf first, by the bundle
	// of its trust domain, and gives the identity in it. The peer has proved
	// that it has the key.
	Verify(chain []*x509.Certificate) (id string, err error)
}

// ClientTLS configures connections to a service.
type ClientTLS struct {
	ServerName string // SNI and the name to verify
	CA         []byte // PEM; empty and no CAFile: the system's roots
	CAFile     string // read again when it changes
	Insecure   bool
	Protocols  []string
	// Names are those of which the certificate must be for one, DNS names or
	// URIs; none: ServerName. ServerName is sent as SNI all the same.
	Names []string
	// Credential is shown to services that ask for one; nil shows none. Its
	// files are read again when they change.
	Credential *Credential
	// Identities and Identity make it a connection between workloads: the SVID
	// of Identity is shown, and the other side must prove to be Peer. CA, Names
	// and Credential do not count. TLS 1.3.
	Identities Identities
	Identity   string
	Peer       string
	// Reloaded is as that of ServerTLS: of the CA and of Credential. May be nil.
	Reloaded func(name string, err error)
}

// Dialer starts connections. A Loop's Dial is the plain one.
type Dialer interface {
	Dial(l Loop, addr netip.AddrPort, h ConnHandler) Conn
}

// Lender is a Dialer of TLS that can also be used by whoever shakes hands by
// itself, as a health check does.
type Lender interface {
	Dialer
	// Lend gives the configuration for one handshake with addr, which may be
	// written to. It looks at files and belongs on no loop.
	Lend(addr netip.AddrPort) (*tls.Config, error)
}

// PlainDialer dials without TLS.
type PlainDialer struct{}

// Dial calls the loop's.
func (PlainDialer) Dial(l Loop, addr netip.AddrPort, h ConnHandler) Conn { return l.Dial(addr, h) }

// PeerError is a handshake that failed for a certificate, or a tunnel that is
// forbidden.
type PeerError struct {
	// Why is PolicyDenied, where the other side's policies refuse a tunnel, or
	// one of ClientCertificateMissing, ClientCertificateInvalid,
	// ClientIdentity, UpstreamIdentity and NoIdentity.
	Why observe.Reason
	// Who is the subject or the identity that the other side has shown, or, of
	// NoIdentity, the one that we are to show; "" where there is none.
	Who string
	Err error
}

func (e *PeerError) Error() string {
	if e.Who == "" {
		return e.Err.Error()
	}
	return e.Who + ": " + e.Err.Error()
}

func (e *PeerError) Unwrap() error { return e.Err }

// HandshakeReason tells why a client's handshake failed, from crypto/tls's
// error, and gives the error with the client's name in it where it has shown a
// certificate.
func HandshakeReason(err error) (observe.Reason, error) {
	var peer *PeerError
	var wrong *tls.CertificateVerificationError
	switch {
	case errors.As(err, &peer):
		return peer.Why, peer
	case errors.As(err, &wrong):
		e := &PeerError{Why: observe.ClientCertificateInvalid, Err: wrong.Err}
		if len(wrong.UnverifiedCertificates) > 0 {
			e.Who = CertificateName(wrong.UnverifiedCertificates[0])
		}
		return e.Why, e
	case err != nil && strings.Contains(err.Error(), "client didn't provide a certificate"):
		// crypto/tls has no type for it.
		return observe.ClientCertificateMissing, &PeerError{Why: observe.ClientCertificateMissing, Err: err}
	}
	return observe.HandshakeFailed, err
}

// CertificateName is a certificate in a line of a log: its subject, or its
// first URI, or its first DNS name, and its serial number.
func CertificateName(c *x509.Certificate) string {
	who := c.Subject.String()
	switch {
	case who != "":
	case len(c.URIs) > 0:
		who = c.URIs[0].String()
	case len(c.DNSNames) > 0:
		who = c.DNSNames[0]
	}
	return fmt.Sprintf("%s (serial %x)", who, c.SerialNumber)
}

// ForwardedCertificate is a certificate as an element of
// X-Forwarded-Client-Cert, as Envoy writes it: its SHA-256, its subject (RFC
// 4514), and the URIs and DNS names that it is for.
func ForwardedCertificate(c *x509.Certificate) string {
	b := fmt.Appendf(nil, "Hash=%x;Subject=%s", sha256.Sum256(c.Raw), quoted(c.Subject.String()))
	for _, u := range c.URIs {
		b = append(append(b, ";URI="...), bare(u.String())...)
	}
	for _, n := range c.DNSNames {
		b = append(append(b, ";DNS="...), bare(n)...)
	}
	return string(b)
}

// bare is a value that is quoted only where it must be.
func bare(s string) string {
	if s == "" || strings.ContainsAny(s, ",;=\"\\ ") || !plain(s) {
		return quoted(s)
	}
	return s
}

// quoted leaves no byte that could end a value or a field line: certificates
// hold what their authorities let pass.
func quoted(s string) string {
	b := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = fmt.Appendf(b, "%%%02X", c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f })
}
