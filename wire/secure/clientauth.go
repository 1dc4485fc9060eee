package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// verdict is what was found about a client's certificate.
type verdict struct {
	certificate *x509.Certificate
	invalid     error
	identity    string
}

var errNoIdentity = errors.New("no identity is proved")

// checkClientAuth wants one way to judge: with none, everybody would be let in.
func checkClientAuth(a *wire.ClientAuth) error {
	if a == nil {
		return nil
	}
	if (a.Identities != nil) == (a.CAFile != "" || len(a.CA) > 0) {
		return errors.New("client certificates: one of a CA and identities is needed to check them with")
	}
	return nil
}

// newClientTrust reads the authorities of clients; nil where there are none.
func newClientTrust(a *wire.ClientAuth) (*trust, error) {
	if a == nil || a.Identities != nil {
		return nil, nil
	}
	return newTrust("client CA", a.CAFile, a.CA)
}

// ask makes cfg ask clients for certificates.
//
// Where authorities judge and a certificate is demanded, crypto/tls does it
// all: it knows the alerts, and a session resumes only if its certificate has
// not expired and its root is still among ClientCAs; otherwise the handshake is
// a full one. An optional certificate is judged afterwards, by agreed, because
// crypto/tls would refuse a wrong one.
//
// Identities judge in VerifyConnection. Their sessions are not resumed: a
// ticket would keep an identity, ours or theirs, that has been replaced or
// taken away.
func (p *program) ask(cfg *tls.Config) {
	a := p.cfg.ClientAuth
	for i := range p.cfg.Credentials {
		// Whatever SNI: a session belongs to one identity.
		cfg.SessionTicketsDisabled = cfg.SessionTicketsDisabled || p.cfg.Credentials[i].Identity != ""
	}
	if a == nil {
		return
	}
	switch {
	case a.Identities != nil:
		cfg.SessionTicketsDisabled = true
		cfg.ClientAuth = tls.RequireAnyClientCert
	case !a.Optional:
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, p.clients.pool
	default:
		cfg.ClientCAs = p.clients.pool // tells clients which to choose from
	}
	if a.Optional {
		cfg.ClientAuth = tls.RequestClientCert
	}
}

// judged gives cfg, or, where identities are asked for, a copy whose handshake
// leaves what it finds in v.
func (p *program) judged(cfg *tls.Config, v *verdict) *tls.Config {
	if a := p.cfg.ClientAuth; a == nil || a.Identities == nil {
		return cfg
	}
	cfg = cfg.Clone()
	cfg.VerifyConnection = func(st tls.ConnectionState) error {
		*v = p.judge(&st)
		switch {
		case p.cfg.ClientAuth.Optional:
			return nil
		case v.invalid == nil && v.identity == "":
			return &wire.PeerError{Why: observe.ClientIdentity, Err: errNoIdentity}
		}
		return v.invalid
	}
	return cfg
}

// named makes a refusal between workloads tell so: crypto/tls does not know.
func named(a *wire.ClientAuth, why observe.Reason) observe.Reason {
	if why == observe.ClientCertificateMissing && a != nil && a.Identities != nil {
		return observe.ClientIdentity
	}
	return why
}

// judge finds out about the certificate that a client has shown.
func (p *program) judge(st *tls.ConnectionState) (v verdict) {
	a, chain := p.cfg.ClientAuth, st.PeerCertificates
	switch {
	case a == nil || len(chain) == 0:
	case a.Identities != nil:
		id, err := a.Identities.Verify(chain)
		if err == nil && id == "" {
			err = errNoIdentity
		}
		if err != nil {
			v.invalid = &wire.PeerError{Why: observe.ClientIdentity, Who: wire.CertificateName(chain[0]), Err: err}
			return v
		}
		v.certificate, v.identity = chain[0], id
	case !a.Optional && len(st.VerifiedChains) > 0:
		v.certificate = chain[0]
	default:
		if err := verify(chain, p.clients.pool, x509.ExtKeyUsageClientAuth); err != nil {
			v.invalid = &wire.PeerError{Why: observe.ClientCertificateInvalid, Who: wire.CertificateName(chain[0]), Err: err}
			return v
		}
		v.certificate = chain[0]
	}
	return v
}

// agreed makes a TLSState; v is nil where nobody has judged yet.
func (p *program) agreed(st *tls.ConnectionState, v *verdict) wire.TLSState {
	if v == nil {
		found := p.judge(st)
		v = &found
	}
	t := wire.TLSState{
		Version:     st.Version,
		Cipher:      st.CipherSuite,
		ServerName:  strings.ToLower(st.ServerName),
		Protocol:    st.NegotiatedProtocol,
		Resumed:     st.DidResume,
		Certificate: v.certificate,
		Invalid:     v.invalid,
		Identity:    v.identity,
	}
	if c := v.certificate; c != nil {
		t.Subject, t.Forwarded = wire.CertificateName(c), wire.ForwardedCertificate(c)
		if v.identity != "" {
			t.Subject = v.identity
		}
	}
	return t
}

// Agreed implements wire.ServerSecurity.
func (sv *server) Agreed(st tls.ConnectionState) *wire.TLSState {
	t := sv.program.Load().agreed(&st, nil)
	sv.security.count(&t)
	return &t
}
