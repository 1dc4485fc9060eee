package secure

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// certifier is a wire.Certifier of functions.
type certifier struct {
	held      map[string]*tls.Certificate
	issue     func(ctx context.Context, name string) (*tls.Certificate, error)
	challenge *tls.Certificate
}

func (c *certifier) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	return c.held[hello.ServerName]
}

func (c *certifier) Issue(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.issue == nil {
		return nil, nil
	}
	return c.issue(ctx, hello.ServerName)
}

func (c *certifier) Challenge(*tls.ClientHelloInfo) *tls.Certificate { return c.challenge }

func pairFor(t *testing.T, names ...string) *tls.Certificate {
	t.Helper()
	cred := testCA().issue(names[0], names...)
	pair, err := tls.X509KeyPair(cred.Chain, cred.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

func clientFor(name string) *tls.Config {
	cfg := clientConfig()
	cfg.ServerName = name
	return cfg
}

func TestCertifierServesWhatNoCredentialIsFor(t *testing.T) {
	t.Parallel()
	from := &certifier{
		held: map[string]*tls.Certificate{"held.test": pairFor(t, "held.test"), "localhost": pairFor(t, "wrong.test")},
		issue: func(_ context.Context, name string) (*tls.Certificate, error) {
			if name == "new.test" {
				return pairFor(t, "new.test"), nil
			}
			return nil, nil
		},
	}
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, Certifier: from, Protocols: []string{"http/1.1"}})
	for _, name := range []string{"localhost", "held.test", "new.test"} {
		a := accept(t, sv, echo())
		exchange(t, tls.Client(a.net, clientFor(name)), "hello "+name)
	}
	// The default serves a name that nobody has a certificate for.
	a := accept(t, sv, echo())
	cfg := clientFor("unknown.test")
	cfg.InsecureSkipVerify = true
	c := tls.Client(a.net, cfg)
	exchange(t, c, "hello")
	if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != "localhost" {
		t.Errorf("the certificate of %s was shown", got)
	}
}

func TestCertifierHasNothing(t *testing.T) {
	t.Parallel()
	refused := errors.New("nobody allows this name")
	for name, c := range map[string]struct {
		issue        func(context.Context, string) (*tls.Certificate, error)
		client, want string
	}{
		"unknown": {nil, "unrecognized name", "no certificates"},
		"refused": {func(context.Context, string) (*tls.Certificate, error) { return nil, refused }, "internal error", refused.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := &wire.ServerTLS{Certifier: &certifier{issue: c.issue}}
			fails := watchFails(cfg)
			a := accept(t, mustServer(t, cfg), newRecorder())
			if err := tls.Client(a.net, clientFor("a.test")).Handshake(); err == nil || !strings.Contains(err.Error(), c.client) {
				t.Errorf("client's error %v, want %q", err, c.client)
			}
			if f := <-fails; f.why != observe.HandshakeFailed || !strings.Contains(f.err.Error(), c.want) {
				t.Errorf("failed with %v %v, want %q", f.why, f.err, c.want)
			}
		})
	}
}

// While one handshake waits for its certificate, others go on: the authority
// that it waits for must be able to shake hands with this server.
func TestIssueLeavesTheGate(t *testing.T) {
	t.Parallel()
	waiting, answer := make(chan struct{}), make(chan *tls.Certificate)
	from := &certifier{
		held: map[string]*tls.Certificate{"other.test": pairFor(t, "other.test")},
		issue: func(context.Context, string) (*tls.Certificate, error) {
			close(waiting)
			return <-answer, nil
		},
	}
	ss := New(1) // one computes at a time
	made, err := ss.Server(&wire.ServerTLS{Certifier: from})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	sv := made.(*server)
	slow := accept(t, sv, echo())
	done := make(chan error, 1)
	client := tls.Client(slow.net, clientFor("slow.test"))
	go func() { done <- client.Handshake() }()
	<-waiting
	exchange(t, tls.Client(accept(t, sv, echo()).net, clientFor("other.test")), "hello")
	answer <- pairFor(t, "slow.test")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestIssueEndsWithTheHandshake(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	started := make(chan struct{})
	cfg := &wire.ServerTLS{Handshake: 3 * time.Second, Certifier: &certifier{issue: func(ctx context.Context, _ string) (*tls.Certificate, error) {
		if ctx.Err() != nil {
			ended <- errors.New("the context had ended before")
		}
		close(started)
		<-ctx.Done()
		ended <- nil
		return nil, ctx.Err()
	}}}
	fails := watchFails(cfg)
	a := accept(t, mustServer(t, cfg), newRecorder())
	go func() { _ = tls.Client(a.net, clientFor("slow.test")).Handshake() }()
	<-started
	a.loop.advance(4 * time.Second)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if f := <-fails; f.why != observe.HandshakeTimeout {
		t.Errorf("failed with %v %v", f.why, f.err)
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	from := &certifier{held: map[string]*tls.Certificate{"a.test": pairFor(t, "a.test")}, challenge: pairFor(t, "a.test")}
	cfg := &wire.ServerTLS{Certifier: from, Protocols: []string{"http/1.1"}}
	fails := watchFails(cfg)
	sv := mustServer(t, cfg)

	ask := clientFor("a.test")
	ask.NextProtos = []string{wire.ChallengeProtocol}
	a := accept(t, sv, newRecorder())
	c := tls.Client(a.net, ask)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if st := c.ConnectionState(); st.NegotiatedProtocol != wire.ChallengeProtocol || !st.PeerCertificates[0].Equal(from.challenge.Leaf) {
		t.Errorf("the authority sees %+v", st)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on after the challenge")
	}
	if len(a.ready) != 0 {
		t.Error("ready was called")
	}

	// Nobody asked: the protocol is not spoken.
	from.challenge = nil
	a = accept(t, sv, newRecorder())
	if err := tls.Client(a.net, ask).Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Errorf("client's error %v", err)
	}
	if f := <-fails; f.why != observe.HandshakeFailed {
		t.Errorf("failed with %v %v", f.why, f.err)
	}
}
