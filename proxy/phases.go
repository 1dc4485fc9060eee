package proxy

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// After the head of a response that goes on, two clocks run: how long nothing
// passes, in tryTimer, whose try is over, and how long all of it takes, in
// requestTimer, where that ends before the request's time does.

// flow starts them.
func (x *exchange) flow() {
	x.flowing = true
	if x.status == 101 {
		// From here on bytes pass both ways for as long as the rule lets them.
		x.requestEnded = false
		x.requestTimer.Stop()
		x.due = 0
	}
	x.stir()
	x.bound()
}

// bound starts the second alone: of a response that is here as a whole, and is held
// back on its way to the client.
func (x *exchange) bound() {
	d := x.rule.stream
	if d == 0 {
		return
	}
	if end := x.w.loop.Now() + d; x.due == 0 || end < x.due {
		x.bounded = true
		x.requestTimer.Set(x.w.loop, d)
	}
}

// stall gives how long nothing may pass: what was upgraded, and calls of gRPC,
// are quiet for long where nothing happens.
func (x *exchange) stall() time.Duration {
	if x.status == 101 || x.GRPC {
		return x.rule.quiet
	}
	return x.rule.idle
}

// stir notes that something has passed.
func (x *exchange) stir() {
	if d := x.stall(); d > 0 {
		x.tryTimer.Set(x.w.loop, d)
	}
}

// stalled ends what nothing has passed of for too long, where that is the
// service's doing. A client that does not take what there is has the listener's
// write time, and a body at a rate has its rate.
func (x *exchange) stalled() {
	switch {
	case x.client == nil: // all of it is here
	case x.stream.Buffered() > 0 || x.out != nil && x.out.braked() || x.braked():
		x.stir()
	case x.status == 101 || x.GRPC:
		x.fail(observe.StreamIdle) // it says nothing of the service
	default:
		x.tryFailed(wire.Failure{Reason: observe.StreamIdle})
	}
}

// late is why the whole takes too long.
func (x *exchange) late() observe.Reason {
	if x.bounded {
		return observe.StreamTimeout
	}
	return observe.RequestTimeout
}
