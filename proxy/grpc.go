package proxy

import (
	"bytes"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// mostMessage bounds what of a configured answer's text is told to a gRPC
// client: it stands in a header field there.
const mostMessage = 1 << 10

// asStatus makes a filter's answer to a gRPC client a gRPC status, because
// such a client looks at nothing else. Redirects and preflights are the
// business of who sends the call, not of the call.
func (x *exchange) asStatus() {
	h := &x.Response
	if x.RPC == wire.NoRPC || h.Status < 400 || h.RPC() != wire.NoRPC {
		return
	}
	w := x.w
	text := bytes.TrimSpace(x.Body)
	w.out = append(w.out[:0], text[:min(len(text), mostMessage)]...)
	w.tmp = wire.AppendGRPCMessage(w.tmp[:0], w.out)
	code := observe.GRPCCodeOf(h.Status)
	if x.Why.Info().Status != 0 {
		code = x.Why.GRPC()
	}
	wire.SetGRPCStatus(h, x.RPC, code, w.tmp)
	if !onPurpose(x.Why) {
		h.SetString(wire.KeyReason, x.Why.String())
	}
	x.Body = nil
}

// patient gives how long the exchange may take from now on: the rule's time or
// what is left of the client's, whichever is shorter; 0 is no bound. due is
// set where the service has to be told.
func (x *exchange) patient() time.Duration {
	limit := x.rule.request
	if !x.GRPC {
		return limit
	}
	v, ok := x.Request.Get(wire.KeyGRPCTimeout)
	if !ok {
		return limit
	}
	asked, ok := wire.ParseGRPCTimeout(v)
	if !ok {
		return limit // the service will say what it thinks of that
	}
	now := x.w.loop.Now()
	left := min(asked, longest) - (now - x.Headed)
	if limit > 0 {
		left = min(left, limit)
	}
	x.due = max(now+left, 1)
	return max(left, 1)
}

// tellTime writes what is left of the client's time where the service looks
// for it, and says whether there is some.
func (x *exchange) tellTime() bool {
	if x.due == 0 {
		return true
	}
	left := x.due - x.w.loop.Now()
	if left <= 0 {
		return false
	}
	x.w.out = wire.AppendGRPCTimeout(x.w.out[:0], left)
	x.Request.Set(wire.KeyGRPCTimeout, x.w.out)
	return true
}

// overdue says whether the client's time is over. The service, which was told,
// may be the first to give up.
func (x *exchange) overdue() bool {
	const early = 2 * time.Millisecond // its clock, and ours, which is coarse
	return x.due != 0 && x.w.loop.Now()+early >= x.due
}

// called notes the status of a call, from trailers, or from a head that has
// nothing behind it.
func (x *exchange) called(h *wire.Head) {
	if code, ok := h.GRPCStatus(); ok {
		x.code, x.coded = code, true
	}
}

// grpcStatus is the call's status for the record: what was said, what naru
// said instead, or what stands for the HTTP status.
func (x *exchange) grpcStatus() observe.GRPCCode {
	switch {
	case x.Why != observe.ReasonNone && !onPurpose(x.Why):
		return x.Why.GRPC()
	case x.coded:
		return x.code
	}
	return observe.GRPCCodeOf(x.status)
}
