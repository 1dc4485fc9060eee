package acme

import (
	"bytes"
	"crypto/tls"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/naru-mesh/naru/identity"
)

// Challenge implements identity.Issuer.
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) *tls.Certificate {
	c, ok := certmagic.GetACMEChallenge(identity.ServerName(hello.ServerName))
	if !ok || c.Type != acme.ChallengeTypeTLSALPN01 {
		return nil
	}
	cert, err := acmez.TLSALPN01ChallengeCert(c.Challenge)
	if err != nil {
		m.log.Error("the certificate that proves a name cannot be made", "name", hello.ServerName, "error", err)
		return nil
	}
	m.counts.challenges.Add(1)
	m.log.Debug("an authority was given its proof", "name", hello.ServerName, "by", c.Type)
	return cert
}

// Answer implements identity.Issuer. The host must be the one that is proved,
// so that a page elsewhere cannot make a browser fetch what it may not see.
func (m *Manager) Answer(host, path []byte) []byte {
	token, ok := bytes.CutPrefix(path, []byte(identity.ChallengePath))
	if !ok || len(token) == 0 || len(host) > 255 {
		return nil
	}
	name := strings.ToLower(string(host))
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[:i]
	}
	c, ok := certmagic.GetACMEChallenge(strings.TrimSuffix(name, "."))
	if !ok || c.Type != acme.ChallengeTypeHTTP01 || c.Token != string(token) {
		return nil
	}
	m.counts.challenges.Add(1)
	m.log.Debug("an authority was given its proof", "name", name, "by", c.Type)
	return []byte(c.KeyAuthorization)
}
