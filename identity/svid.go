package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// ErrBadSVID is wrapped by every error of a certificate, or a token, that is not
// accepted as an SVID.
var ErrBadSVID = errors.New("SVID refused")

// refuse says whose SVID is refused, and why. who may be empty.
func refuse(who, format string, args ...any) error {
	if who == "" {
		who = "somebody without a name"
	}
	return fmt.Errorf("%w: %s: %w", ErrBadSVID, who, fmt.Errorf(format, args...))
}

// nameOf is how a certificate is spoken of in errors before anything about it
// is believed.
func nameOf(cert *x509.Certificate) string {
	if len(cert.URIs) > 0 {
		return fmt.Sprintf("%.200q", cert.URIs[0].String())
	}
	return fmt.Sprintf("certificate %.200q", cert.Subject.String())
}

// LeafID checks the rules for a certificate that a workload shows, and gives
// the identity in it (X509-SVID, sections 2, 4 and 5.2). Who signed it and when
// it is valid is not looked at.
func LeafID(cert *x509.Certificate) (ID, error) {
	who := nameOf(cert)
	id, err := onlyID(cert.URIs)
	switch {
	case err != nil:
		return "", refuse(who, "%w", err)
	case id.Path() == "":
		return "", refuse(who, "a workload's identity has a path, and this has none")
	case cert.IsCA:
		return "", refuse(who, "it is the certificate of an authority, which no workload may show")
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "", refuse(who, "its key usage lacks digitalSignature")
	case cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return "", refuse(who, "its key usage has keyCertSign or cRLSign, which are for authorities")
	}
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0 {
		var server, client bool
		for _, u := range cert.ExtKeyUsage {
			server = server || u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
			client = client || u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny
		}
		if !server || !client {
			return "", refuse(who, "its extended key usage lacks serverAuth or clientAuth")
		}
	}
	return id, nil
}

// CheckSigner checks the rules for a certificate that signs those of workloads
// of trustDomain (X509-SVID, sections 2, 3 and 4).
func CheckSigner(cert *x509.Certificate, trustDomain string) error {
	who := nameOf(cert)
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return refuse(who, "it signs others and is not the certificate of an authority")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return refuse(who, "it signs others and its key usage lacks keyCertSign")
	case len(cert.URIs) == 0:
		return nil
	}
	id, err := onlyID(cert.URIs)
	switch {
	case err != nil:
		return refuse(who, "%w", err)
	case id.Path() != "":
		return refuse(who, "the identity of an authority has no path, and this has one")
	case id.TrustDomain() != trustDomain:
		return refuse(who, "it signs for trust domain %s, not for %s", id.TrustDomain(), trustDomain)
	}
	return nil
}

func onlyID(uris []*url.URL) (ID, error) {
	if len(uris) != 1 {
		return "", fmt.Errorf("it has %d URI names, and exactly one is allowed", len(uris))
	}
	return ParseID(uris[0].String())
}

// Verifier judges SVIDs by bundles, each of which speaks for its own trust
// domain alone. It does not change: make another for other bundles. Any
// goroutine.
type Verifier struct {
	domains   map[string]*domain
	own       string     // trust domain
	forgotten *forgotten // nil: nobody is
}

type domain struct {
	bundle *Bundle
	roots  *x509.CertPool
}

// NewVerifier makes one; b must not change any more.
func NewVerifier(b *Bundles) *Verifier {
	v := &Verifier{domains: map[string]*domain{}, forgotten: newForgotten(b.Forgotten)}
	add := func(bundle *Bundle) {
		d := &domain{bundle: bundle, roots: x509.NewCertPool()}
		for _, root := range bundle.Roots {
			d.roots.AddCert(root)
		}
		v.domains[bundle.TrustDomain] = d
	}
	for _, f := range b.Federated {
		add(f)
	}
	if b.Own != nil {
		add(b.Own) // last: nobody else's takes its place
		v.own = b.Own.TrustDomain
	}
	return v
}

// Verify judges the chain that a peer has shown, leaf first, at a time, and
// gives its identity. Errors wrap ErrBadSVID and say whose it is and why it is
// refused.
func (v *Verifier) Verify(chain []*x509.Certificate, now time.Time) (ID, error) {
	if len(chain) == 0 {
		return "", refuse("", "no certificate was shown")
	}
	id, err := LeafID(chain[0])
	if err != nil {
		return "", err
	}
	d := v.domains[id.TrustDomain()]
	if d == nil {
		return "", refuse(string(id), "trust domain %s is not ours, and we are not federated with it", id.TrustDomain())
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		if err := CheckSigner(cert, id.TrustDomain()); err != nil {
			return "", err
		}
		between.AddCert(cert)
	}
	// Extended usages were looked at above: which side the peer is on does not
	// matter to a workload that must have both.
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: d.roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil && id.TrustDomain() == v.own:
		if f := v.forgotten.of(chain[0], id, now); f != nil {
			return "", refuse(string(id), "it is forgotten: %s", f)
		}
		return id, nil
	case err == nil:
		return id, nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert == chain[0]:
		return "", refuse(string(id), "%w", ByClock(err, now))
	}
	return "", refuse(string(id), "the bundle of %s does not confirm it: %w", id.TrustDomain(), err)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
