package proxy

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// Who says Retry-After speaks for itself: another endpoint, which may have less to
// do, is asked meanwhile. Only where all have been asked does the request wait, until
// the first of them may be asked again. So a limit that is the same everywhere costs
// one try at each at most, within the rule's tries and the budget, and is waited for
// then.

// asksToWait gives how long the endpoint that has answered with h wants to be left
// alone: by Retry-After (RFC 9110 section 10.2.3), or, for a call, by
// grpc-retry-pushback-ms (gRFC A6). That may also say not to try again at all: then
// ok is false. Without either it is 0; it is a day at most. What cannot be read means
// to leave it alone, by Retry-After, and not to try again, by the other.
func (x *exchange) asksToWait(h *wire.Head, call bool) (after time.Duration, ok bool) {
	if call {
		if v, there := h.Get(wire.KeyGRPCPushback); there {
			ms, ok := wire.Digits(v)
			return time.Duration(ms) * time.Millisecond, ok
		}
	}
	after, ok = h.RetryAfter(x.w.loop.Wall())
	if !ok {
		return longest, true
	}
	return min(after, longest), true // a date may be centuries away
}

// heed notes what an endpoint that has answered with h says of another try.
func (x *exchange) heed(ep *upstream.Endpoint, h *wire.Head, call bool) {
	if w := x.w; x.pauses == nil {
		if n := len(w.pauses); n > 0 {
			x.pauses, w.pauses = w.pauses[n-1], w.pauses[:n-1]
		} else {
			x.pauses = &upstream.Pauses{}
		}
	}
	after, ok := x.asksToWait(h, call)
	x.pauses.Never = x.pauses.Never || !ok
	x.pauses.Note(ep, x.w.loop.Now()+after)
}

// noPauses forgets what was heeded.
func (x *exchange) noPauses() {
	if p := x.pauses; p != nil {
		x.pauses = nil
		if *p = (upstream.Pauses{}); len(x.w.pauses) < keepFree {
			x.w.pauses = append(x.w.pauses, p)
		}
	}
}

// rest gives how long the next try has to wait for an endpoint that may be asked: 0
// where there is one.
func (x *exchange) rest() time.Duration {
	if x.pauses == nil {
		return 0
	}
	return x.backend.cluster.Rest(x.w.loop.Now(), &x.tried, x.pauses)
}

// whenRested makes the next try when an endpoint may be asked, and says whether: not
// where one has asked for no other try, nor where that takes longer than the rule waits.
func (x *exchange) whenRested(why upstream.Cause) bool {
	after := x.rest()
	if after > x.rule.retry.after || x.pauses != nil && x.pauses.Never {
		x.not(observe.RetryAfter)
		return false
	}
	return x.later(why, after)
}

// retried forgets what was tried, but for those that are to be left alone.
func (x *exchange) retried() {
	x.tried.Reset()
	x.tried.Only = x.listener.instance(x.Peer)
	if x.pauses != nil {
		x.pauses.Spare(&x.tried, x.w.loop.Now())
	}
}
