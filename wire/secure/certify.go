package secure

import (
	"context"
	"crypto/tls"
	"slices"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// certify chooses a certificate where there is a Certifier: a credential for
// the client's name comes first, then the Certifier, then the default.
func (p *program) certify(s *shake, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	from := p.cfg.Certifier
	if isChallenge(hello) {
		cert := from.Challenge(hello)
		if cert == nil {
			return p.tls, nil // which does not speak it: no_application_protocol
		}
		return &tls.Config{
			Certificates: []tls.Certificate{*cert},
			NextProtos:   []string{wire.ChallengeProtocol},
			MinVersion:   tls.VersionTLS12,
			// Nothing of it may be resumed.
			SessionTicketsDisabled: true,
		}, nil
	}
	if s.chosen = p.choice.own(hello); s.chosen != nil {
		return p.judged(p.tls, &s.found), nil
	}
	cert := from.Certificate(hello)
	if cert == nil {
		var err error
		if cert, err = s.issue(from, hello); err != nil {
			return nil, err
		}
	}
	if cert != nil {
		s.chosen = &choice{pair: cert}
	} else {
		s.chosen = best(p.choice.fallback, hello)
	}
	return p.judged(p.tls, &s.found), nil
}

func isChallenge(hello *tls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{wire.ChallengeProtocol})
}

// issue waits for a certificate outside the gate: others must be able to shake
// hands meanwhile, the authority that proves the name among them.
func (s *shake) issue(from wire.Certifier, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.gate.leave()
	cert, err := from.Issue(shakeContext{s}, hello)
	if s.inside = s.gate.enter(s.gone); !s.inside {
		return nil, errAbandoned
	}
	return cert, err
}

// shakeContext ends with the handshake. It is a type of its own because a
// context of the standard library that ends by a channel takes a goroutine.
type shakeContext struct{ s *shake }

func (shakeContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c shakeContext) Done() <-chan struct{}     { return c.s.gone }
func (shakeContext) Value(any) any               { return nil }

func (c shakeContext) Err() error {
	select {
	case <-c.s.gone:
		return context.Canceled
	default:
		return nil
	}
}
