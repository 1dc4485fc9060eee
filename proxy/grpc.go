package proxy

import (
	"bytes"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
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

// called notes the status of a call, from trailers, or from a head that has nothing
// behind it; one that ends without is UNKNOWN to its client. The cluster hears of it
// where it has been told that the answer began.
func (x *exchange) called(h *wire.Head, end bool) {
	if code, ok := h.GRPCStatus(); ok || end && !x.coded && x.Response.Status == 200 {
		x.code, x.coded = code, true
	}
	if end && !x.untold && x.coded && upstream.ServerFault(int(x.code)) {
		x.told(upstream.Torn)
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
