package ca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store"
)

// maxRequest bounds a request to sign, in bytes.
const maxRequest = 16 << 10

func (a *Authority) refuse(why refusal, id identity.ID, format string, args ...any) error {
	a.counts.refused[why].Add(1)
	err := fmt.Errorf("%w for %.300q: %w", identity.ErrRefused, string(id), fmt.Errorf(format, args...))
	a.log.Warn("the authority refused to sign", "identity", string(id), "reason", why.String(), "err", err)
	return err
}

// check is what every identity must be to be signed for.
func (a *Authority) check(id identity.ID) error {
	parsed, err := identity.ParseID(string(id))
	switch {
	case err != nil:
		return a.refuse(badIdentity, id, "%w", err)
	case parsed != id:
		return a.refuse(badIdentity, id, "%w: it is not in canonical form, which is %s", identity.ErrBadID, parsed)
	case id.Path() == "":
		return a.refuse(badIdentity, id, "%w: a workload's identity has a path", identity.ErrBadID)
	case id.TrustDomain() != a.opt.TrustDomain:
		return a.refuse(foreignDomain, id, "trust domain %s is not that of this authority, %s", id.TrustDomain(), a.opt.TrustDomain)
	}
	return nil
}

// ready says why this replica cannot sign now.
func (a *Authority) ready(now time.Time) error {
	if since := now.Sub(time.Unix(0, a.fresh.Load())); since > maxStale {
		a.counts.refused[notReady].Add(1)
		return fmt.Errorf("%w: the authority has not reached it for %s, and does not sign by what may be out of date", store.ErrUnavailable, since.Round(time.Second))
	}
	return nil
}

// SignX509 implements identity.Authority.
func (a *Authority) SignX509(ctx context.Context, id identity.ID, csr []byte, ttl time.Duration) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := a.check(id); err != nil {
		return nil, err
	}
	if len(csr) > maxRequest {
		return nil, a.refuse(badRequest, id, "the request has %d bytes, %d are allowed", len(csr), maxRequest)
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, a.refuse(badRequest, id, "the request is not a PKCS #10 one: %w", err)
	}
	if err := checkKey(request.PublicKey); err != nil {
		return nil, a.refuse(badRequest, id, "the request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, a.refuse(badRequest, id, "the signature of the request is not by its key: %w", err)
	}
	now := a.opt.Now()
	if err := a.ready(now); err != nil {
		return nil, err
	}
	v := a.view.Load()
	if v.signer == nil {
		a.counts.refused[notReady].Add(1)
		return nil, v.unsigned
	}
	end := now.Add(within(ttl, a.opt.TTL, minTTL, a.opt.MaxTTL))
	if end.After(v.signer.until) {
		end = v.signer.until
	}
	if end.Sub(now) < minTTL/2 {
		a.counts.refused[notReady].Add(1)
		return nil, fmt.Errorf("the authority cannot sign: %s, with which it does, expired or expires at %s", v.signer.cert.Subject, v.signer.until.UTC().Format(time.RFC3339))
	}
	uri, err := url.Parse(string(id))
	if err != nil {
		return nil, a.refuse(badIdentity, id, "%w", err)
	}
	// No subject: the URI is the only name, and so the extension is critical.
	t := &x509.Certificate{
		SerialNumber: identity.NewSerial(ctx), NotBefore: now.Add(-identity.Backdate), NotAfter: end, URIs: []*url.URL{uri},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	leaf, err := x509.CreateCertificate(rand.Reader, t, v.signer.cert, request.PublicKey, v.signer.key)
	if err != nil {
		return nil, err
	}
	a.counts.certificates.Add(1)
	a.log.Debug("a certificate was signed", "identity", string(id), "serial", hex.EncodeToString(t.SerialNumber.Bytes()), "until", end)
	return append([][]byte{leaf}, v.signer.chain...), nil
}

// SignJWT implements identity.Authority.
func (a *Authority) SignJWT(ctx context.Context, id identity.ID, audience []string, ttl time.Duration) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := a.check(id); err != nil {
		return "", err
	}
	if len(audience) == 0 || len(audience) > 16 {
		return "", a.refuse(badAudience, id, "a token has 1 to 16 audiences, not %d", len(audience))
	}
	for _, s := range audience {
		if s == "" || len(s) > 1024 {
			return "", a.refuse(badAudience, id, "an audience has 1 to 1024 bytes, not %d", len(s))
		}
	}
	now := a.opt.Now()
	if err := a.ready(now); err != nil {
		return "", err
	}
	v := a.view.Load()
	i := v.record.signing(now)
	if i < 0 {
		a.counts.refused[notReady].Add(1)
		return "", errors.New("the authority has no key for tokens that may sign yet (is a clock wrong?)")
	}
	token, err := v.tokens[v.record.Keys[i].ID].sign(tokenBody{Subject: string(id), Audience: audience, Issued: now.Unix(),
		Expiry: now.Add(within(ttl, defaultToken, minTTL, maxToken)).Unix(), ID: hex.EncodeToString(serial().Bytes())})
	if err != nil {
		return "", err
	}
	a.counts.tokens.Add(1)
	return token, nil
}

// within bounds a time that somebody asked for.
func within(asked, usual, least, most time.Duration) time.Duration {
	if asked == 0 {
		asked = usual
	}
	return min(max(asked, least), most)
}
