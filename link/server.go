package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/store"
)

// ServerOptions are what a Server is made of.
type ServerOptions struct {
	// Name is this replica's, unique among those of one store.
	Name        string
	TrustDomain string // "" is model.DefaultTrustDomain
	// Feed gives what is sent. A noun that has not changed should be the same
	// pointer (model.Freezer): then it is not encoded again.
	Feed model.Feed
	// Authority signs: for the nodes, for workloads on them, for the server.
	Authority identity.Authority
	// Store remembers tokens and nodes, shared by all replicas.
	Store store.Store
	// Registry is told which workloads run where, and says so again: an
	// identity is given only to a node on which a workload of it is.
	Registry Registry
	// Joiners are authorities whose certificates may join instead of a token.
	Joiners []Joiner
	// Report is what other replicas are told that ask; nil: nothing.
	Report func(ctx context.Context) ([]byte, error)
	// MaxProxies bounds the streams at once; 0 is 10,000.
	MaxProxies int
	// Heartbeat is how often a proxy must be heard, thrice; 0 is 10 s.
	Heartbeat time.Duration
	Log       *slog.Logger     // nil: slog.Default()
	Now       func() time.Time // nil: time.Now
	// Own gives the addresses of this machine; nil: those of its interfaces.
	Own func() []netip.Addr
}

// Joiner is an authority whose certificates may join: the proof is the TLS
// handshake.
type Joiner struct {
	Roots *x509.CertPool
	// Grant bounds the name by Grant.Node; the certificate's common name, or
	// its first DNS name, must be the node's name.
	Grant Grant
}

// Registry is told which workloads run on which node. Any goroutine.
type Registry interface {
	// Register makes a workload known, or changes it, for as long as its node
	// is Alive. ErrTaken: it is another node's.
	Register(ctx context.Context, node string, w *model.Workload) error
	Unregister(ctx context.Context, node, namespace, name string) error
	// Alive keeps what is registered of a node for another while (30 s); an
	// error: it is gone, and must be registered again.
	Alive(ctx context.Context, node string) error
	// Present says whether a workload of that account is registered there.
	Present(ctx context.Context, node, namespace, account string) (bool, error)
}

// Renewing is a Registry that tells the processes of a node apart.
type Renewing interface {
	// Renew lets go of what is registered of a node, which Alive keeps no longer:
	// what is registered from now on stays, the rest for another while.
	Renew(node string)
}

// ErrTaken is wrapped by what Registry.Register returns.
var ErrTaken = errors.New("a workload of this name is on another node")

// Server is the link's end at a control plane.
type Server struct {
	options ServerOptions
	log     *slog.Logger
	catalog *catalog
	grpc    *grpc.Server
	counts  counts
	joining chan struct{} // bounds what strangers make us do at once
	bulk    chan struct{} // bounds the first configurations under way
	streams sync.WaitGroup

	limited  atomic.Pointer[limit] // nil: the store answers
	records  records
	identity atomic.Pointer[serverIdentity]
	bundles  atomic.Pointer[sharedBundles]

	mu       sync.Mutex
	sessions map[string]*session // by node
	// processes are those that the nodes were last, which tells one that has begun
	// anew from one that has connected again.
	processes map[string]uint64
	closing   bool
}

// serverIdentity is what the server shows.
type serverIdentity struct {
	certificate tls.Certificate
	root        *x509.Certificate
	renewAt     time.Time
}

// sharedBundles are the authority's, as they are sent.
type sharedBundles struct {
	bundles *identity.Bundles
	wire    *wireBundles
	pool    *x509.CertPool // of our own trust domain
	changed chan struct{}  // closed when there are newer ones
}

// counts are what Metrics shows.
type counts struct {
	updates, resources, bytes, resyncs atomic.Uint64
	signed, registered, joined         atomic.Uint64
	refused                            [whys]atomic.Uint64
}

// nodeLife is that of a node's own certificate: for how long it may be without
// a control plane before it needs another token. It is not what shuts a node
// out: that is its record, which is looked up at each call and heartbeat.
const nodeLife = 30 * 24 * time.Hour

// NewServer checks the options; Serve does the rest.
func NewServer(o ServerOptions) (*Server, error) {
	if o.Name == "" || o.Feed == nil || o.Authority == nil || o.Store == nil || o.Registry == nil {
		return nil, errors.New("link: a server needs a name, a feed, an authority, a store and a registry")
	}
	if o.TrustDomain == "" {
		o.TrustDomain = model.DefaultTrustDomain
	}
	if o.MaxProxies == 0 {
		o.MaxProxies = 10_000
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Own == nil {
		o.Own = ownAddresses
	}
	s := &Server{options: o, log: o.Log, catalog: newCatalog(), sessions: map[string]*session{}, processes: map[string]uint64{}, joining: make(chan struct{}, 64), bulk: make(chan struct{}, mostBulk)}
	s.grpc = grpc.NewServer(
		grpc.Creds(queued{credentials.NewTLS(s.tlsConfig()), make(chan struct{}, mostHandshakes), &guests{}}),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(mostMessage),
		grpc.MaxConcurrentStreams(64),
		grpc.ConnectionTimeout(handshakeTime),
		// Many streams, each mostly quiet: gRPC lends write buffers, and reads need little.
		grpc.WriteBufferSize(32<<10), grpc.ReadBufferSize(4<<10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
	)
	s.grpc.RegisterService(&serviceDesc, s)
	return s, nil
}

// Serve takes connections on l until ctx ends. It returns ctx's error then, or
// why it could not begin: without an identity of its own a server is none. l is
// closed in either case.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	first, err := s.options.Authority.Bundles(ctx, nil)
	if err == nil {
		err = s.shareBundles(first)
	}
	if err == nil {
		err = s.renew(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("link: the server's own identity: %w", err), l.Close())
	}
	parts.Go(func() { s.followFeed(ctx) })
	parts.Go(func() { s.followBundles(ctx, first) })
	parts.Go(func() { s.keepIdentity(ctx) })
	parts.Go(func() { s.watchStore(ctx) })
	parts.Go(func() {
		<-ctx.Done()
		s.mu.Lock()
		s.closing = true
		for _, x := range s.sessions {
			x.end(errClosing)
		}
		s.mu.Unlock()
		s.grpc.Stop()
	})
	err = s.grpc.Serve(l)
	cancel()
	s.grpc.Stop()
	s.streams.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, grpc.ErrServerStopped)) {
		return context.Cause(ctx)
	}
	return err
}

// followFeed puts each Snapshot into the catalog.
func (s *Server) followFeed(ctx context.Context) {
	var last model.Version
	for {
		next, err := s.options.Feed.Next(ctx, last)
		if err != nil {
			return // ctx has ended: a Feed has no other errors
		}
		last = next.Version
		for _, name := range s.catalog.apply(next, s.options.Now()) {
			s.log.Error("a resource is too large to be sent; proxies keep what they have", "resource", name.String(), "most", mostBody)
		}
	}
}

// followBundles shares the authority's bundles as they change.
func (s *Server) followBundles(ctx context.Context, last *identity.Bundles) {
	for {
		next, err := s.options.Authority.Bundles(ctx, last)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			last, err = next, s.shareBundles(next)
		}
		if err != nil {
			s.log.Error("the authority's bundles", "err", err)
			if !pause(ctx, time.Second) {
				return
			}
		}
	}
}

func (s *Server) shareBundles(b *identity.Bundles) error {
	w, err := writeBundles(b)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, root := range b.Own.Roots {
		pool.AddCert(root)
	}
	old := s.bundles.Swap(&sharedBundles{b, w, pool, make(chan struct{})})
	if old != nil {
		close(old.changed)
	}
	return nil
}

// keepIdentity renews what the server shows, at half its life.
func (s *Server) keepIdentity(ctx context.Context) {
	for {
		wait := max(s.identity.Load().renewAt.Sub(s.options.Now()), time.Second)
		if !pause(ctx, wait) {
			return
		}
		if err := s.renew(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("renew the server's own identity", "err", err)
			if !pause(ctx, 10*time.Second) {
				return
			}
		}
	}
}

func (s *Server) renew(ctx context.Context) error {
	key, csr, err := newKey()
	if err != nil {
		return err
	}
	chain, err := s.options.Authority.SignX509(ctx, ControlID(s.options.TrustDomain, s.options.Name), csr, 0)
	if err != nil {
		return err
	}
	leaf, rest, err := parseChain(chain)
	if err != nil {
		return err
	}
	paths, err := leaf.Verify(x509.VerifyOptions{Roots: s.bundles.Load().pool, Intermediates: rest, CurrentTime: s.options.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("our own certificate does not lead to our own bundle: %w", err)
	}
	root := paths[0][len(paths[0])-1]
	// The root goes with it: a node that joins knows the root's hash alone.
	s.identity.Store(&serverIdentity{
		certificate: tls.Certificate{Certificate: append(chain[:len(chain):len(chain)], root.Raw), PrivateKey: key, Leaf: leaf},
		root:        root,
		renewAt:     leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2),
	})
	return nil
}

// Root is the certificate that tokens pin. nil before Serve has begun.
func (s *Server) Root() *x509.Certificate {
	if id := s.identity.Load(); id != nil {
		return id.root
	}
	return nil
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
