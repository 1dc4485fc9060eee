package upstream

import (
	"slices"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/queue"
	"github.com/naru-mesh/naru/upstream/ring"
	"github.com/naru-mesh/naru/wire"
)

// Ask is what one try wants of a cluster.
type Ask struct {
	// Tried are endpoints that the exchange has tried and should not get again
	// while there is another; nil is none.
	Tried *Tried
	// Fresh asks for a connection that nothing was sent on before.
	Fresh bool
	// First says that it is the request's first try: the budget of retries is a
	// share of those. One whose turn it is after it has waited asks without.
	First bool
	// Class is how much the request matters where the service is limited.
	Class Class
	// Untold says that nobody will Tell how the try went: it cannot be the probe of
	// an ejected endpoint.
	Untold bool
	// Hash is that of the request's key (HashOf) where Hashed says that it has
	// one. It counts for services that are balanced by keys.
	Hash   uint64
	Hashed bool

	// Session is the token (Cluster.Token) of the endpoint that the request should
	// stay with while nothing speaks against it; 0 is none.
	Session uint64

	// Once says that the request may not be sent twice: others are rather the
	// probe of an ejected endpoint.
	Once bool
	// Waiter is who waits where a limit is met, and is told when Pick should be
	// called again with it; nil: the request is refused at once. It belongs to the
	// request, and is taken out by Cluster.Leave when that is not wanted any more.
	Waiter *queue.Waiter

	// Dialled and Chosen are set by Pick: the connection is being made for this try,
	// and why this endpoint was chosen.
	Dialled bool
	Chosen  Choice
	// Met is set by Pick and Lease where they refuse with Overloaded: the limit.
	Met Limit

	tier    int  // that it was chosen from
	skipped Skip // what spoke against the first that was meant

	// diverted: keys have led it elsewhere, as their endpoint has too much.
	diverted bool
	// flow: it is for a connection, whose first answer tells nothing of how
	// loaded an endpoint is.
	flow bool
}

// HashOf hashes a request's key, the same on every proxy.
func HashOf(key []byte) uint64 { return ring.Sum(key) }

// Outcome is how a try went, as far as its endpoint is concerned.
type Outcome uint8

const (
	// Answered: the final head came, whatever its status.
	Answered Outcome = iota
	// Unreached: no connection could be made (refused, timed out, TLS, identity).
	Unreached
	// Broken: the connection ended, or the protocol was broken, before the head.
	Broken
	// Late: the head did not come within the try's time.
	Late
	// Torn: a try that was Answered has failed before its body's end, or ended
	// with a gRPC status that is ServerFault.
	Torn
	// Abandoned: nobody waited for it any more. It says nothing of the endpoint.
	Abandoned

	outcomes
)

// String is the outcome's name in messages; see Counts.Tries.
func (o Outcome) String() string {
	return [outcomes]string{"answered", "unreached", "broken", "late", "torn", "abandoned"}[o]
}

// Result is how a try went.
type Result struct {
	Outcome Outcome
	// Status is that of an Answered try, 0 otherwise; GRPC the gRPC status, -1
	// where the head has told none.
	Status, GRPC int
	// Took is how long the endpoint had its turn, until the head or the failure:
	// not the time in which the client sent its request as fast as it could. With
	// Dialled it holds the making of the connection, which later tries are spared,
	// or lacks the time of a request that was not complete: it says nothing of how
	// quick the endpoint is.
	Took    time.Duration
	Dialled bool
	// Picked is when Pick was called; 0 is Took ago.
	Picked time.Duration
}

// Tell tells how a try on ep went, for balancing, failure detection and
// figures. It is called on l once for each try that Pick has given a connection
// for, and once more, with Torn, where an Answered one ends badly. r
// is lent. It neither locks nor allocates. Where the answer was Bad Torn is not told.
func (c *Cluster) Tell(l wire.Loop, ep *Endpoint, r *Result) {
	i, now := l.Index(), l.Now()
	if p := ep.pools[i].Load(); p != nil {
		p.results[r.Outcome].Add(1)
		if p.set.adaptive {
			c.gate.learn(now, r)
		}
		c.watch(now, p, r)
	}
	if p := c.plan.Load(); p.set.balance.timed() && !ep.latency.same(r) {
		others := float32(0)
		if ep.latency.word.Load() == 0 {
			others = p.usual(&c.cursors[i], now)
		}
		ep.latency.heard(now, r, others)
	}
}

// IsConnect says whether a try that failed for why has reached no endpoint.
func IsConnect(why observe.Reason) bool { return slices.Contains(connectReasons[:], why) }
