// Package grpcweb lets pages call gRPC services: it translates gRPC-Web, which
// a browser can speak, to gRPC over HTTP/2, which it cannot, and back.
//
// The messages are the same in both. What differs is where the trailers go (to
// the end of the body, as a frame with the flag 0x80, because pages cannot see
// trailers), the Content-Type, and with grpc-web-text that the body is base64,
// for browsers that give pages no bytes before the end.
//
// A call of a kind that HTTP allows a page works: one request message, one
// response message or a stream of them. Everything streams: nothing waits for
// more than the four letters of a base64 group.
package grpcweb

import (
	"bytes"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Family builds gRPC-Web filters.
func Family() filter.Family { return filter.Family{Name: "grpc-web", Build: build} }

type grpcWeb struct{}

func build(f *model.Filter) (any, error) {
	if f.GRPCWeb == nil {
		return nil, nil
	}
	return grpcWeb{}, nil
}

var keyAccept = wire.KeyOf("Accept")

const (
	plainType = "application/grpc"
	webType   = "application/grpc-web"
	textType  = "application/grpc-web-text"
)

// longestType is what is built of a Content-Type without allocating.
const longestType = 128

// OnRequest makes a gRPC-Web request a gRPC one.
func (grpcWeb) OnRequest(x *filter.Exchange) filter.Verdict {
	was := webType
	switch x.RPC {
	case wire.GRPCWeb:
	case wire.GRPCWebText:
		was = textType
	default:
		return filter.Continue
	}
	h := &x.Request
	retype(h, len(was), plainType)
	h.SetString(wire.KeyTE, "trailers") // a gRPC server insists
	x.GRPC = true
	if x.RPC == wire.GRPCWebText {
		x.ThroughRequest(decoder{})
	}
	return filter.Continue
}

// retype puts another type before the codec and the parameters of the
// Content-Type, which begin at from.
func retype(h *wire.Head, from int, to string) {
	var room [longestType]byte
	v, _ := h.Get(wire.KeyContentType)
	h.Set(wire.KeyContentType, append(append(room[:0], to...), v[from:]...))
}

// OnResponse makes the service's response a gRPC-Web one. naru's own answers
// are in the client's language already.
func (grpcWeb) OnResponse(x *filter.Exchange) {
	if x.Why != observe.ReasonNone || x.RPC != wire.GRPCWeb && x.RPC != wire.GRPCWebText {
		return
	}
	h := &x.Response
	kind := wanted(x)
	if h.Status != 200 || h.RPC() != wire.GRPC {
		// No gRPC server said this: a page that waits for a status gets one.
		wire.SetGRPCStatus(h, kind, observe.GRPCCodeOf(h.Status), "the service's answer is not gRPC")
		x.ThroughResponse(silence{})
		return
	}
	if kind == wire.GRPCWebText {
		retype(h, len(plainType), textType)
	} else {
		retype(h, len(plainType), webType)
	}
	if _, whole := h.GRPCStatus(); whole {
		return // nothing but a status: it stays in the head
	}
	x.ThroughResponse(encoders.Get().(*encoder).open(kind == wire.GRPCWebText))
}

// wanted is the form of the response: what Accept says, else that of the
// request.
func wanted(x *filter.Exchange) wire.RPC {
	if v, ok := x.Request.Get(keyAccept); ok {
		if kind := wire.RPCOf(v); kind == wire.GRPCWeb || kind == wire.GRPCWebText {
			return kind
		}
	}
	return x.RPC
}

// silence lets nothing pass.
type silence struct{}

func (silence) Pass(_ *filter.Exchange, p *filter.Piece) filter.Step {
	p.In, p.Out = nil, p.Out[:0]
	if p.End != nil {
		for i := range p.End.Fields {
			p.End.Fields[i].Dropped = true
		}
	}
	return filter.Passed
}
func (silence) Close() {}

// appendTrailers appends the trailers as the body's last frame, and takes them
// away. A service that said none has failed.
func appendTrailers(out []byte, t *wire.Head) []byte {
	const flag = 0x80
	out = append(out, flag, 0, 0, 0, 0)
	start := len(out)
	if _, ok := t.GRPCStatus(); !ok {
		out = append(out, "grpc-status: 2\r\ngrpc-message: the response has no status\r\n"...)
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Dropped {
			continue
		}
		for _, c := range t.Name(f) {
			out = append(out, wire.ToLower(c))
		}
		out = append(out, ": "...)
		out = append(append(out, bytes.TrimSpace(t.Value(f))...), "\r\n"...)
		f.Dropped = true
	}
	n := len(out) - start
	out[start-4], out[start-3], out[start-2], out[start-1] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return out
}
