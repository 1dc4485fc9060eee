package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// domain is a wire.Identities with an authority of its own.
type domain struct {
	*authority
	mu   sync.Mutex
	have map[string]*tls.Certificate
}

func newDomain(ids ...string) *domain {
	d := &domain{authority: newAuthority(), have: map[string]*tls.Certificate{}}
	for _, id := range ids {
		d.renew(id)
	}
	return d
}

// renew makes a new certificate for id; its subject is the number.
func (d *domain) renew(id string) *tls.Certificate {
	cred := d.made("", later(), func(c *x509.Certificate) {
		c.URIs = uris(id)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	})
	pair, err := tls.X509KeyPair(cred.Chain, cred.Key)
	if err != nil {
		panic(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have[id] = &pair
	return &pair
}

func (d *domain) revoke(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.have, id)
}

func (d *domain) Certificate(id string) *tls.Certificate {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.have[id]
}

func (d *domain) Verify(chain []*x509.Certificate) (string, error) {
	if err := verify(chain, d.pool, x509.ExtKeyUsageAny); err != nil {
		return "", err
	}
	if len(chain[0].URIs) != 1 {
		return "", errors.New("has no SPIFFE ID")
	}
	return chain[0].URIs[0].String(), nil
}

const (
	orders = "spiffe://test/ns/shop/sa/orders"
	web    = "spiffe://test/ns/shop/sa/web"
)

// workloads is a server of orders.
func workloads(d *domain) *wire.ServerTLS {
	return &wire.ServerTLS{
		Credentials: []wire.Credential{
			{Name: "orders", Hostname: "orders.shop", Identity: orders, Identities: d},
			{Name: "web", Hostname: "web.shop", Identity: web, Identities: d},
		},
		ClientAuth: &wire.ClientAuth{Identities: d},
		Protocols:  []string{"h2"},
	}
}

// met is what came of a connection between two workloads.
type met struct {
	server *wire.TLSState // nil: refused
	client *wire.TLSState
	err    error   // the client's
	fail   failure // the server's
}

// meet lets a client of ours connect to a server of ours.
func meet(t *testing.T, sv *server, fails chan failure, d wire.Dialer) (m met) {
	t.Helper()
	a := accept(t, sv, echo())
	loop, rec := newLoop(t), newRecorder()
	got := make(chan struct{}, 8)
	rec.onData = func([]byte) { got <- struct{}{} }
	x := dialWith(t, d, loop, rec)
	// Each raw end gets what the other one writes.
	copied := make(chan struct{}, 2)
	for _, way := range [][2]*netConn{{x.net, a.net}, {a.net, x.net}} {
		go func() {
			_, _ = io.Copy(way[1], way[0]) // ends with either
			way[1].Close()
			copied <- struct{}{}
		}()
	}
	t.Cleanup(func() { x.net.Close(); a.net.Close(); <-copied; <-copied })
	loop.do(func() { x.conn.Write([]byte("hello"), nil) })
	x.start()
	select {
	case <-got:
		s := (<-a.ready).Peer()
		m.server = s.TLS
		loop.do(func() { m.client = x.conn.Peer().TLS })
	case m.fail = <-fails:
		for e := range rec.events {
			if strings.HasPrefix(e, "close") {
				m.err = rec.err
				break
			}
		}
	}
	return m
}

func mustDialer(t *testing.T, cfg *wire.ClientTLS) wire.Dialer {
	t.Helper()
	d, err := New(0).Client(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestWorkloadsKnowEachOther: both sides learn who the other is, a renewed
// certificate counts at the next connection, and nothing is resumed.
func TestWorkloadsKnowEachOther(t *testing.T) {
	t.Parallel()
	d := newDomain(orders, web)
	cfg := workloads(d)
	fails := watchFails(cfg)
	sv := mustServer(t, cfg)
	dialer := mustDialer(t, &wire.ClientTLS{ServerName: "orders.shop", Identities: d, Identity: web, Peer: orders, Protocols: []string{"h2"}})
	var before *x509.Certificate
	for range 3 {
		m := meet(t, sv, fails, dialer)
		if m.server == nil {
			t.Fatalf("client %v, server %v", m.err, m.fail)
		}
		if m.server.Identity != web || m.client.Identity != orders || m.client.Version != tls.VersionTLS13 || m.client.Protocol != "h2" || m.server.Credential != any("orders") {
			t.Errorf("server %+v, client %+v", m.server, m.client)
		}
		if m.server.Resumed || m.client.Resumed {
			t.Error("a session was resumed")
		}
		if before != nil && (before.Equal(m.client.Certificate) || !m.client.Certificate.Equal(d.Certificate(orders).Leaf) || !m.server.Certificate.Equal(d.Certificate(web).Leaf)) {
			t.Error("the certificates of before were shown")
		}
		before = m.client.Certificate
		d.renew(orders)
		d.renew(web)
	}
}

// TestWorkloadsAreRefused: each way not to be who one should be.
func TestWorkloadsAreRefused(t *testing.T) {
	t.Parallel()
	d, foreign := newDomain(orders, web), newDomain(orders, web)
	for name, c := range map[string]struct {
		server *domain
		client *wire.ClientTLS

		why      observe.Reason // the client's
		says     string
		refused  observe.Reason // the server's
		refusing string
	}{
		"another workload": {d, &wire.ClientTLS{ServerName: "web.shop", Identities: d, Identity: web, Peer: orders},
			observe.UpstreamIdentity, web + ": is not " + orders, observe.HandshakeFailed, "bad certificate"},
		"a foreign server": {foreign, &wire.ClientTLS{ServerName: "orders.shop", Identities: d, Identity: web, Peer: orders},
			observe.UpstreamIdentity, "unknown authority", observe.HandshakeFailed, "bad certificate"},
		"no certificate of ours": {d, &wire.ClientTLS{ServerName: "orders.shop", Identities: d, Identity: "spiffe://test/ns/shop/sa/new", Peer: orders},
			observe.NoIdentity, "spiffe://test/ns/shop/sa/new: there is no certificate yet", 0, ""},
		"no certificate of theirs": {newDomain(web), &wire.ClientTLS{ServerName: "orders.shop", Identities: d, Identity: web, Peer: orders},
			observe.UpstreamTLS, "internal error", observe.NoIdentity, orders + ": there is no certificate yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := workloads(c.server)
			fails := watchFails(cfg)
			sv := mustServer(t, cfg)
			dialer := mustDialer(t, c.client)
			if c.refused == 0 {
				// The server hears nothing of it.
				x := dialWith(t, dialer, newLoop(t), newRecorder())
				x.start()
				if err := x.rec.lost(t); wire.DialReason(err) != c.why || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v: %v", wire.DialReason(err), err)
				}
				return
			}
			m := meet(t, sv, fails, dialer)
			if m.server != nil {
				t.Fatalf("let in: %+v", m.server)
			}
			if wire.DialReason(m.err) != c.why || !strings.Contains(m.err.Error(), c.says) {
				t.Errorf("client: %v: %v", wire.DialReason(m.err), m.err)
			}
			if m.fail.why != c.refused || !strings.Contains(m.fail.err.Error(), c.refusing) {
				t.Errorf("server: %v: %v", m.fail.why, m.fail.err)
			}
		})
	}
}

// TestServersOfWorkloadsJudge: who is let in by crypto/tls's own client, which
// checks nothing.
func TestServersOfWorkloadsJudge(t *testing.T) {
	t.Parallel()
	d := newDomain(orders, web)
	nameless := d.person("nobody", later(), x509.ExtKeyUsageClientAuth)
	for name, c := range map[string]struct {
		pair func() *tls.Certificate
		says string // "" is let in
	}{
		"a workload": {func() *tls.Certificate { return d.Certificate(web) }, ""},
		"nobody":     {func() *tls.Certificate { return new(tls.Certificate) }, "didn't provide a certificate"},
		"a stranger": {func() *tls.Certificate { return newDomain(web).Certificate(web) }, web + " (serial "},
		"no SPIFFE ID": {func() *tls.Certificate {
			pair, err := tls.X509KeyPair(nameless.Chain, nameless.Key)
			if err != nil {
				t.Error(err)
			}
			return &pair
		}, "has no SPIFFE ID"},
	} {
		for _, optional := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cfg := workloads(d)
				cfg.ClientAuth.Optional = optional
				fails := watchFails(cfg)
				a := accept(t, mustServer(t, cfg), echo())
				conn := tls.Client(a.net, &tls.Config{
					InsecureSkipVerify: true, ServerName: "orders.shop", NextProtos: []string{"h2"},
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.pair(), nil },
				})
				if c.says != "" && !optional {
					err := conn.Handshake()
					if err == nil {
						_, err = conn.Read(make([]byte, 1))
					}
					if err == nil {
						t.Error("is let in")
					}
					if f := <-fails; f.why != observe.ClientIdentity || !strings.Contains(f.err.Error(), c.says) {
						t.Errorf("refused by %v: %v", f.why, f.err)
					}
					return
				}
				exchange(t, conn, "hello")
				st := (<-a.ready).Peer().TLS
				if want := map[bool]string{true: web}[c.says == ""]; st.Identity != want || (st.Certificate != nil) != (want != "") {
					t.Errorf("identity %q, certificate %v", st.Identity, st.Certificate)
				}
			})
		}
	}
}

// TestIdentitiesAreNotResumed: crypto/tls's client keeps what it is given, and
// is given nothing that would outlive an identity that is taken away.
func TestIdentitiesAreNotResumed(t *testing.T) {
	t.Parallel()
	d := newDomain(orders, web)
	cfg := workloads(d)
	fails := watchFails(cfg)
	sv := mustServer(t, cfg)
	kept := tls.NewLRUClientSessionCache(4)
	show := d.Certificate(web)
	ask := func() *tls.Conn {
		a := accept(t, sv, echo())
		return tls.Client(a.net, &tls.Config{
			InsecureSkipVerify: true, ServerName: "orders.shop", NextProtos: []string{"h2"}, ClientSessionCache: kept,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return show, nil },
		})
	}
	for range 2 {
		c := ask()
		exchange(t, c, "hello")
		if c.ConnectionState().DidResume {
			t.Error("resumed")
		}
	}
	d.pool.AddCert(newAuthority().cert)
	show = newDomain(web).Certificate(web)
	c := ask()
	_ = c.Handshake() // TLS 1.3: the client is done before it is judged
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("an identity that is not believed is let in")
	}
	if f := <-fails; f.why != observe.ClientIdentity {
		t.Errorf("refused by %v: %v", f.why, f.err)
	}
	d.revoke(orders)
	if c := ask(); c.Handshake() == nil {
		t.Error("an identity that was taken away is shown")
	}
	if f := <-fails; f.why != observe.NoIdentity {
		t.Errorf("refused by %v: %v", f.why, f.err)
	}
}

// TestIdentitiesMustBeWhole: nothing is guessed.
func TestIdentitiesMustBeWhole(t *testing.T) {
	t.Parallel()
	d := newDomain(orders)
	for says, c := range map[string]wire.Credential{
		"nobody gives its certificate": {Hostname: "a", Identity: orders},
		"a hostname is needed":         {Identity: orders, Identities: d},
		"a certificate is given too":   {Hostname: "a", Identity: orders, Identities: d, ChainFile: "x"},
	} {
		if _, err := New(0).Server(&wire.ServerTLS{Credentials: []wire.Credential{c}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
	for says, c := range map[string]*wire.ClientTLS{
		"nobody gives and judges": {Peer: orders},
		"needs both":              {Identities: d, Identity: web},
	} {
		if _, err := New(0).Client(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
}

// TestRefusedAfterwards: in TLS 1.3 the client is done before it is judged; it
// tells all the same that the handshake has failed, and why.
func TestRefusedAfterwards(t *testing.T) {
	t.Parallel()
	d, foreign := newDomain(orders, web), newDomain(web)
	both := mixed{d, foreign}
	cfg := workloads(d)
	fails := watchFails(cfg)
	dialer := mustDialer(t, &wire.ClientTLS{ServerName: "orders.shop", Identities: both, Identity: web, Peer: orders})
	m := meet(t, mustServer(t, cfg), fails, dialer)
	if m.fail.why != observe.ClientIdentity {
		t.Errorf("server: %v: %v", m.fail.why, m.fail.err)
	}
	if wire.LostReason(m.err) != observe.UpstreamTLS || !strings.Contains(m.err.Error(), "bad certificate") {
		t.Errorf("client: %v", m.err)
	}
}

// mixed judges by one domain and shows the other's certificates.
type mixed struct{ judge, show *domain }

func (m mixed) Certificate(id string) *tls.Certificate                  { return m.show.Certificate(id) }
func (m mixed) Verify(chain []*x509.Certificate) (id string, err error) { return m.judge.Verify(chain) }
