package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	spiffe "github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/agent"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mesh is a trust domain with one workload and one machine.
type mesh struct {
	domain   string
	root     *ca.Authority
	agent    *agent.Agent
	workload identity.ID
	endpoint identity.ID
}

func start(t *testing.T, domain string) *mesh {
	t.Helper()
	sealer, err := identity.NewSealer([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	m := &mesh{domain: domain, workload: identity.WorkloadID(domain, "shop", "orders"), endpoint: identity.WorkloadID(domain, "naru", "bundle")}
	if m.root, err = ca.New(t.Context(), ca.Options{TrustDomain: domain, Store: memory.New(), Sealer: sealer}); err != nil {
		t.Fatal(err)
	}
	if m.agent, err = agent.New(agent.Options{Authority: m.root}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.agent.Close)
	for _, id := range []identity.ID{m.workload, m.endpoint} {
		m.agent.Hold(id)
		if err := m.agent.Wait(within(t), id); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (m *mesh) own() *identity.Bundle { return m.agent.Bundles().Own }

// serve serves m's bundle with its SVID (https_spiffe).
func (m *mesh) serve(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(Handler(m.own))
	s.TLS = ServerTLS(m.endpoint, m.agent.Certificate)
	// httptest would put a certificate of its own before ours.
	l := tls.NewListener(s.Listener, s.TLS)
	s.Listener, s.TLS = l, nil
	s.Start()
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http:", "https:", 1)
}

// follow runs a Follower that gives m the bundles of d.
func (m *mesh) follow(t *testing.T, d Domain) *Follower {
	t.Helper()
	f, err := Follow(m.domain, d, func(b *identity.Bundle) error { return m.root.SetFederated(t.Context(), b) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return f
}

// until waits until m has what ok wants.
func (m *mesh) until(t *testing.T, what string, ok func(*identity.Bundles) bool) {
	t.Helper()
	ctx := within(t)
	for {
		changed := m.agent.Changed()
		if ok(m.agent.Bundles()) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

func (m *mesh) tls(peer identity.ID) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return m.agent.Certificate(string(m.workload)), nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return m.agent.Certificate(string(m.workload)), nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			id, err := m.agent.Verify(s.PeerCertificates)
			if err == nil && id != string(peer) {
				err = fmt.Errorf("the peer is %s, not %s", id, peer)
			}
			return err
		},
	}
}

// shake gives what the server and the client say of a handshake between the
// workloads of two domains.
func shake(server, client *mesh) (atServer, atClient error) {
	x, y := net.Pipe()
	done := make(chan error, 1)
	go func() {
		err := tls.Server(x, server.tls(client.workload)).Handshake()
		_ = x.Close()
		done <- err
	}()
	c := tls.Client(y, client.tls(server.workload))
	atClient = c.Handshake()
	if atClient == nil {
		_, _ = c.Read(make([]byte, 1)) // until the server has made up its mind
	}
	_ = y.Close()
	return <-done, atClient
}

// TestFederation has two trust domains federate, one by each profile.
func TestFederation(t *testing.T) {
	a, b := start(t, "a.test"), start(t, "b.test")

	// Strangers: each refuses, and says whom and why.
	if _, err := shake(a, b); err == nil || !strings.Contains(err.Error(), string(a.workload)+": trust domain a.test is not ours, and we are not federated with it") {
		t.Fatal(err)
	}

	// a follows b by Web PKI, b follows a by its SVID.
	web := httptest.NewTLSServer(Handler(b.own))
	defer web.Close()
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	aURL := a.serve(t)
	fb := a.follow(t, Domain{TrustDomain: "b.test", URL: web.URL, Roots: pool})
	fa := b.follow(t, Domain{TrustDomain: "a.test", URL: aURL, EndpointID: a.endpoint, First: a.own()})
	has := func(domain string, sequence uint64) func(*identity.Bundles) bool {
		return func(all *identity.Bundles) bool {
			return len(all.Federated) == 1 && all.Federated[0].TrustDomain == domain && all.Federated[0].Sequence >= sequence
		}
	}
	a.until(t, "b's bundle does not arrive", has("b.test", 1))
	b.until(t, "a's bundle does not arrive", has("a.test", 1))
	for _, c := range [][2]*mesh{{a, b}, {b, a}} {
		if x, y := shake(c[0], c[1]); x != nil || y != nil {
			t.Error(x, y)
		}
	}

	// a rotates its root. b learns the new one from an endpoint that it checks
	// with the old one; then a signs with it.
	ctx := within(t)
	if err := a.root.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	published := a.root.Status().Published
	a.until(t, "the new root is not published", func(all *identity.Bundles) bool { return all.Own.Sequence >= published })
	fa.Retry()
	b.until(t, "the new root does not arrive", has("a.test", published))
	if err := a.root.Acknowledged(ctx, published); err != nil {
		t.Fatal(err)
	}
	old := a.agent.SVID(a.workload)
	for _, id := range []identity.ID{a.workload, a.endpoint} {
		before := a.agent.SVID(id)
		a.agent.Renew(id)
		a.until(t, "it is not renewed", func(*identity.Bundles) bool { return a.agent.SVID(id) != before })
	}
	if old.Chain[1].Issuer.String() == a.agent.SVID(a.workload).Chain[1].Issuer.String() {
		t.Error("the old root signs on")
	}
	if x, y := shake(a, b); x != nil || y != nil {
		t.Error(x, y)
	}
	if err := fa.Trouble(); err != nil || fb.Trouble() != nil {
		t.Error(err, fb.Trouble())
	}

	// It ends.
	if err := b.root.DropFederated(ctx, "a.test"); err != nil {
		t.Fatal(err)
	}
	b.until(t, "a is still believed", func(all *identity.Bundles) bool { return len(all.Federated) == 0 })
	if _, err := shake(a, b); err == nil || !strings.Contains(err.Error(), "not federated") {
		t.Error(err)
	}
	g := observe.NewRegistry(1)
	Register(g, func() []*Follower { return []*Follower{fa, fb} })
	values := map[string]float64{}
	g.Collect(func(f observe.Family) {
		f.Each(func(s *observe.Sample) { values[f.Name+strings.Join(s.Values, ",")] = s.Value })
	})
	if values["naru_federation_fetches_totala.test,ok"] < 1 || values["naru_federation_fetches_totalb.test,ok"] < 1 || values["naru_federation_fetched_timestamp_secondsa.test"] < 1e9 {
		t.Error(values)
	}
}

// TestEndpoint has go-spiffe's client read what we serve, by both profiles.
func TestEndpoint(t *testing.T) {
	a := start(t, "a.test")
	td := spiffeid.RequireTrustDomainFromString("a.test")
	doc, err := a.own().Document()
	if err != nil {
		t.Fatal(err)
	}
	known, err := spiffebundle.Parse(td, doc)
	if err != nil {
		t.Fatal(err)
	}
	got, err := spiffe.FetchBundle(within(t), td, a.serve(t), spiffe.WithSPIFFEAuth(known, spiffeid.RequireFromString(string(a.endpoint))))
	if err != nil || !got.Equal(known) {
		t.Error(got, err)
	}
	if hint, ok := got.RefreshHint(); !ok || hint != identity.DefaultRefresh {
		t.Error(hint, ok)
	}
	for _, c := range []struct {
		method string
		own    *identity.Bundle
		want   int
	}{{"GET", a.own(), 200}, {"HEAD", a.own(), 200}, {"POST", a.own(), 405}, {"GET", nil, 503}} {
		w := httptest.NewRecorder()
		Handler(func() *identity.Bundle { return c.own }).ServeHTTP(w, httptest.NewRequest(c.method, "/", nil))
		if w.Code != c.want || w.Code == 200 && w.Header().Get("Content-Type") != "application/json" || c.method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}

// TestBadEndpoints has endpoints that are not what they should be: the last
// bundle stays.
func TestBadEndpoints(t *testing.T) {
	a, b := start(t, "a.test"), start(t, "b.test")
	aURL := a.serve(t)
	doc, err := a.own().Document()
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/large":
			_, _ = w.Write(make([]byte, maxDocument+1))
		case "/garbage":
			_, _ = w.Write([]byte("<html>"))
		case "/good":
			_, _ = w.Write(doc)
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	newer := *a.own()
	newer.Sequence += 10
	for want, d := range map[string]Domain{
		"the endpoint is spiffe://a.test/ns/naru/sa/bundle, not spiffe://a.test/other": {URL: aURL, EndpointID: "spiffe://a.test/other", First: a.own()},
		"does not confirm it":                     {URL: aURL, EndpointID: a.endpoint, First: &identity.Bundle{TrustDomain: "a.test", Roots: b.own().Roots}},
		"trust domain a.test is not ours, and we": {URL: aURL, EndpointID: b.endpoint, Others: b.agent.Bundles},
		"signed by unknown authority":             {URL: web.URL + "/good"},
		"answered 302":                            {URL: web.URL + "/moved", Roots: pool},
		"answered 404":                            {URL: web.URL + "/none", Roots: pool},
		"more than 128 KiB":                       {URL: web.URL + "/large", Roots: pool},
		"unable to parse JWKS":                    {URL: web.URL + "/garbage", Roots: pool},
		"and 12 is known already":                 {URL: web.URL + "/good", Roots: pool, First: &newer},
	} {
		d.TrustDomain = "a.test"
		f, err := Follow("b.test", d, func(*identity.Bundle) error { return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		transport := f.transport()
		client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		got, err := f.fetch(within(t), client)
		if err == nil {
			err = f.take(got, true)
		}
		if err == nil || !strings.Contains(err.Error(), want) || f.last.Load() != d.First {
			t.Errorf("%v; want %q", err, want)
		}
		transport.CloseIdleConnections()
	}
	for want, d := range map[string]Domain{
		"is our own":                {TrustDomain: "b.test", URL: "https://x"},
		"not a SPIFFE ID":           {TrustDomain: "B test", URL: "https://x"},
		"write https://host/path":   {TrustDomain: "a.test", URL: "http://x"},
		"no first bundle is given":  {TrustDomain: "a.test", URL: "https://x", EndpointID: a.endpoint},
		"of another trust domain":   {TrustDomain: "a.test", URL: "https://x", EndpointID: "spiffe://c.test/x"},
		"does not begin with":       {TrustDomain: "a.test", URL: "https://x", EndpointID: "c.test/x"},
		"the first bundle of a.tes": {TrustDomain: "a.test", URL: "https://x", EndpointID: a.endpoint, First: b.own()},
	} {
		if _, err := Follow("b.test", d, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
