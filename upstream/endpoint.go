package upstream

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// Endpoint is one address of a Service. The pointer identifies it: an address
// that goes and comes back is another Endpoint.
type Endpoint struct {
	addr   netip.AddrPort
	host   string
	dialer wire.Dialer
	raw    wire.Dialer // for flows
	codec  wire.ClientCodec
	// tunnels carry flows to an endpoint of the mesh, asked for inner; nil
	// otherwise.
	tunnels wire.Tunneler
	inner   string
	peer    string
	// at is the workload's own address: inner's, or addr. key is a hash of it,
	// the same for every proxy.
	at  netip.AddrPort
	key uint64

	// index is its place among the cluster's members. Guarded by the cluster's
	// mutex. From here on a line of the processor's cache has all that a pick reads.
	index int
	// pools has one for each loop, made by the loop when it first picks here.
	pools []atomic.Pointer[pool]
	conns atomic.Int64 // over all loops, with those that are being made

	// aside is the loop time until which the endpoint is avoided after a failed
	// connect, 0 when it is not; failures counts those in a row.
	aside    atomic.Int64
	failures atomic.Int32

	// warming is the loop time at which the endpoint's slow start began, 0 when it
	// is over: see warm.go.
	warming atomic.Int64

	// ill: requests should not go to it; skip: and it is not to be chosen, though it
	// may stand in a tier. In a panic it is. The layout writes them.
	ill, skip atomic.Bool
	// glance is all that a pick by key reads; nil in tests of parts.
	*glance
	// sick is what health checks found; they write it.
	sick atomic.Bool
	// watched is what failure detection knows of it.
	watched
	// group and row are its place in the layout, outside says that it is not in our
	// own zone. Guarded by the cluster's mutex.
	group, row int
	// spot is its row in the tier, -1 without.
	spot           int
	outside, waits bool // waits: it is ejected and may be probed
	// left counts the loops that emptied their pool after the removal.
	left atomic.Int32
	// endCheck ends the health check; nil without one. Guarded by the
	// cluster's mutex.
	endCheck context.CancelFunc
	// name is whose address it is; nil where it is written as an address.
	name *name
	// ails is what its last health check failed of, if it has. Guarded likewise.
	ails string

	// What loops contend for is on a cache line away from what every pick reads,
	// and kept only where the balancing wants it. inflight is how many requests
	// run on the endpoint, over all loops, but for those of a time when the service
	// had no other; latency is how long it takes, see load.go.
	_        [48]byte
	inflight atomic.Int64
	latency  latency
	_        [48]byte
}

// Addr is the address that is connected to.
func (ep *Endpoint) Addr() netip.AddrPort { return ep.addr }

// Host is the host as the configuration names it: an address or a DNS name.
func (ep *Endpoint) Host() string { return ep.host }

// Identity is the SPIFFE ID that an endpoint of the mesh proves; "" of others.
func (ep *Endpoint) Identity() string { return ep.peer }

// Bounds of how long an endpoint stands aside after a failed connect.
const (
	asideFirst = 250 * time.Millisecond
	asideMost  = 10 * time.Second
)

// connectFailed puts the endpoint aside. now is the loop's.
func (ep *Endpoint) connectFailed(now time.Duration) {
	n := min(ep.failures.Add(1), 16)
	ep.aside.Store(int64(now + min(asideFirst<<(n-1), asideMost)))
	ep.doubt(asideDoubt, true)
}

// connected ends what connectFailed began.
func (ep *Endpoint) connected() {
	if ep.aside.Load() != 0 {
		ep.failures.Store(0)
		ep.aside.Store(0)
		if ep.stand() <= 1 { // with others it is who it was, and has too much to do
			ep.latency.forget()
		}
		ep.doubt(asideDoubt, false)
	}
}

// stand is how many connections stand, over all loops.
func (ep *Endpoint) stand() (n int64) {
	for i := range ep.pools {
		if p := ep.pools[i].Load(); p != nil {
			n += p.open.Load() - p.opening.Load()
		}
	}
	return n
}

// glance is what a pick by key reads of an endpoint. It is apart, with those of the
// others: of thousands each endpoint is on a page of its own, and to read that costs
// more than all the rest of a pick.
type glance struct {
	// doubts are 0 while nothing speaks against it.
	doubts atomic.Uint32
	// load is how many of Cluster.running run here.
	load atomic.Int32
}

// newGlance makes that of one of so many endpoints. Loops write loads: each of a few
// has a line of the processor's cache for that.
func newGlance(of int) *glance {
	const few = 64
	if of > few {
		return new(glance)
	}
	return &new(struct {
		glance
		_ [56]byte
	}).glance
}

// What may speak against an endpoint, in glance.doubts.
const (
	asideDoubt = 1 << iota // it stands aside, or did
	skipDoubt              // it is to be skipped
)

// doubt notes, or takes back, what may speak against the endpoint.
func (ep *Endpoint) doubt(what uint32, is bool) {
	switch {
	case ep.glance == nil:
	case is:
		ep.doubts.Or(what)
	default:
		ep.doubts.And(^what)
	}
}

// bears notes that n requests or connections more run on the endpoint, where that
// bounds what it gets.
func (ep *Endpoint) bears(n int32) {
	ep.load.Add(n)
	ep.cluster.running.Add(int64(n))
}

// skipped says whether it is to be skipped.
func (ep *Endpoint) skipped(is bool) {
	ep.skip.Store(is)
	ep.doubt(skipDoubt, is)
}

// usable says whether nothing speaks against the endpoint now. To find out whether
// one takes connections again that did not the last time is for first tries: where
// many have stood aside, the time of several is over at once, and a request must not
// meet one after the other.
func (ep *Endpoint) usable(now time.Duration, avoid *Tried) bool {
	return ep.aside.Load() <= int64(now) && !ep.skip.Load() && (avoid == nil || avoid.n == 0 || ep.failures.Load() == 0 && !avoid.Has(ep))
}

// hope compares endpoints that are not usable: best is one that was not tried
// yet, next one that was and does not stand aside, as it takes connections; one
// that is to be skipped is the last.
func (ep *Endpoint) hope(now time.Duration, avoid *Tried) int {
	hope := 0
	if ep.aside.Load() <= int64(now) {
		hope++
	}
	if !avoid.Has(ep) {
		hope += 2
	}
	if !ep.skip.Load() {
		hope += 4
	}
	return hope
}

// maxTried is one more than the most retries of a model.Retry.
const maxTried = 11

// Tried are the endpoints that an exchange has tried. The zero value is none,
// and so is nil.
type Tried struct {
	n uint8
	// Only, where it is valid, is the address of the one endpoint that is meant:
	// no other is chosen in its place.
	Only netip.AddrPort
	eps  [maxTried]*Endpoint
}

// Add remembers ep, once; beyond eleven the first is forgotten.
func (t *Tried) Add(ep *Endpoint) {
	if t.Has(ep) {
		return
	}
	if t.n == maxTried {
		copy(t.eps[:], t.eps[1:])
		t.n--
	}
	t.eps[t.n] = ep
	t.n++
}

// Has says whether ep was added.
func (t *Tried) Has(ep *Endpoint) bool {
	if t == nil {
		return false
	}
	for _, e := range t.eps[:t.n] {
		if e == ep {
			return true
		}
	}
	return false
}

// remove forgets ep.
func (t *Tried) remove(ep *Endpoint) {
	for i, e := range t.eps[:t.n] {
		if e == ep {
			t.n--
			copy(t.eps[i:], t.eps[i+1:t.n+1])
			t.eps[t.n] = nil
			return
		}
	}
}

// Len is how many were added, at most eleven.
func (t *Tried) Len() int { return int(t.n) }

// Reset forgets all, Only too.
func (t *Tried) Reset() {
	t.Only = netip.AddrPort{}
	clear(t.eps[:t.n])
	t.n = 0
}
