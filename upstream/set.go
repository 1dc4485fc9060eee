package upstream

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// Env is what a Set needs from outside.
type Env struct {
	// Driver gives the loops on which Pick will be called.
	Driver wire.Driver
	// Codec speaks HTTP/1.1 to the services, HTTP2 the protocol of that name;
	// nil: services that ask for it fail.
	Codec, HTTP2 wire.ClientCodec
	// TLS makes the dialer of a TLS service for one of its endpoints' hosts; it
	// is called by Prepare, never on a loop. nil: TLS services fail.
	// own is what t.Certificate names, nil where it names none. protocols are
	// what ALPN offers, in order of preference. Health checks need a
	// wire.Lender.
	TLS func(t *model.BackendTLS, own *model.Certificate, host string, protocols ...string) (wire.Dialer, error)
	// Identity makes the dialer of mutual TLS between workloads: as own, to the
	// proxy that must prove to be peer and knows by serverName (SNI) who is meant.
	// ALPN offers HTTP/2. It is called as TLS is. nil: services of the mesh fail.
	Identity func(own, peer, serverName string) (wire.Dialer, error)
	// Local dials ports of workloads of this machine (Service.Local); nil: as any
	// other.
	Local wire.Dialer
	// Tunnels carry connections to endpoints of the mesh; nil: there are none.
	Tunnels wire.Tunneler
	// Files is how many files the process may have open: no service may take them
	// all. 0 is not known, and no default bound follows from it.
	Files int
	// Place is where this proxy is: endpoints near it go first.
	Place model.Place
	// ID is what this proxy is known by, the same after a restart and of no other:
	// of services with a SubsetSize it decides which endpoints are its own.
	ID string
	// Log is told of changes of health and of names; nil: nobody.
	Log *slog.Logger
	// Lookup finds the addresses of a DNS name. ttl is how long they hold, from
	// 1 to 30 s; 0 means unknown, which is 30 s. nil: net.DefaultResolver,
	// which knows no ttl.
	Lookup func(ctx context.Context, host string) (addrs []netip.Addr, ttl time.Duration, err error)
}

// Set holds the clusters of a proxy, by the name of their Service. Its methods
// may be called from any goroutine but a loop's.
type Set struct {
	env   Env
	loops []wire.Loop
	names *resolver
	seed  uint64
	// gone counts the clusters that a Change has left out.
	gone atomic.Uint64
	// checks has a place for each health check that may wait for its answer.
	checks chan struct{}
	// chores are what loops have found and leave to the Set's own goroutine.
	chores chan chore
	// tables has a place for what is being made to find keys.
	tables chan struct{}
	// salt is this proxy's own, of Env.ID.
	salt   uint64
	random func() float64

	// ctx ends with Close; tasks counts the goroutines that end with it.
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	// mu guards what is below it, shortly. retiring are clusters that Commit
	// returned and nobody retired yet.
	mu       sync.Mutex
	closed   bool
	clusters map[string]*Cluster
	retiring map[*Cluster]struct{}
	pending  *Change
}

// NewSet makes an empty Set.
func NewSet(env Env) *Set {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Lookup == nil {
		env.Lookup = systemLookup
	}
	s := &Set{
		env:      env,
		loops:    env.Driver.Loops(),
		seed:     rand.Uint64(),
		checks:   make(chan struct{}, parallelChecks),
		chores:   make(chan chore, mostChores),
		tables:   make(chan struct{}, 1),
		salt:     nameSum(env.ID),
		random:   rand.Float64,
		clusters: map[string]*Cluster{},
		retiring: map[*Cluster]struct{}{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.names = newResolver(s)
	chores := s.chores
	s.tasks.Go(func() { s.attend(chores) })
	return s
}

// launch runs a task that ends with the Set; not after Close.
func (s *Set) launch(task func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks.Go(task)
	}
}

// Retire ends clusters that Commit returned, once no exchange can pick from
// them: idle connections are closed, busy ones when their exchange ends. A
// Pick afterwards finds no endpoint.
func (s *Set) Retire(old ...*Cluster) {
	for _, c := range old {
		c.retire()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range old {
		delete(s.retiring, c)
	}
}

// Close retires every cluster, discards a Change that has not ended, and
// returns when no goroutine of the Set runs any more. Connections end on their
// loops, as in Retire, or with the Driver. A Prepare that waits is woken.
func (s *Set) Close() {
	s.cancel()
	s.mu.Lock()
	ch := s.pending
	s.closed = true
	all := slices.AppendSeq(slices.Collect(maps.Values(s.clusters)), maps.Keys(s.retiring))
	s.clusters, s.retiring = map[string]*Cluster{}, map[*Cluster]struct{}{}
	s.mu.Unlock()
	if ch != nil {
		ch.Discard()
	}
	for _, c := range all {
		c.retire()
	}
	s.tasks.Wait()
}
