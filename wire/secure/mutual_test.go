package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// client is the tests' client with a certificate of its own.
func client(t *testing.T, v uint16, cred *wire.Credential) *tls.Config {
	t.Helper()
	cfg := clientConfig()
	cfg.MinVersion, cfg.MaxVersion = v, v
	if cred != nil {
		pair, err := tls.X509KeyPair(cred.Chain, cred.Key)
		if err != nil {
			t.Fatal(err)
		}
		// Shown whatever the server says that it knows.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return cfg
}

// person makes a client's certificate.
func (a *authority) person(name string, until time.Time, usage x509.ExtKeyUsage) *wire.Credential {
	c := a.made(name, until, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{usage} })
	return &c
}

func later() time.Time { return time.Now().Add(time.Hour) }

// TestClientCertificates: who is let in, who is not, with which alert and
// which reason, and what is known of those who are.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(), newAuthority()
	good := ca.person("alice", later(), x509.ExtKeyUsageClientAuth)
	for name, c := range map[string]struct {
		cred             *wire.Credential
		alert12, alert13 string // none: let in
		why              observe.Reason
		says             string
	}{
		"valid":      {cred: good},
		"none":       {nil, "handshake failure", "certificate required", observe.ClientCertificateMissing, "didn't provide a certificate"},
		"stranger":   {stranger.person("mallory", later(), x509.ExtKeyUsageClientAuth), "unknown certificate authority", "unknown certificate authority", observe.ClientCertificateInvalid, "CN=mallory (serial "},
		"expired":    {ca.person("bob", time.Now().Add(-time.Minute), x509.ExtKeyUsageClientAuth), "expired certificate", "expired certificate", observe.ClientCertificateInvalid, "CN=bob (serial "},
		"a server's": {ca.person("host", later(), x509.ExtKeyUsageServerAuth), "bad certificate", "bad certificate", observe.ClientCertificateInvalid, "CN=host (serial "},
	} {
		for _, optional := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", optional"}[optional], func(t *testing.T) {
				t.Parallel()
				bothVersions(t, func(t *testing.T, v uint16) {
					cfg := &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, ClientAuth: &wire.ClientAuth{CA: ca.pem, Optional: optional}}
					fails := watchFails(cfg)
					a := accept(t, mustServer(t, cfg), echo())
					conn := tls.Client(a.net, client(t, v, c.cred))
					alert := map[uint16]string{tls.VersionTLS12: c.alert12, tls.VersionTLS13: c.alert13}[v]
					if alert != "" && !optional {
						err := conn.Handshake()
						if err == nil {
							_, err = conn.Read(make([]byte, 1)) // TLS 1.3: the client is done before it is judged
						}
						if err == nil || !strings.Contains(err.Error(), alert) {
							t.Errorf("client's error %v, want %q", err, alert)
						}
						if f := <-fails; f.why != c.why || !strings.Contains(f.err.Error(), c.says) {
							t.Errorf("failed with %v: %v; want %v: %s", f.why, f.err, c.why, c.says)
						}
						return
					}
					exchange(t, conn, "hello")
					st := (<-a.ready).Peer().TLS
					if alert == "" {
						if st.Certificate == nil || st.Certificate.Subject.CommonName != "alice" || st.Invalid != nil {
							t.Errorf("certificate %v, %v", st.Certificate, st.Invalid)
						}
						return
					}
					if st.Certificate != nil {
						t.Errorf("believes %v", st.Certificate.Subject)
					}
					if c.cred == nil && st.Invalid != nil || c.cred != nil && (st.Invalid == nil || !strings.Contains(st.Invalid.Error(), c.says)) {
						t.Errorf("invalid: %v, want %q", st.Invalid, c.says)
					}
				})
			})
		}
	}
}

// TestClientAuthorityChanges: the file is read again, and a session of before
// does not outlive the authority that it was made by.
func TestClientAuthorityChanges(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		one, two := newAuthority(), newAuthority()
		p := pairFiles{t, t.TempDir()}
		p.write("ca.pem", one.pem)
		cfg := &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, ClientAuth: &wire.ClientAuth{CAFile: filepath.Join(p.dir, "ca.pem")}}
		fails := watchFails(cfg)
		var told []string
		cfg.Reloaded = func(name string, err error) {
			s := name
			if err != nil {
				s += ": " + strings.ReplaceAll(err.Error(), p.dir, "DIR")
			}
			told = append(told, s)
		}
		sv := mustServer(t, cfg)
		sv.Close() // the test looks by itself
		c := client(t, v, one.person("alice", later(), x509.ExtKeyUsageClientAuth))
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		in := func(resumed bool) {
			t.Helper()
			a := accept(t, sv, echo())
			exchange(t, tls.Client(a.net, c), "hello")
			if st := (<-a.ready).Peer().TLS; st.Resumed != resumed || st.Certificate == nil || st.Certificate.Subject.CommonName != "alice" {
				t.Errorf("resumed %v as %v, want %v", st.Resumed, st.Certificate, resumed)
			}
		}
		in(false)
		in(true)
		p.write("ca.pem", []byte("cut off"))
		sv.reload()
		sv.reload()
		in(true)
		p.write("ca.pem", two.pem)
		sv.reload()
		a := accept(t, sv, newRecorder())
		conn := tls.Client(a.net, c)
		_, err := io.WriteString(conn, "hello")
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
			t.Errorf("a client of an authority that is gone: %v", err)
		}
		if f := <-fails; f.why != observe.ClientCertificateInvalid {
			t.Errorf("failed with %v: %v", f.why, f.err)
		}
		if want := "client CA: client CA DIR/ca.pem: no CERTIFICATE block in PEM|client CA"; strings.Join(told, "|") != want {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// TestOptionalSessionsAreJudgedAgain: what was let in without belief is not
// believed when it resumes, and not let in once a certificate is demanded.
func TestOptionalSessionsAreJudgedAgain(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		ca := newAuthority()
		cfg := &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, ClientAuth: &wire.ClientAuth{CA: ca.pem, Optional: true}}
		fails := watchFails(cfg)
		sv := mustServer(t, cfg)
		c := client(t, v, newAuthority().person("mallory", later(), x509.ExtKeyUsageClientAuth))
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, resumed := range []bool{false, true} {
			a := accept(t, sv, echo())
			exchange(t, tls.Client(a.net, c), "hello")
			if st := (<-a.ready).Peer().TLS; st.Resumed != resumed || st.Certificate != nil || st.Invalid == nil {
				t.Errorf("resumed %v, certificate %v, invalid %v", st.Resumed, st.Certificate, st.Invalid)
			}
		}
		strict := *cfg
		strict.ClientAuth = &wire.ClientAuth{CA: ca.pem}
		if err := sv.Update(&strict); err != nil {
			t.Fatal(err)
		}
		a := accept(t, sv, newRecorder())
		conn := tls.Client(a.net, c)
		if err := conn.Handshake(); err == nil {
			_, err = conn.Read(make([]byte, 1))
			if err == nil {
				t.Error("a session of before is let in")
			}
		}
		if f := <-fails; f.why != observe.ClientCertificateInvalid {
			t.Errorf("failed with %v: %v", f.why, f.err)
		}
	})
}

func TestClientAuthMustBeWhole(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*wire.ClientAuth{
		"one of a CA and identities":  {},
		"no CERTIFICATE block":        {CA: []byte("nonsense")},
		"client CA /missing: no such": {CAFile: "/missing"},
	} {
		_, err := New(0).Server(&wire.ServerTLS{Credentials: []wire.Credential{localhost()}, ClientAuth: a})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %q", err, name)
		}
	}
}

// TestLendAsksToo: whoever shakes hands by itself asks for the same.
func TestLendAsksToo(t *testing.T) {
	t.Parallel()
	ca := newAuthority()
	sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, ClientAuth: &wire.ClientAuth{CA: ca.pem}})
	if _, err := borrowed(t, sv.Lend("h3"), "localhost"); err != nil {
		t.Fatal(err) // TLS 1.3: the client is done before it is judged
	}
	lent, err := sv.Lend("h3").GetConfigForClient(&tls.ClientHelloInfo{})
	if err != nil || lent.ClientAuth != tls.RequireAndVerifyClientCert || lent.ClientCAs == nil {
		t.Fatalf("lent %+v, %v", lent, err)
	}
	chain := func(c *wire.Credential) []*x509.Certificate {
		pair, err := tls.X509KeyPair(c.Chain, c.Key)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{pair.Leaf}
	}
	good := chain(ca.person("alice", later(), x509.ExtKeyUsageClientAuth))
	st := sv.Agreed(tls.ConnectionState{PeerCertificates: good, VerifiedChains: [][]*x509.Certificate{good}, ServerName: "LOCALHOST"})
	if st.Certificate != good[0] || st.ServerName != "localhost" {
		t.Errorf("agreed %+v", st)
	}
	bad := chain(newAuthority().person("mallory", later(), x509.ExtKeyUsageClientAuth))
	if st := sv.Agreed(tls.ConnectionState{PeerCertificates: bad}); st.Certificate != nil || st.Invalid == nil {
		t.Errorf("agreed %+v", st)
	}
}

// TestNamesOfServices: of several names one is enough, and the SNI stays.
func TestNamesOfServices(t *testing.T) {
	t.Parallel()
	ca := newAuthority()
	cred := ca.made("service", later(), func(c *x509.Certificate) {
		c.DNSNames = []string{"inside.test", "*.wild.test"}
		c.URIs = uris("spiffe://test/ns/a/sa/b")
	})
	for _, c := range []struct {
		names []string
		wrong string
	}{
		{names: []string{"inside.test"}},
		{names: []string{"other.test", "Inside.Test"}},
		{names: []string{"a.wild.test"}},
		{names: []string{"*.wild.test"}},
		{names: []string{"spiffe://test/ns/a/sa/b"}},
		{[]string{"sni.test"}, "is for inside.test, *.wild.test, spiffe://test/ns/a/sa/b, not for any of sni.test"},
		{[]string{"*.inside.test", "spiffe://test/ns/a/sa/c"}, "not for any of *.inside.test, spiffe://test/ns/a/sa/c"},
	} {
		bothVersions(t, func(t *testing.T, v uint16) {
			x := dial(t, New(0), &wire.ClientTLS{ServerName: "sni.test", CA: ca.pem, Names: c.names}, newRecorder())
			x.start()
			scfg := service(t, cred)
			scfg.MaxVersion = v
			s := tls.Server(x.net, scfg)
			if err := s.Handshake(); c.wrong == "" && (err != nil || s.ConnectionState().ServerName != "sni.test") {
				t.Errorf("%q: %v, SNI %q", c.names, err, s.ConnectionState().ServerName)
			}
			if c.wrong == "" {
				x.rec.expect(t, "open")
				return
			}
			var failed *wire.DialError
			if err := x.rec.lost(t); !errors.As(err, &failed) || !failed.TLS || !strings.Contains(err.Error(), c.wrong) || wire.DialReason(err) != observe.UpstreamTLS {
				t.Errorf("%q: %v", c.names, err)
			}
		})
	}
	// The chain counts all the same.
	x := dial(t, New(0), &wire.ClientTLS{ServerName: "sni.test", CA: testCA().pem, Names: []string{"inside.test"}}, newRecorder())
	x.start()
	_ = tls.Server(x.net, service(t, cred)).Handshake() // the client tells
	var unknown x509.UnknownAuthorityError
	if err := x.rec.lost(t); !errors.As(err, &unknown) {
		t.Errorf("a stranger's certificate: %v", err)
	}
}

// TestServicesAreShownACertificate that is read again, and sessions of the one
// before end with it.
func TestServicesAreShownACertificate(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		ca := newAuthority()
		p := pairFiles{t, t.TempDir()}
		put := func(c *wire.Credential) { p.write("tls.crt", c.Chain); p.write("tls.key", c.Key) }
		put(ca.person("one", later(), x509.ExtKeyUsageClientAuth))
		own := p.credential()
		cfg := trusting()
		cfg.Credential = &own
		var told []string
		cfg.Reloaded = func(name string, err error) { told = append(told, name) }
		made, err := New(0).Client(cfg)
		if err != nil {
			t.Fatal(err)
		}
		d := made.(*dialer)
		scfg := service(t, localhost())
		scfg.MaxVersion, scfg.ClientAuth, scfg.ClientCAs = v, tls.RequireAndVerifyClientCert, ca.pool
		shown := func() (string, bool) {
			t.Helper()
			rec := newRecorder()
			got := make(chan struct{}, 8)
			rec.onData = func([]byte) { got <- struct{}{} }
			x := dialWith(t, d, newLoop(t), rec)
			x.start()
			s := tls.Server(x.net, scfg)
			if _, err := io.WriteString(s, "hello"); err != nil {
				t.Fatal(err)
			}
			rec.expect(t, "open")
			<-got // with it, TLS 1.3's ticket
			st := s.ConnectionState()
			return st.PeerCertificates[0].Subject.CommonName, st.DidResume
		}
		look := func() { d.mu.Lock(); d.looked = time.Time{}; d.mu.Unlock() }
		for i, want := range []bool{false, true} {
			if name, resumed := shown(); name != "one" || resumed != want {
				t.Errorf("%d: shown %q, resumed %v", i, name, resumed)
			}
		}
		look()
		shown()
		put(ca.person("two", later(), x509.ExtKeyUsageClientAuth))
		look()
		if name, resumed := shown(); name != "two" || resumed {
			t.Errorf("after the change: shown %q, resumed %v", name, resumed)
		}
		if len(told) != 1 || told[0] != "site" {
			t.Errorf("told %q", told)
		}
		// A health check shows the same.
		lent, err := d.Lend(testAddr)
		if err != nil {
			t.Fatal(err)
		}
		if pair, _ := lent.GetClientCertificate(nil); pair.Leaf.Subject.CommonName != "two" {
			t.Errorf("lent %q", pair.Leaf.Subject)
		}
	})
}
