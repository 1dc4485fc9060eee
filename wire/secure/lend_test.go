package secure

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// borrowed shakes hands by what was lent and gives the name of the certificate.
func borrowed(t *testing.T, lent *tls.Config, name string) (string, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(far, lent).HandshakeContext(context.Background()) // the client tells
	}()
	c := tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h3"}})
	err := c.HandshakeContext(t.Context())
	near.Close()
	<-done
	if err != nil {
		return "", err
	}
	st := c.ConnectionState()
	if st.Version != tls.VersionTLS13 || st.NegotiatedProtocol != "h3" {
		t.Errorf("version %#x, protocol %q", st.Version, st.NegotiatedProtocol)
	}
	return st.PeerCertificates[0].Subject.CommonName, nil
}

// TestLend: whoever shakes hands by itself shows the certificates of now.
func TestLend(t *testing.T) {
	t.Parallel()
	sv := mustServer(t, &wire.ServerTLS{
		Credentials: []wire.Credential{testCA().issue("one", "one.test"), testCA().issue("two", "two.test")},
		Protocols:   []string{"h2", "http/1.1"},
	})
	lent := sv.Lend("h3")
	for name, want := range map[string]string{"one.test": "one", "two.test": "two", "other.test": "one"} {
		if got, err := borrowed(t, lent, name); err != nil || got != want {
			t.Errorf("%s gets %q, %v", name, got, err)
		}
	}
	if err := sv.Update(&wire.ServerTLS{Credentials: []wire.Credential{testCA().issue("three", "two.test")}}); err != nil {
		t.Fatal(err)
	}
	if got, err := borrowed(t, lent, "two.test"); err != nil || got != "three" {
		t.Errorf("after the change: %q, %v", got, err)
	}
}

// late is a Certifier that gets one certificate.
type late struct {
	wire.Certifier
	pair *tls.Certificate
}

func (l late) Certificate(*tls.ClientHelloInfo) *tls.Certificate { return nil }
func (l late) Issue(_ context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "late.test" {
		return l.pair, nil
	}
	return nil, nil
}

func TestLendIssued(t *testing.T) {
	t.Parallel()
	issued := testCA().issue("late", "late.test")
	pair, err := tls.X509KeyPair(issued.Chain, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{testCA().issue("one", "one.test")}, Certifier: late{pair: &pair}})
	for name, want := range map[string]string{"one.test": "one", "late.test": "late", "other.test": "one"} {
		if got, err := borrowed(t, sv.Lend("h3"), name); err != nil || got != want {
			t.Errorf("%s gets %q, %v", name, got, err)
		}
	}
	sv = mustServer(t, &wire.ServerTLS{Certifier: late{pair: &pair}})
	if got, err := borrowed(t, sv.Lend("h3"), "other.test"); err == nil {
		t.Errorf("a name without certificate gets %q", got)
	}
}
