package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// told tells the cluster how the try in hand went, unless it knows: once, and
// once more where the body of an answer that was good is cut off.
func (x *exchange) told(o upstream.Outcome) {
	if !x.untold && (o != upstream.Torn || x.bad) || x.away != nil {
		return
	}
	if x.untold = false; o != upstream.Torn {
		x.endRetry()
	}
	// An answer to a request that is not complete says nothing of how quick the
	// service is, as one for which a connection was made.
	took, whole := x.serviceTime()
	r := upstream.Result{Outcome: o, GRPC: -1, Took: took, Dialled: x.dialled || !whole, Picked: x.picked}
	if o == upstream.Answered {
		r.Status = x.Response.Status
		if x.coded {
			r.GRPC = int(x.code)
		}
		x.bad = (r.Status >= 400 || r.GRPC > 0) && r.Bad()
	}
	x.backend.cluster.Tell(x.w.loop, x.endpoint, &r)
}

// outcomeOf is how a try went that has failed, before its head or, when
// answered, after.
func outcomeOf(f *wire.Failure, answered bool) upstream.Outcome {
	switch {
	case answered:
		return upstream.Torn
	case f.Reason == observe.UpstreamTimeout:
		return upstream.Late
	case upstream.IsConnect(f.Reason):
		return upstream.Unreached
	}
	return upstream.Broken
}
