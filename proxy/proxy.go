package proxy

import (
	"cmp"
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/overload"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/traffic"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// Options are what a Proxy is built from; app fills them.
type Options struct {
	Driver wire.Driver
	// Server speaks HTTP/1.1 to clients; HTTP2 that, where ALPN chose it. nil:
	// it is not offered.
	Server, HTTP2 wire.ServerCodec

	// QUIC serves HTTP/3; nil: it is not served.
	QUIC wire.QUICServer

	Security wire.Security
	// Datagrams opens sockets for udp; nil: there are none.
	Datagrams wire.DatagramDriver
	// Drain is how long connections of flows may go on when their listener or
	// their endpoint is configured no more. 0 is no time.
	Drain    time.Duration
	Clusters *upstream.Set
	// Families is the order in which filters execute.
	Families []filter.Family
	Registry *observe.Registry
	// Issuers give certificates to listeners that have an Issuance, by its By.
	Issuers map[model.IssuedBy]identity.Issuer
	// Of the mesh, all nil without one: the certificates of its doors, what makes
	// connections of CONNECTs, and what makes an Authorizer of the policies of a
	// target, nil where none applies. With an error it must refuse what it was for;
	// where it is nil then, everything is refused.
	Identities wire.Identities
	Tunnels    wire.Tunneler
	Authorize  func(policies []*model.Policy, t filter.Target) (filter.Authorizer, error)
	// Key compiles the expression of a model.HashKey; nil: it is as if it were not
	// there.
	Key func(expression string) (filter.KeyReader, error)
	// Client speaks HTTP/1.1 to what is no service of the mesh; nil: no request goes
	// there.
	Client wire.ClientCodec
	// Lookup finds the addresses of a name that a workload wants to connect to and
	// that is no service's; nil: as the system is configured to. Attest says
	// whether it was a process of a workload that made a connection from client to
	// a local port of its own (door), nil where it was; nil: it never is. Both are
	// called beside the loops, and take 5 s at most.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	Attest func(workload string, client, door netip.AddrPort) error
	// Detect is for how long a connection whose protocol nobody has declared is
	// waited on for its first bytes; 0: model.DetectTime.
	Detect time.Duration
	// Verify is run on requests to workloads, before their policies; Mint on
	// those that a gateway's filters have let through. nil: neither is.
	Verify, Mint filter.Request
	// Gateway says whether an identity is that of a gateway of ours: what that
	// says of its clients by X-Forwarded-Client-Cert is passed on. It is called
	// for each request, and does not wait. nil: none is.
	Gateway func(identity string) bool
	// Gates say, by loop, what is refused because the proxy is overloaded; nil:
	// nothing is.
	Gates []*overload.Gate
	Log   *slog.Logger
}

// Recorder takes the Record of every finished exchange, on the loop that
// served it: it must not block, nor keep the Record.
type Recorder interface{ Write(r *observe.Record) }

// Proxy carries requests.
type Proxy struct {
	opt      Options
	workers  []*worker
	program  atomic.Pointer[Program] // that new exchanges are pinned to
	inForce  atomic.Pointer[Program] // the same, once its ports and services are as it says
	recorder atomic.Pointer[Recorder]
	draining atomic.Bool
	tallies  tallies
	// lookups and attests go on beside the loops.
	lookups, attests *asides
	// strangers is the rule of requests to what is no service; its counters are of
	// the loops.
	strangers *rule
	callers   callers
	gone      atomic.Pointer[func(t *wire.TLSState) bool] // of Expel; nil before
	began     time.Time
	seed      maphash.Seed // by which clients of udp are chosen: see clients.shed
	// handshakes say when the log may tell that some failed.
	handshakes [observe.Reasons]observe.Seldom

	// mu guards what only a change of configuration touches.
	mu       sync.Mutex
	policies traffic.Lowering
	ports    []*port       // by slot; a slot is never used again
	retiring []*retirement // oldest first
}

// New makes a Proxy that listens nowhere yet.
func New(opt Options) *Proxy {
	if opt.Lookup == nil {
		opt.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	opt.Detect = cmp.Or(opt.Detect, model.DetectTime)
	p := &Proxy{opt: opt, tallies: newTallies(opt.Registry), lookups: newAsides(mostLookups), attests: newAsides(mostAttests), began: time.Now(), seed: maphash.MakeSeed(), strangers: newStrangers(len(opt.Driver.Loops()))}
	for _, l := range opt.Driver.Loops() {
		p.workers = append(p.workers, &worker{
			proxy: p, loop: l, index: l.Index(),
			rnd: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
			id:  [2]uint64{rand.Uint64(), rand.Uint64()},
			tmp: make([]byte, 0, 1024), out: make([]byte, 0, 1024),
			gate: &overload.Gate{},
		})
	}
	for i, g := range opt.Gates {
		p.workers[i].gate = g
	}
	return p
}

// SetRecorder replaces who takes Records besides the metrics; nil is nobody.
func (p *Proxy) SetRecorder(r Recorder) {
	if r == nil {
		p.recorder.Store(nil)
		return
	}
	p.recorder.Store(&r)
}

// Program is the one that is in force in all its parts: whoever is told of it
// gets nothing any more by the one before. nil before the first.
func (p *Proxy) Program() *Program { return p.inForce.Load() }

// Active is how many exchanges are under way.
func (p *Proxy) Active() int {
	n := 0
	for _, w := range p.workers {
		ended := w.ended.Load()                // first: what has ended had begun
		n += max(0, int(w.begun.Load()-ended)) // a loop's writes may be seen in another order
	}
	return n
}

// worker is one loop's part of the proxy. Only its loop touches it, but for
// the atomics.
type worker struct {
	proxy *Proxy
	loop  wire.Loop
	index int
	rnd   *rand.Rand
	id    [2]uint64 // request ids: a random half and a counter
	free  []*exchange
	// running are the exchanges that live, the newest first; place is none, and
	// stands among them while policies are asked again: see reask.
	running, place *exchange
	walking        bool
	again          *filter.Exchange // a request as it was let in, for one call
	shelf          wire.Shelf       // the responses' heads
	hit            route.Hit        // of the request in hand
	spare          []*mirror
	hedges         []*hedge
	pauses         []*upstream.Pauses
	pipes          []*pipe
	shapes         []*shaped
	rooms          [][]byte // for what a Body makes, by stage, for the length of one call
	kept, large    [][]byte // buffers for request bodies that may be sent again
	tmp            []byte   // scratch, for the length of one call
	out            []byte   // likewise
	record         observe.Record
	lost           *observe.Traffic // of requests that reached no rule
	gate           *overload.Gate
	parting        bool            // the connection is to end with the answer that is being given
	begun, ended   observe.Counter // exchanges
}

// exchange lends an exchange from the worker's pool.
func (w *worker) exchange() *exchange {
	if n := len(w.free); n > 0 {
		x := w.free[n-1]
		w.free = w.free[:n-1]
		return x
	}
	x := &exchange{w: w}
	x.waiter.Handler = x
	x.Request.Buf = make([]byte, 0, 2048)
	x.Request.Fields = make([]wire.Field, 0, 32)
	x.Shelf = &w.shelf
	x.tryTimer.Handler, x.tryTimer.Kind = x, timerTry
	x.requestTimer.Handler, x.requestTimer.Kind = x, timerRequest
	return x
}

// keepFree bounds the exchanges that a worker keeps for reuse: as many as
// are usually under way at once, about 6 KiB each.
const keepFree = 1024

// release takes an exchange back. Nothing may touch it afterwards.
func (w *worker) release(x *exchange) {
	x.clear()
	if len(w.free) < keepFree {
		w.free = append(w.free, x)
		return
	}
	w.loop.Disarm(&x.tryTimer.Timer)
	w.loop.Disarm(&x.requestTimer.Timer)
}

// Bounds of the buffers that a worker keeps for bodies. Were they the exchanges',
// every one of those would grow to the largest body it ever saw. Small ones there
// are as many as exchanges: calls of gRPC all have a body, and on one connection
// hundreds of them run.
const (
	firstBuffer = 512
	smallBuffer = 4 << 10
	keepBuffers = 64 // of others
	keepBuffer  = 2 * keepReplay
)

// buffer gives one, empty, for what begins with n bytes.
func (w *worker) buffer(n int) []byte {
	list := &w.kept
	if n > smallBuffer {
		list = &w.large
	}
	if k := len(*list); k > 0 {
		b := (*list)[k-1]
		*list = (*list)[:k-1]
		return b
	}
	return make([]byte, 0, max(n, firstBuffer))
}

func (w *worker) putBuffer(b []byte) {
	switch n := cap(b); {
	case n <= smallBuffer:
		if len(w.kept) < keepFree {
			w.kept = append(w.kept, b[:0])
		}
	case n <= keepBuffer && len(w.large) < keepBuffers:
		w.large = append(w.large, b[:0])
	}
}

// chance says yes with the probability n/of.
func (w *worker) chance(n, of int) bool {
	return of <= 0 || n >= of || w.rnd.IntN(of) < n
}

// wall is when the loop's clock showed at.
func (w *worker) wall(at time.Duration) time.Time {
	return w.loop.Wall().Add(at - w.loop.Now())
}
