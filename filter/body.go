package filter

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Body changes the body of one message on its way, or looks at it. It is made
// for one exchange: a request half puts it in the way of the request's body
// with ThroughRequest, a response half in that of the response's with
// ThroughResponse, and it sees what the Bodies put there before it leave.
// Messages without a Body pay nothing for those that have one.
//
// Everything is called on the exchange's loop. Between two calls a Body may
// keep state, within a bound of its own.
type Body interface {
	// Pass takes the next piece. See Piece and Step.
	Pass(x *Exchange, p *Piece) Step
	// Close is the last call, once, however the exchange ended: state that was
	// borrowed goes back.
	Close()
}

// Piece is what a Body is given, and what it makes of that.
type Piece struct {
	// In is the next part of the body, lent for the call. A Body cuts off at the
	// front what it has used (In = In[n:]). What it leaves comes again, with what
	// follows behind it; the Body bounds how much that may become. What is left
	// when the end came is thrown away.
	In []byte
	// End is nil while more may come. With the last piece it holds the trailers,
	// none of them where none came: they may be edited, and go on.
	End *wire.Head
	// Out is what goes on. It comes empty, with room for RoomBytes that is lent
	// for the call; a Body appends to it, or sets it to a part of In or to memory
	// of its own that stays as it is until the next call.
	Out []byte
}

// RoomBytes is how much a Body should give at most in one call: a reader that
// is slow stops it then.
const RoomBytes = 32 << 10

// Step says how it goes on after a piece.
type Step uint8

const (
	// Passed: Out goes on, and nothing more until the next piece.
	Passed Step = iota
	// Held: nothing is there yet, and even the head has to wait, because it may
	// change. Without it the head goes on by itself. With the end it is Passed.
	Held
	// Again: Out goes on, and there is more: Pass is called again with what was
	// left of In, at once or when the reader has room.
	Again
	// Failed: the message cannot go on. The Body has made an answer with Reply or
	// Refuse; where the response has begun it comes too late, and the client is
	// cut off so that it can tell.
	Failed
)

// ThroughRequest puts b in the way of the request's body. From a request half.
func (x *Exchange) ThroughRequest(b Body) {
	x.Inward = append(x.Inward, b)
	x.Request.Length = -1
}

// ThroughResponse puts b in the way of the response's body. From a response
// half, for a response that can have a body (HasContent, not to HEAD).
func (x *Exchange) ThroughResponse(b Body) {
	x.Outward = append(x.Outward, b)
	x.Response.Length = -1
	x.Response.Remove(wire.KeyContentLength)
}

// Refuse makes naru's own answer for why, in the language that the client
// speaks: a gRPC status, or a problem document.
func (x *Exchange) Refuse(why observe.Reason) Verdict {
	x.Why = why
	if x.RPC != wire.NoRPC {
		wire.KeepGRPCProblem(&x.Response, why, x.RPC)
		x.Body = nil
		return Answer
	}
	wire.KeepProblem(&x.Response, why)
	x.Body = wire.Problem(why)
	return Answer
}
