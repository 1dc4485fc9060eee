package link

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/test/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "test.naru"

// patience is how long a test waits for what must come.
const patience = 90 * time.Second

// fakeStore is a store.Store in memory, of which no lease ends by itself.
type fakeStore struct {
	store.Store
	mu     sync.Mutex
	at     store.Revision
	items  map[string]store.Item
	leases map[store.LeaseID]int // how often it was kept alive
	next   store.LeaseID
	down   bool
}

func newFakeStore() *fakeStore {
	return &fakeStore{items: map[string]store.Item{}, leases: map[store.LeaseID]int{}}
}

func (f *fakeStore) Get(_ context.Context, key string) (store.Item, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return store.Item{}, store.ErrUnavailable
	}
	item, ok := f.items[key]
	if !ok {
		return item, store.ErrNotFound
	}
	return item, nil
}

func (f *fakeStore) List(_ context.Context, prefix string) ([]store.Item, store.Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []store.Item
	for k, item := range f.items {
		if strings.HasPrefix(k, prefix) {
			list = append(list, item)
		}
	}
	slices.SortFunc(list, func(a, b store.Item) int { return cmp.Compare(a.Key, b.Key) })
	return list, f.at, nil
}

func (f *fakeStore) Txn(_ context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conds {
		if f.items[c.Key].Changed != c.Changed {
			return f.at, false, nil
		}
	}
	for _, op := range ops {
		if _, ok := f.leases[op.Lease]; op.Lease != 0 && !ok {
			return f.at, false, store.ErrNotFound
		}
	}
	f.at++
	for _, op := range ops {
		if op.Delete {
			delete(f.items, op.Key)
			continue
		}
		f.items[op.Key] = store.Item{Key: op.Key, Value: op.Value, Lease: op.Lease, Changed: f.at, Created: cmp.Or(f.items[op.Key].Created, f.at)}
	}
	return f.at, true, nil
}

func (f *fakeStore) Lease(context.Context, time.Duration) (store.LeaseID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	f.leases[f.next] = 0
	return f.next, nil
}

func (f *fakeStore) KeepAlive(_ context.Context, id store.LeaseID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.leases[id]; !ok {
		return store.ErrNotFound
	}
	f.leases[id]++
	return nil
}

func (f *fakeStore) Revoke(_ context.Context, id store.LeaseID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.leases, id)
	for k, item := range f.items {
		if item.Lease == id {
			delete(f.items, k)
		}
	}
	return nil
}

func (f *fakeStore) keys(prefix string) (out []string) {
	list, _, _ := f.List(context.Background(), prefix)
	for _, item := range list {
		out = append(out, item.Key)
	}
	return out
}

// testCA is an identity.Authority with one root and one intermediate.
type testCA struct {
	root, middle       *x509.Certificate
	rootKey, middleKey *ecdsa.PrivateKey
	life               time.Duration

	mu      sync.Mutex
	now     func() time.Time // nil is time.Now
	bundles *identity.Bundles
	changed chan struct{}
	signed  []identity.ID
}

func newCA(t testing.TB) *testCA {
	t.Helper()
	ca := &testCA{life: time.Hour, changed: make(chan struct{})}
	ca.rootKey, ca.middleKey = newECDSA(t), newECDSA(t)
	ca.root = certify(t, authorityTemplate("root"), nil, ca.rootKey, &ca.rootKey.PublicKey)
	ca.middle = certify(t, authorityTemplate("intermediate"), ca.root, ca.rootKey, &ca.middleKey.PublicKey)
	ca.publish(1)
	return ca
}

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour)}
}

func certify(t testing.TB, template, parent *x509.Certificate, key crypto.Signer, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// clock is by what certificates begin.
func (ca *testCA) clock() time.Time {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.now == nil {
		return time.Now()
	}
	return ca.now()
}

func (ca *testCA) publish(sequence uint64) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.bundles = &identity.Bundles{
		Own:       &identity.Bundle{TrustDomain: domain, Roots: []*x509.Certificate{ca.root}, Keys: map[string]crypto.PublicKey{"k1": ca.rootKey.Public()}, Sequence: sequence, Refresh: time.Minute},
		Federated: []*identity.Bundle{{TrustDomain: "other.example", Roots: []*x509.Certificate{ca.root}, Sequence: 7}},
	}
	close(ca.changed)
	ca.changed = make(chan struct{})
}

func (ca *testCA) SignX509(_ context.Context, id identity.ID, csr []byte, _ time.Duration) ([][]byte, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, err
	}
	ca.mu.Lock()
	ca.signed = append(ca.signed, id)
	life := ca.life
	ca.mu.Unlock()
	return ca.leaf(id, request.PublicKey, time.Now().Add(life))
}

func (ca *testCA) leaf(id identity.ID, public crypto.PublicKey, end time.Time) ([][]byte, error) {
	uri, err := url.Parse(string(id))
	if err != nil {
		return nil, err
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, URIs: []*url.URL{uri}, NotBefore: ca.clock().Add(-identity.Backdate), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, ca.middle, public, ca.middleKey)
	return [][]byte{der, ca.middle.Raw}, err
}

func (ca *testCA) SignJWT(_ context.Context, id identity.ID, audience []string, _ time.Duration) (string, error) {
	return string(id) + " to " + strings.Join(audience, ","), nil
}

func (ca *testCA) Bundles(ctx context.Context, after *identity.Bundles) (*identity.Bundles, error) {
	for {
		ca.mu.Lock()
		b, changed := ca.bundles, ca.changed
		ca.mu.Unlock()
		if b != after {
			return b, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// testFeed is a model.Feed that a test sets.
type testFeed struct {
	mu      sync.Mutex
	freezer model.Freezer
	newest  *model.Snapshot
	changed chan struct{}
}

func newFeed(c *model.Config) *testFeed {
	f := &testFeed{changed: make(chan struct{})}
	if c != nil {
		f.set(c)
	}
	return f
}

func (f *testFeed) set(c *model.Config) model.Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest = f.freezer.Freeze(c)
	close(f.changed)
	f.changed = make(chan struct{})
	return f.newest.Version
}

func (f *testFeed) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	for {
		f.mu.Lock()
		s, changed := f.newest, f.changed
		f.mu.Unlock()
		if s != nil && s.Version != after {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// shop is a Config of n services with a workload each, and a policy.
func shop(n int) *model.Config {
	c := &model.Config{Mesh: &model.Mesh{TrustDomain: domain}}
	for i := range n {
		name := fmt.Sprintf("shop/s%04d:80", i)
		origin := model.Origin{Source: "shop.yaml", Line: 10*i + 1, Column: 1, Object: fmt.Sprintf("Service shop/s%04d", i)}
		c.Services = append(c.Services, &model.Service{Name: name, Endpoints: []*model.Endpoint{{Host: "10.0.0.1", Port: 80}}, Origin: origin,
			Mesh: &model.MeshService{Namespace: "shop", Host: fmt.Sprintf("s%04d", i), Port: 80, Protocol: model.AppHTTP}})
		origin.Object = fmt.Sprintf("Workload shop/w%04d", i)
		c.Workloads = append(c.Workloads, &model.Workload{Name: fmt.Sprintf("shop/w%04d", i), Namespace: "shop", Account: fmt.Sprintf("s%04d", i), Node: "n1",
			Address: fmt.Sprintf("10.1.%d.%d", i/250, 1+i%250), MeshPort: 15008, Ports: []model.WorkloadPort{{Service: name, Port: 8080}}, Origin: origin})
	}
	c.Policies = []*model.Policy{{Name: "shop/p", Namespace: "shop", Action: model.Allow, Services: []string{"shop/s0000:80"},
		Rules: []model.PolicyRule{{Principals: []string{"spiffe://" + domain + "/ns/shop/sa/s0001"}}}, Origin: model.Origin{Source: "shop.yaml", Line: 9}}}
	return c
}

// plane is one control plane on loopback.
type plane struct {
	*Server
	address string
	stop    func()
	log     *logged
}

// logged collects what is logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startPlane(t testing.TB, o ServerOptions, address string) *plane {
	t.Helper()
	p := &plane{log: &logged{}}
	o.Name, o.TrustDomain = cmp.Or(o.Name, "cp-1"), domain
	o.Log = slog.New(slog.NewTextHandler(p.log, nil))
	if o.Registry == nil {
		o.Registry = NewStoreRegistry(o.Store)
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Server = s
	if address == "" {
		address = "127.0.0.1:" + freeport.Hold(t)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p.address = address
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve ended with %v", err)
		}
	})
	t.Cleanup(p.stop)
	eventually(t, "the server has an identity", func() bool { return s.Root() != nil })
	return p
}

// token makes one for a grant.
func (p *plane) token(t testing.TB, g Grant, servers ...string) string {
	t.Helper()
	if !g.Any && len(g.Accounts)+len(g.Namespaces) == 0 {
		g.Any = true
	}
	if g.Addresses == nil {
		g.Addresses = []string{"10.0.0.0/8"}
	}
	if servers == nil {
		servers = []string{p.address}
	}
	token, err := CreateToken(context.Background(), p.options.Store, g, 0, time.Now(), p.Root(), domain, servers)
	if err != nil {
		t.Fatal(err)
	}
	return token.String()
}

// running is a client that runs.
type running struct {
	*Client
	stop func() error
}

func startClient(t testing.TB, o ClientOptions) *running {
	t.Helper()
	o.Node = cmp.Or(o.Node, "n1")
	o.Version = "test"
	if o.Backoff == 0 {
		o.Backoff = 300 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	r := &running{Client: c}
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { r.stop() })
	return r
}

// until waits for a Snapshot that is as wanted.
func (r *running) until(t testing.TB, what string, ok func(*model.Snapshot) bool) *model.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last model.Version
	for {
		s, err := r.Next(ctx, last)
		if err != nil {
			t.Fatalf("%s: %v; %+v", what, err, r.Status())
		}
		if ok(s) {
			return s
		}
		last = s.Version
	}
}

// eventually waits for what no channel tells.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
