package workloadapi

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	spiffe "github.com/spiffe/go-spiffe/v2/workloadapi"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/agent"
	"github.com/naru-mesh/naru/identity/ca"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ Holder = (*agent.Agent)(nil)

const (
	orders = identity.ID("spiffe://a.test/ns/shop/sa/orders")
	batch  = identity.ID("spiffe://a.test/ns/shop/sa/batch")
)

// machine is an authority, an agent and a server for the processes of a user.
type machine struct {
	root    *ca.Authority
	agent   *agent.Agent
	server  *Server
	address string

	mu     sync.Mutex
	ids    []identity.ID
	failed error
	pid    int
}

func (m *machine) attest(p identity.Process) ([]identity.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pid = p.PID
	if int(p.UID) != os.Getuid() {
		return nil, nil
	}
	return m.ids, m.failed
}

func (m *machine) allow(err error, ids ...identity.ID) {
	m.mu.Lock()
	m.ids, m.failed = ids, err
	m.mu.Unlock()
	m.server.Recheck()
}

func start(t *testing.T) *machine {
	t.Helper()
	sealer, err := identity.NewSealer([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{ids: []identity.ID{orders}}
	if m.root, err = ca.New(t.Context(), ca.Options{TrustDomain: "a.test", Store: memory.New(), Sealer: sealer}); err != nil {
		t.Fatal(err)
	}
	if m.agent, err = agent.New(agent.Options{Authority: m.root}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.agent.Close)
	m.server = New(m.agent, m.attest, nil)
	folder, err := os.MkdirTemp("", "naru") // a short path: a socket's name has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "run", "agent.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Error(err)
	}
	var done sync.WaitGroup
	done.Go(func() { _ = m.server.Serve(l) })
	t.Cleanup(func() { m.server.Close(); done.Wait() })
	m.address = "unix://" + path
	return m
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestX509Source has go-spiffe's own client follow rotations.
func TestX509Source(t *testing.T) {
	m := start(t)
	ctx := within(t)
	source, err := spiffe.NewX509Source(ctx, spiffe.WithClientOptions(spiffe.WithAddr(m.address)))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	first, err := source.GetX509SVID()
	if err != nil || first.ID.String() != string(orders) || len(first.Certificates) != 2 {
		t.Fatal(first, err)
	}
	m.mu.Lock()
	if m.pid != os.Getpid() {
		t.Errorf("the kernel says that process %d calls, and this is %d", m.pid, os.Getpid())
	}
	m.mu.Unlock()
	until := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case <-source.Updated():
			case <-ctx.Done():
				t.Fatal(what)
			}
		}
	}
	// Another certificate.
	m.agent.Renew(orders)
	until("no rotation arrives", func() bool {
		next, err := source.GetX509SVID()
		return err == nil && !next.Certificates[0].Equal(first.Certificates[0])
	})
	// Another root, then a certificate below it, then a friend.
	td := spiffeid.RequireTrustDomainFromString("a.test")
	if err := m.root.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	until("the new root does not arrive", func() bool {
		b, err := source.GetX509BundleForTrustDomain(td)
		return err == nil && len(b.X509Authorities()) == 2
	})
	if err := m.root.Acknowledged(ctx, m.root.Status().Published); err != nil {
		t.Fatal(err)
	}
	m.agent.Renew(orders)
	until("no certificate below the new root arrives", func() bool {
		next, err := source.GetX509SVID()
		return err == nil && next.Certificates[1].Issuer.String() == m.root.Status().Roots[1].Subject
	})
	friend := *m.agent.Bundles().Own
	friend.TrustDomain = "b.test"
	friend.Roots = nil
	if err := m.root.SetFederated(ctx, &friend); err != nil {
		t.Fatal(err)
	}
	until("a federated bundle does not arrive", func() bool {
		_, err := source.GetX509BundleForTrustDomain(spiffeid.RequireTrustDomainFromString("b.test"))
		return err == nil
	})
	// go-spiffe's own rules hold, and its TLS works with what it got.
	last, err := source.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x509svid.Verify(last.Certificates, source); err != nil {
		t.Error(err)
	}
	handshake(t, tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeMemberOf(td)),
		tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(last.ID)))
}

func handshake(t *testing.T, server, client *tls.Config) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
		served <- err
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestJWTSource gets and checks tokens with go-spiffe's client.
func TestJWTSource(t *testing.T) {
	m := start(t)
	ctx := within(t)
	m.allow(nil, orders, batch)
	source, err := spiffe.NewJWTSource(ctx, spiffe.WithClientOptions(spiffe.WithAddr(m.address)))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	token, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "db", ExtraAudiences: []string{"cache"}})
	if err != nil || token.ID.String() != string(orders) {
		t.Fatal(token, err)
	}
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), source, []string{"db"}); err != nil {
		t.Error(err)
	}
	if all, err := source.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: "db"}); err != nil || len(all) != 2 {
		t.Error(all, err)
	}
	named, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "db", Subject: spiffeid.RequireFromString(string(batch))})
	if err != nil || named.ID.String() != string(batch) {
		t.Error(named, err)
	}
	client, err := spiffe.New(ctx, spiffe.WithAddr(m.address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got, err := client.ValidateJWTSVID(ctx, token.Marshal(), "cache"); err != nil || got.ID != token.ID {
		t.Error(got, err)
	}
	for want, err := range map[string]error{
		"not for": func() error { _, err := client.ValidateJWTSVID(ctx, token.Marshal(), "web"); return err }(),
		"the signature is wrong": func() error {
			text := token.Marshal()
			_, err := client.ValidateJWTSVID(ctx, text[:len(text)-8]+"AAAAAAAA", "db")
			return err
		}(),
		"the caller is not spiffe://a.test/other": func() error {
			_, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "db", Subject: spiffeid.RequireFromString("spiffe://a.test/other")})
			return err
		}(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if b, err := client.FetchX509Bundles(ctx); err != nil || b.Len() != 1 {
		t.Error(b, err)
	}
	if c, err := client.FetchX509Context(ctx); err != nil || len(c.SVIDs) == 0 {
		t.Error(c, err)
	}
}

// raw calls without go-spiffe's manners.
func raw(t *testing.T, m *machine) workload.SpiffeWorkloadAPIClient {
	t.Helper()
	c, err := grpc.NewClient(m.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return workload.NewSpiffeWorkloadAPIClient(c)
}

// TestDenied calls without the header, without an identity, and after losing it.
func TestDenied(t *testing.T) {
	m := start(t)
	c := raw(t, m)
	good := metadata.AppendToOutgoingContext(within(t), "workload.spiffe.io", "true")
	calls := map[string]func(ctx context.Context) error{
		"FetchX509SVID": func(ctx context.Context) error {
			s, err := c.FetchX509SVID(ctx, &workload.X509SVIDRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"FetchX509Bundles": func(ctx context.Context) error {
			s, err := c.FetchX509Bundles(ctx, &workload.X509BundlesRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"FetchJWTBundles": func(ctx context.Context) error {
			s, err := c.FetchJWTBundles(ctx, &workload.JWTBundlesRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"FetchJWTSVID": func(ctx context.Context) error {
			_, err := c.FetchJWTSVID(ctx, &workload.JWTSVIDRequest{Audience: []string{"db"}})
			return err
		},
		"ValidateJWTSVID": func(ctx context.Context) error {
			_, err := c.ValidateJWTSVID(ctx, &workload.ValidateJWTSVIDRequest{Audience: "db", Svid: "x"})
			return err
		},
	}
	bare, other := within(t), metadata.AppendToOutgoingContext(within(t), "workload.spiffe.io", "false")
	for name, call := range calls {
		for _, ctx := range []context.Context{bare, other} {
			if err := call(ctx); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "security header") {
				t.Errorf("%s without the header: %v", name, err)
			}
		}
	}
	m.allow(nil)
	for name, call := range calls {
		if err := call(good); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s without an identity: %v", name, err)
		}
	}
	m.allow(errors.New("the registry is away"), orders)
	for name, call := range calls {
		if err := call(good); status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "registry") {
			t.Errorf("%s while nobody can tell: %v", name, err)
		}
	}
	m.allow(nil, orders)
	if _, err := c.FetchJWTSVID(good, &workload.JWTSVIDRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	// An identity that is taken away ends the stream, and is not held any more.
	stream, err := c.FetchX509SVID(good, &workload.X509SVIDRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := stream.Recv()
	if err != nil || len(got.GetSvids()) != 1 {
		t.Fatal(got, err)
	}
	m.allow(nil, orders, batch)
	if got, err = stream.Recv(); err != nil || !slices.ContainsFunc(got.GetSvids(), func(s *workload.X509SVID) bool { return s.GetSpiffeId() == string(batch) }) || len(got.GetSvids()) != 2 {
		t.Fatal(got, err)
	}
	m.allow(nil)
	if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	for changed := m.agent.Changed(); len(m.agent.Held()) > 0; changed = m.agent.Changed() {
		<-changed
	}
	g := observe.NewRegistry(1)
	m.server.Register(g)
	values := map[string]float64{}
	g.Collect(func(f observe.Family) { f.Each(func(s *observe.Sample) { values[f.Name] = s.Value }) })
	if values["naru_workload_api_denied_total"] != 6 || values["naru_workload_api_calls_total"] != 22 {
		t.Error(values)
	}
}

func TestListen(t *testing.T) {
	folder := t.TempDir()
	// What a process left behind that was killed is replaced.
	left, err := net.Listen("unix", filepath.Join(folder, "left"))
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = left.Close()
	l, err := Listen(filepath.Join(folder, "left"))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	file := filepath.Join(folder, "s")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Error(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode()&os.ModeSocket != 0 {
		t.Error("a file of somebody is replaced")
	}
}
