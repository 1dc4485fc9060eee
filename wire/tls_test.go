package wire

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/observe"
)

func TestForwardedCertificate(t *testing.T) {
	t.Parallel()
	c := &x509.Certificate{
		Raw: []byte("raw"), Subject: pkix.Name{CommonName: `al"ice, or \ ` + "not\r\nX-Admin: 1", Organization: []string{"Größe"}},
		URIs:     []*url.URL{{Scheme: "spiffe", Host: "test", Path: "/a"}, {Scheme: "x", Opaque: "a;b"}},
		DNSNames: []string{"a.test", "b,c", ""},
	}
	want := fmt.Sprintf("Hash=%x;", sha256.Sum256(c.Raw)) +
		`Subject="CN=al\\\"ice\\, or \\\\ not%0D%0AX-Admin: 1,O=Gr%C3%B6%C3%9Fe";` +
		`URI=spiffe://test/a;URI="x:a;b";DNS=a.test;DNS="b,c";DNS=""`
	got := ForwardedCertificate(c)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !ValidValue(got) {
		t.Error("it is no field value")
	}
}

func TestCertificateName(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]x509.Certificate{
		"CN=a (serial ff)":       {Subject: pkix.Name{CommonName: "a"}, URIs: []*url.URL{{Scheme: "x"}}},
		"spiffe://t (serial ff)": {URIs: []*url.URL{{Scheme: "spiffe", Host: "t"}}, DNSNames: []string{"b"}},
		"b (serial ff)":          {DNSNames: []string{"b"}},
		" (serial ff)":           {},
	} {
		c.SerialNumber = big.NewInt(255)
		if got := CertificateName(&c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestReasonsOfHandshakes: what crypto/tls says becomes a reason, through
// whatever it is wrapped in.
func TestReasonsOfHandshakes(t *testing.T) {
	t.Parallel()
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "a"}, SerialNumber: big.NewInt(1)}
	for _, c := range []struct {
		err  error
		why  observe.Reason
		says string
	}{
		{errors.New("other"), observe.HandshakeFailed, "other"},
		{&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: errors.New("old")}, observe.ClientCertificateInvalid, "CN=a (serial 1): old"},
		{errors.New("tls: client didn't provide a certificate"), observe.ClientCertificateMissing, "tls: client didn't provide a certificate"},
		{&PeerError{Why: observe.NoIdentity, Who: "spiffe://a", Err: errors.New("none")}, observe.NoIdentity, "spiffe://a: none"},
	} {
		if why, err := HandshakeReason(fmt.Errorf("wrapped: %w", c.err)); why != c.why || !strings.HasSuffix(err.Error(), c.says) {
			t.Errorf("%v: %v, %v", c.err, why, err)
		}
	}
	dial := &DialError{Addr: netip.AddrPort{}, TLS: true, Err: &PeerError{Why: observe.UpstreamIdentity, Err: errors.New("x")}}
	if DialReason(dial) != observe.UpstreamIdentity || LostReason(dial) != observe.UpstreamIdentity || LostReason(errors.New("x")) != observe.UpstreamReset {
		t.Error("a dial's reason is lost")
	}
}
