package proxy

import (
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// mostExtra bounds the tries that nobody asked for: on another endpoint when a
// connection was never made, and once more when a pooled connection turned out
// to be closed.
const mostExtra = 3

// mayRepeat says whether another try could still be made: the rule or the
// method allows it, the connection may not stand yet (what was sent waits), or
// the service speaks HTTP/2 and may say that it has not begun with the request.
// Only then is more of the body kept.
func (x *exchange) mayRepeat() bool {
	return x.rule.retry.declared || idempotent(x.Request.Method) || x.client.Buffered() > 0 ||
		x.away == nil && x.backend.cluster.Service().Protocol == model.HTTP2
}

// idempotent methods may be sent twice (RFC 9110 section 9.2.2).
func idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// again makes another try after f where that is safe, and says whether.
func (x *exchange) again(f wire.Failure) bool {
	if !x.whole {
		return false
	}
	if x.away != nil {
		return x.away.another(f)
	}
	switch {
	case f.Reused && (f.Unsent || idempotent(x.Request.Method)) && x.extra < mostExtra:
		// The server closed the connection as the request went out, or could
		// not be trusted with it. On a new connection that cannot happen again.
		x.extra++
		x.tried.Reset()
		x.tried.Only = x.listener.instance(x.Peer)
		x.try(true)
		return true
	case x.declared():
		x.later()
		return true
	case f.Unsent && x.extra < mostExtra && x.backend.cluster.Another(&x.tried):
		x.extra++
		x.try(false)
		return true
	}
	return false
}

// declared says whether the rule's retry still has a try left.
func (x *exchange) declared() bool {
	return x.rule.retry.declared && x.tries-x.extra <= x.rule.retry.attempts
}

// later makes the next declared try after its back-off: the rule's, doubled
// for each try, at most ten times itself, and up to half of it less by chance,
// so that many clients do not come back together.
func (x *exchange) later() {
	wait := x.rule.retry.backoff
	for n := x.tries - x.extra; n > 1 && wait < 10*x.rule.retry.backoff; n-- {
		wait *= 2
	}
	wait = min(wait, 10*x.rule.retry.backoff)
	x.hold()
	wait -= time.Duration(x.w.rnd.Int64N(int64(wait)/2 + 1))
	x.tryTimer.Set(x.w.loop, wait)
}
