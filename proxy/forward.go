package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

const highWater = wire.HighWater

// forward sends the request to the chosen service.
func (x *exchange) forward(data []byte, end bool) {
	if x.backend.host != "" {
		x.Request.Authority = x.Request.Keep([]byte(x.backend.host))
	}
	x.copyTo(x.rule.mirrors, data, end)
	x.copyTo(x.backend.mirrors, data, end)
	if x.rule.request > 0 {
		x.w.loop.Arm(&x.requestTimer, x.rule.request)
	}
	x.whole = len(data) <= keepReplay
	x.keep(data)
	x.send(data, false)
}

// try makes another try, with what was kept of the request.
func (x *exchange) try(fresh bool) {
	if x.stream == nil {
		return
	}
	x.Response.Reset()
	x.send(x.replay, fresh)
}

// send picks an endpoint and begins a try; data is the body so far.
func (x *exchange) send(data []byte, fresh bool) {
	if x.tries++; x.tries == 1 {
		x.backend.counts(x.w.proxy.opt.Registry, x.w.index).Begin()
	}
	conn, ep, why := x.backend.cluster.Pick(x.w.loop, &x.tried, fresh)
	if conn == nil {
		x.fail(why)
		return
	}
	x.endpoint = ep
	x.tried.Add(ep)
	x.tryBegan = x.w.loop.Now()
	if x.rule.try > 0 {
		x.w.loop.Arm(&x.tryTimer, x.rule.try)
	}
	x.client = conn.Send(&x.Exchange.Exchange, x, data, x.requestEnded)
	if x.client.Buffered() > highWater {
		x.hold()
	} else {
		x.unhold()
	}
}

// keep adds to what another try would need. Once the body is larger than what
// may be kept, no other try is possible and nothing more is kept. Between two
// tries everything is: the client is held then, so that is at most one read.
func (x *exchange) keep(data []byte) {
	if len(data) == 0 || !x.whole {
		return
	}
	if x.client != nil && (x.answered || len(x.replay)+len(data) > keepReplay || !x.mayRepeat()) {
		x.whole = false
		return
	}
	x.replay = append(x.replay, data...)
}

// OnRequestTrailers ends the request. Trailers are passed on, and not kept.
func (x *exchange) OnRequestTrailers(t *wire.Head) {
	x.requestEnded = true
	for _, m := range x.mirrors {
		m.data(nil, true)
	}
	if x.client == nil {
		return // between tries: the next one goes without trailers
	}
	x.whole = false
	x.client.Trailers(t)
}

// OnRequestDrained lets the client send on.
func (x *exchange) OnRequestDrained() { x.unhold() }

// OnResponseAbort: the try failed.
func (x *exchange) OnResponseAbort(f wire.Failure) {
	x.client = nil
	x.tryFailed(f)
}

// tryFailed makes another try where that is safe, and gives up otherwise.
func (x *exchange) tryFailed(f wire.Failure) {
	x.cancel()
	x.detail = f.Err
	x.w.loop.Disarm(&x.tryTimer)
	if x.answered || !x.again(f) {
		x.fail(f.Reason)
	}
}

// fail ends the exchange for a reason of ours: with an answer, or with a reset
// where the response has begun.
func (x *exchange) fail(why observe.Reason) {
	if !x.answered {
		x.refuse(why)
		return
	}
	x.Why = why
	s := x.stream
	x.stream = nil
	x.drop()
	s.Reset(why)
	x.finish()
}
