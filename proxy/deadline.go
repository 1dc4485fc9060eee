package proxy

import (
	"strconv"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// requestTimeout is the name of wire.KeyXRequestTimeout.
//
// HTTP has no field for this. gRPC's grpc-timeout is one with a unit of its own
// that other software does not read; Envoy's x-envoy-expected-rq-timeout-ms is
// written for services and not believed by the next Envoy. So it is one of our
// own, in milliseconds as Envoy's, and what is left rather than when it ends, as
// gRPC's, because clocks differ.
const requestTimeout = "x-request-timeout-ms"

// trustsTime says whether the client may say how long it waits: a proxy in
// front that is trusted, a workload that speaks for itself, a peer of the mesh
// that has proved who it is. Others could make a service look slow.
func (x *exchange) trustsTime() bool {
	m := x.listener.noun.Mesh
	if m == nil {
		return x.listener.noun.TrustedHops > 0
	}
	return m.Side == model.OutboundSide || x.Peer.TLS != nil
}

// patient gives how long the exchange may take from now on: the rule's time or
// what is left of the client's, whichever is shorter; 0 is no bound. due is
// set to its end.
func (x *exchange) patient() time.Duration {
	limit := x.rule.request
	asked, ok := x.asksFor()
	if !ok && limit == 0 {
		return 0
	}
	now := x.w.loop.Now()
	if ok {
		left := min(asked, longest) - (now - x.Headed)
		if limit > 0 {
			left = min(left, limit)
		}
		x.due = max(now+left, 1)
		limit = max(left, 1)
	} else {
		x.due = now + limit
	}
	return limit
}

// asksFor gives how long the client waits, if it says so and may.
func (x *exchange) asksFor() (time.Duration, bool) {
	if x.GRPC {
		v, ok := x.Request.Get(wire.KeyGRPCTimeout)
		if !ok {
			return 0, false
		}
		return wire.ParseGRPCTimeout(v) // the service will say what it thinks of nonsense
	}
	if !x.trustsTime() {
		return 0, false
	}
	v, ok := x.Request.Get(wire.KeyXRequestTimeout)
	if !ok {
		return 0, false
	}
	ms, ok := wire.Digits(v)
	return time.Duration(ms) * time.Millisecond, ok
}

// tellTime writes what is left of the exchange's time where the service looks
// for it, and says whether there is some.
func (x *exchange) tellTime() bool {
	if x.due == 0 {
		return true
	}
	left := x.due - x.w.loop.Now()
	if left <= 0 {
		return false
	}
	if x.GRPC {
		x.w.out = wire.AppendGRPCTimeout(x.w.out[:0], left)
		x.Request.Set(wire.KeyGRPCTimeout, x.w.out)
		return true
	}
	x.w.out = strconv.AppendInt(x.w.out[:0], max(left.Milliseconds(), 1), 10)
	x.Request.Set(wire.KeyXRequestTimeout, x.w.out)
	return true
}

// overdue says whether the client's time is over. The service, which was told,
// may be the first to give up.
func (x *exchange) overdue() bool {
	const early = 2 * time.Millisecond // its clock, and ours, which is coarse
	return x.due != 0 && x.w.loop.Now()+early >= x.due
}
