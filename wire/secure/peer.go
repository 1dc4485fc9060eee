package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func checkClient(cfg *wire.ClientTLS) error {
	if cfg.Identities == nil {
		if cfg.Identity != "" || cfg.Peer != "" {
			return errors.New("identities: nobody gives and judges their certificates")
		}
		return nil
	}
	if cfg.Identity == "" || cfg.Peer == "" {
		// Without a Peer anybody would do.
		return errors.New("identities: a connection between workloads needs both, ours and the other's")
	}
	return nil
}

// named has the certificate checked for one of cfg's Names. crypto/tls checks
// for one name, which is the SNI too, so it is told to check nothing, and the
// whole is done here; kept, which may be nil, has the sessions.
func (d *dialer) named(cfg *tls.Config, kept *sessions) {
	cfg.ClientSessionCache = nil
	if kept != nil {
		cfg.ClientSessionCache = kept
	}
	if len(d.cfg.Names) == 0 || d.cfg.Insecure {
		return
	}
	pool, names := cfg.RootCAs, d.cfg.Names
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(st tls.ConnectionState) error {
		chain := st.PeerCertificates
		if len(chain) == 0 {
			return errNoCertificate
		}
		err := verify(chain, pool, x509.ExtKeyUsageServerAuth)
		if err == nil && !isFor(chain[0], names) {
			err = fmt.Errorf("the certificate is for %s, not for any of %s", strings.Join(namesIn(chain[0]), ", "), strings.Join(names, ", "))
		}
		if err != nil {
			if kept != nil {
				kept.until.Store(0)
			}
			return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
		}
		if kept != nil {
			kept.until.Store(chain[0].NotAfter.Unix())
		}
		return nil
	}
}

// isFor says whether a certificate is for one of names: DNS names, of which
// "*.example.com" is that very entry, or URIs.
func isFor(leaf *x509.Certificate, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		switch {
		case strings.Contains(name, "://"):
			return slices.ContainsFunc(namesIn(leaf), func(n string) bool { return n == name })
		case strings.HasPrefix(name, "*."):
			return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
		}
		return leaf.VerifyHostname(name) == nil
	})
}

// namesIn are the names that a certificate is for.
func namesIn(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return []string{"no name"}
	}
	return names
}

// sessions are those of one endpoint. Where crypto/tls is told to check
// nothing, it would resume a session whose certificate has expired, and the
// check here would end the connection that a full handshake may have had.
type sessions struct {
	tls.ClientSessionCache
	until atomic.Int64 // seconds since 1970
}

func newSessions() *sessions {
	s := &sessions{ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	s.until.Store(1<<63 - 1)
	return s
}

// Get gives none once the certificate has expired.
func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) {
	if time.Now().Unix() > s.until.Load() {
		return nil, false
	}
	return s.ClientSessionCache.Get(key)
}

// authenticate makes cfg that of a connection between workloads: it shows the
// certificate that Identity has now, and the other side must be Peer. There
// are no sessions: one would keep a certificate that has been replaced or taken
// away.
func (d *dialer) authenticate(cfg *tls.Config, found *verdict) (*tls.Config, error) {
	ids, peer := d.cfg.Identities, d.cfg.Peer
	own := ids.Certificate(d.cfg.Identity)
	if own == nil {
		return nil, &wire.PeerError{Why: observe.NoIdentity, Who: d.cfg.Identity, Err: errNoCertificate}
	}
	cfg = cfg.Clone()
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	cfg.VerifyConnection = func(st tls.ConnectionState) error {
		chain := st.PeerCertificates
		if len(chain) == 0 {
			return &wire.PeerError{Why: observe.UpstreamIdentity, Err: errNoIdentity}
		}
		id, err := ids.Verify(chain)
		switch {
		case err != nil:
			return &wire.PeerError{Why: observe.UpstreamIdentity, Who: wire.CertificateName(chain[0]), Err: err}
		case id != peer:
			return &wire.PeerError{Why: observe.UpstreamIdentity, Who: id, Err: errors.New("is not " + peer)}
		}
		found.certificate, found.identity = chain[0], id
		return nil
	}
	return cfg, nil
}

// shown makes the TLSState of a client's connection.
func (d *dialer) shown(st *tls.ConnectionState, found *verdict) wire.TLSState {
	t := wire.TLSState{
		Version:     st.Version,
		Cipher:      st.CipherSuite,
		ServerName:  strings.ToLower(st.ServerName),
		Protocol:    st.NegotiatedProtocol,
		Resumed:     st.DidResume,
		Certificate: found.certificate,
		Identity:    found.identity,
	}
	if d.cfg.Identities == nil && !d.cfg.Insecure && len(st.PeerCertificates) > 0 {
		t.Certificate = st.PeerCertificates[0]
	}
	return t
}
