package proxy

import (
	"slices"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// mostExtra bounds the tries that no rule has asked for: on another endpoint
// when a connection was never made, and once more when a pooled connection
// turned out to be closed.
const mostExtra = 3

// failures are kinds of failed tries, as bits.
type failures uint8

const (
	onConnect failures = 1 << iota
	onRefused
	onReset
	onTimeout
)

// retry is a model.Retry compiled, or the default.
type retry struct {
	declared bool // by the route; otherwise it is the default
	attempts int  // 0: retries are off
	on       failures
	codes    [10]uint64 // a bit for each status up to 639
	grpc     uint32     // a bit for each gRPC status
	methods  []string   // nil: every one, or of the default the idempotent ones
	body     int        // bytes that are kept of a request
	backoff  time.Duration
	most     time.Duration // of backoff, after doubling
	after    time.Duration // the longest Retry-After that is waited for
}

// compileRetry compiles m; nil is the default.
func compileRetry(m *model.Retry) retry {
	r := retry{declared: m != nil}
	if m == nil {
		m = model.DefaultRetry()
	}
	r.attempts, r.methods = min(max(m.Attempts, 0), model.MostRetries), m.Methods
	r.backoff = min(pick(max(m.Backoff, 0), model.DefaultBackoff), longest/10)
	r.most = min(pick(max(m.MaxBackoff, 0), 10*r.backoff), longest)
	r.after = max(model.MostRetryAfter, min(m.MaxBackoff, longest))
	r.body = min(pick(max(m.Body, 0), model.DefaultRetryBody), model.MostRetryBody)
	for _, on := range m.On {
		switch on {
		case model.OnConnectFailure:
			r.on |= onConnect | onRefused
		case model.OnRefused:
			r.on |= onRefused
		case model.OnReset:
			r.on |= onReset
		case model.OnTimeout:
			r.on |= onTimeout
		case model.OnGatewayError:
			r.status(502, 503, 504)
		case model.On5xx:
			for code := 500; code < 600; code++ {
				r.status(code)
			}
		case model.OnRetriable4xx:
			r.status(409)
		}
	}
	if r.on == 0 {
		r.on = onConnect | onRefused | onReset | onTimeout
	}
	r.status(m.Codes...)
	for _, code := range m.GRPC {
		if code > 0 && code < int(observe.GRPCCodes) {
			r.grpc |= 1 << code
		}
	}
	return r
}

func (r *retry) status(codes ...int) {
	for _, code := range codes {
		if code > 0 && code < 640 {
			r.codes[code>>6] |= 1 << (code & 63)
		}
	}
}

// answered says whether a response of status counts as failed.
func (r *retry) answered(status int) bool {
	return uint(status) < 640 && r.codes[status>>6]&(1<<(status&63)) != 0
}

// off says that a request is sent once.
func (r *retry) off() bool { return r.attempts == 0 }

// mayRepeat says whether another try could still be made: the rule or the
// method allows it, the connection may not stand yet (what was sent waits), or
// the service speaks HTTP/2 and may say that it has not begun with the request.
// Only then is more of the body kept.
func (x *exchange) mayRepeat() bool {
	return x.repeatable() || x.client.Buffered() > 0 ||
		x.away == nil && x.backend.cluster.Service().Protocol == model.HTTP2
}

// repeatable says whether the rule lets the method be sent twice.
func (x *exchange) repeatable() bool {
	r := &x.rule.retry
	switch {
	case r.off():
		return false
	case len(r.methods) > 0:
		return slices.Contains(r.methods, string(x.Request.Method))
	}
	return r.declared || idempotent(x.Request.Method)
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
		if r := &x.rule.retry; x.away == nil && x.left() && r.meant(&f) && x.repeatable() && (r.declared || x.backend.cluster.Another(&x.tried)) {
			x.not(observe.RetryBody)
		}
		return false
	}
	if x.away != nil {
		return x.away.another(f)
	}
	r, why := &x.rule.retry, causeOf(&f)
	elsewhere := x.backend.cluster.Another(&x.tried)
	switch {
	case f.Seen && elsewhere && !r.off():
		// It has too much to do, or is about to leave: rather ask another.
		if !x.spare() || !x.affords(why) {
			return false
		}
		x.extra++
		x.try(false)
		return true
	case f.Reused && (f.Unsent || !r.off() && idempotent(x.Request.Method)) && x.spare():
		// The server closed the connection as the request went out, or could
		// not be trusted with it. On a new connection that cannot happen again.
		if f.Unsent && !f.Seen && x.extra == 0 {
			// A request that had found no pooled connection would cost as much.
			x.backend.cluster.Free(x.w.loop, upstream.Closed)
			x.causeBefore, x.cause = x.cause, upstream.Closed
		} else if !x.affords(closedOr(why, &f)) {
			return false
		}
		x.extra++
		x.retried()
		x.try(!f.Seen) // a connection that says no is as good as another one
		return true
	case r.off():
		return false
	case f.Unsent && elsewhere:
		// Nobody has seen the request and nobody was waited for: at once.
		switch {
		case r.declared && x.left() && r.meant(&f):
		case x.spare():
			x.extra++
		default:
			return false
		}
		if !x.affords(why) {
			return false
		}
		x.try(false)
		return true
	case x.left() && r.meant(&f) && (f.Unsent || x.repeatable()) && (r.declared || elsewhere):
		if p := x.pauses; p != nil {
			p.Note(x.endpoint, x.w.loop.Now()) // it has not asked to be left alone
		}
		return x.whenRested(why)
	}
	return false
}

// causeOf tells why a try is made after f.
func causeOf(f *wire.Failure) upstream.Cause {
	switch {
	case f.Seen:
		return upstream.Reset
	case f.Unsent:
		return upstream.Unconnected
	case f.Reason == observe.UpstreamTimeout:
		return upstream.TimedOut
	}
	return upstream.Reset
}

// closedOr is why a try is made once more on a new connection: the one before had
// been closed, unless the service has said no.
func closedOr(why upstream.Cause, f *wire.Failure) upstream.Cause {
	if f.Seen {
		return why
	}
	return upstream.Closed
}

// meant says whether the rule tries again after f.
func (r *retry) meant(f *wire.Failure) bool {
	switch {
	case f.Reason == observe.ConnectRefused:
		return r.on&onRefused != 0
	case upstream.IsConnect(f.Reason) || f.Unsent:
		return r.on&onConnect != 0
	case f.Reason == observe.UpstreamTimeout:
		return r.on&onTimeout != 0
	}
	return r.on&onReset != 0
}

// left says whether the rule's retry still has a try left.
func (x *exchange) left() bool { return x.tries-x.extra <= x.rule.retry.attempts }

// spare says whether one more try may be made that no rule has asked for. The old
// version, on which a request falls back, has as many anew, and what the new one has
// left of them.
func (x *exchange) spare() bool {
	if x.fell {
		return x.extra <= 2*mostExtra
	}
	return x.extra < mostExtra
}

// undone says whether a response is one that the rule tries again: by its
// status, or by the gRPC status of one that is nothing else.
func (x *exchange) undone(end bool) bool {
	r := &x.rule.retry
	return r.answered(x.Response.Status) || x.coded && end && r.grpc>>x.code&1 != 0
}

// anew makes another try in place of a response that is undone, and says
// whether. The default does not ask the same endpoint again, which may mean
// what it says.
func (x *exchange) anew(data []byte, end bool) bool {
	r, why := &x.rule.retry, upstream.Status
	if x.coded {
		why = upstream.GRPCStatus
	}
	// A call that is answered by UNAVAILABLE alone was not worked on, whatever its
	// method (gRPC status codes: "most likely a transient condition").
	safe := x.repeatable() || why == upstream.GRPCStatus && !r.declared
	if x.away != nil || !safe || !x.left() || !r.declared && !x.backend.cluster.Another(&x.tried) {
		return false
	}
	if !x.whole {
		x.not(observe.RetryBody)
		return false
	}
	x.heed(x.endpoint, &x.Response, x.coded)
	if !x.whenRested(why) {
		return false
	}
	x.failed = observe.ReasonNone
	x.remember(data, end)
	return true
}

// afresh makes another try on another endpoint in place of an answer that says that
// nobody has seen the request, and says whether.
func (x *exchange) afresh(data []byte, end bool) bool {
	if !x.whole || x.away != nil || x.rule.retry.off() || !x.spare() || !x.backend.cluster.Another(&x.tried) || !x.later(upstream.Unconnected, 0) {
		return false
	}
	x.extra++
	x.failed = observe.ReasonNone
	x.remember(data, end)
	return true
}

// later makes the next try after its back-off, or after what the service has
// asked for, and says whether: not where the time or the budget does not allow
// it. The back-off is the rule's, doubled for each try, and up to half of it
// less by chance, so that many clients do not come back together.
func (x *exchange) later(why upstream.Cause, after time.Duration) bool {
	r := &x.rule.retry
	wait := r.backoff
	for n := x.tries - x.extra; n > 1 && wait < r.most; n-- {
		wait *= 2
	}
	wait = min(wait, r.most)
	wait -= time.Duration(x.w.rnd.Int64N(int64(wait)/2 + 1))
	if after > 0 {
		wait = after + time.Duration(x.w.rnd.Int64N(int64(r.backoff)+1)) // not all at once
	}
	if x.due != 0 && x.w.loop.Now()+wait >= x.due {
		x.not(observe.RetryLate)
		return false
	}
	if !x.affords(why) {
		return false
	}
	if x.client != nil {
		x.former, x.client = x.client, nil
		x.former.Pause()
	}
	x.hold()
	x.tryTimer.Set(x.w.loop, wait)
	return true
}

// affords takes another try out of the service's budget, and says whether there
// was one.
func (x *exchange) affords(why upstream.Cause) bool {
	if no := x.backend.cluster.Again(x.w.loop, why); no != observe.ReasonNone {
		x.notAgain = no
		return false
	}
	x.endRetry() // of the try before
	x.retrying = true
	x.causeBefore, x.cause = x.cause, why
	return true
}

// not notes why another try is not made.
func (x *exchange) not(why observe.Reason) {
	x.notAgain = why
	x.backend.cluster.NotAgain(x.w.loop, why)
}
