package secure

import (
	"crypto/tls"
)

// Lend implements wire.ServerSecurity. The config that is lent lives as long
// as the borrower, and so do the keys of its session tickets.
func (sv *server) Lend(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			p := sv.program.Load()
			pair, err := p.lent(hello)
			if err != nil {
				return nil, err
			}
			cfg := p.judged(p.tls, new(verdict)).Clone()
			cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil }
			cfg.MinVersion, cfg.NextProtos = tls.VersionTLS13, protocols
			return cfg, nil
		},
	}
}

// lent chooses a certificate as certify does, for whoever shakes hands by
// itself; nil is none.
func (p *program) lent(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if from := p.cfg.Certifier; from != nil && p.choice.own(hello) == nil {
		cert := from.Certificate(hello)
		if cert == nil {
			var err error
			if cert, err = from.Issue(hello.Context(), hello); err != nil {
				return nil, err
			}
		}
		if cert != nil {
			return cert, nil
		}
	}
	if c := p.choice.choose(hello); c != nil {
		return c.show()
	}
	return nil, nil
}
