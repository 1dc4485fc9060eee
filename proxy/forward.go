package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

const highWater = wire.HighWater

// forward sends the request to the chosen service.
func (x *exchange) forward(data []byte, end bool) {
	if limit := x.patient(); limit > 0 {
		x.requestTimer.Set(x.w.loop, limit)
	}
	if x.shaped != nil && !x.shaped.turn() {
		return
	}
	// Before the host becomes this service's: a mirror has its own.
	if len(x.rule.mirrors)+len(x.backend.mirrors) > 0 {
		x.copyTo(x.rule.mirrors, data, end)
		x.copyTo(x.backend.mirrors, data, end)
	}
	if x.backend.host != "" {
		x.authority = x.Request.Authority
		x.Request.Authority = x.Request.Keep([]byte(x.backend.host))
	}
	x.whole = len(data) <= x.rule.retry.body || x.Delay > 0
	x.keep(data)
	if x.Delay > 0 { // as between two tries, all that came is kept: one read
		x.hold()
		x.tryTimer.Set(x.w.loop, x.Delay)
		return
	}
	x.send(data, false)
}

// try makes another try, with what was kept of the request.
func (x *exchange) try(fresh bool) {
	x.send(x.replay, fresh)
}

// send picks an endpoint and begins a try; data is the body so far.
func (x *exchange) send(data []byte, fresh bool) {
	a := upstream.Ask{Fresh: fresh, Waiter: &x.waiter}
	if x.queued {
		x.queued = false // it is its turn
	} else if x.tries++; x.tries == 1 {
		a.First = true
		x.asked = x.w.loop.Now()
		x.backend.counts(x.w.proxy.opt.Registry, x.w.index).Begin()
		if x.rule.trials != nil {
			t, arm := x.trial()
			t.Begin(arm)
		}
		if g := x.shaped; g != nil && g.waits {
			g.leave()
		}
	}
	if x.due != 0 && !x.tellTime() {
		x.fail(observe.RequestTimeout)
		return
	}
	x.wants(&a)
	conn, ep, why := x.backend.cluster.Pick(x.w.loop, &a)
	if conn == nil {
		x.unlent(why, a.Met, data, fresh)
		return
	}
	if x.earlier || x.former != nil {
		x.forget()
	}
	x.w.shelf.Return(&x.Response) // until the response comes
	x.endpoint, x.picked, x.untold, x.dialled, x.chosen = ep, x.w.loop.Now(), true, a.Dialled, a.Chosen
	x.since, x.spent = 0, 0
	x.tried.Add(ep)
	x.client = conn.Send(&x.Exchange.Exchange, x, data, x.requestEnded)
	switch {
	case x.client.Buffered() > highWater:
		x.hold()
	case !x.braked():
		x.unhold()
	}
	x.patience()
	if x.rule.hedge != nil && x.tries == 1 {
		x.prepare()
	}
	if !x.whole && x.replay != nil {
		x.letGo() // it was kept only for the wait
	}
	if x.in != nil && x.in.stuck {
		x.in.resume()
	}
}

// patience starts the clock of the try when it is the service's turn: it has
// the whole request, or does not take more of it. While the client takes its
// time the service is not blamed; the listener bounds that.
func (x *exchange) patience() {
	x.turns()
	switch {
	case x.answered || x.out != nil || x.rule.try == 0:
	case x.requestEnded || x.held && !x.braked():
		x.tryTimer.Set(x.w.loop, x.rule.try)
	default:
		x.tryTimer.Stop()
	}
}

// keep adds to what another try would need. Once the body is larger than what
// may be kept, no other try is possible and nothing more is kept. Between two
// tries everything is: the client is held then, so that is at most one read.
func (x *exchange) keep(data []byte) {
	if len(data) == 0 || !x.whole && !x.queued {
		return
	}
	if x.client != nil && (x.answered || len(x.replay)+len(data) > x.rule.retry.body || !x.mayRepeat()) {
		x.whole = false
		x.letGo()
		return
	}
	switch n := len(x.replay) + len(data); {
	case x.replay == nil:
		x.replay = x.w.buffer(n)
	case n > cap(x.replay) && n > smallBuffer: // one that has grown before
		small := x.replay
		x.replay = append(x.w.buffer(n), small...)
		x.w.putBuffer(small)
	}
	x.replay = append(x.replay, data...)
}

// letGo gives back what was kept for another try.
func (x *exchange) letGo() {
	if x.replay != nil {
		x.w.putBuffer(x.replay)
		x.replay = nil
	}
}

// OnRequestTrailers ends the request.
func (x *exchange) OnRequestTrailers(t *wire.Head) {
	if x.tunnelled != nil {
		x.tunnelled.OnRequestTrailers(t)
		return
	}
	if x.in != nil {
		x.in.feed(nil, true, t)
		return
	}
	x.passTrailers(t)
}

// passTrailers ends the request. Trailers are passed on, and not kept: whoever
// gets the request on another try gets it without them, which a recipient must
// be able to bear (RFC 9110 section 6.5.1).
func (x *exchange) passTrailers(t *wire.Head) {
	x.requestEnded = true
	for _, m := range x.mirrors {
		m.data(nil, true)
	}
	if x.client == nil {
		return // between tries: the next one goes without trailers
	}
	x.client.Trailers(t)
	x.patience()
}

// OnRequestDrained lets the client send on.
func (x *exchange) OnRequestDrained() {
	if x.in != nil && x.in.stuck {
		if x.in.resume(); !x.live || x.in == nil || x.in.stuck {
			return
		}
	}
	if x.held && x.former == nil {
		x.unhold()
		x.patience()
	}
}

// OnResponseAbort: the try failed.
func (x *exchange) OnResponseAbort(f wire.Failure) {
	defer x.rescue()
	if x.former != nil {
		x.former = nil
		x.forget() // another try is coming all the same
		return
	}
	x.client = nil
	x.tryFailed(f)
}

// tryFailed makes another try where that is safe, and gives up otherwise.
func (x *exchange) tryFailed(f wire.Failure) {
	x.told(outcomeOf(&f, x.answered))
	x.cancel()
	x.dropOut()
	x.detail, x.failed = f.Err, f.Reason
	x.flowing = false
	x.tryTimer.Stop()
	if x.overdue() {
		x.fail(observe.RequestTimeout)
		return
	}
	if !x.answered && x.succeed() {
		return
	}
	if x.answered || !x.fallsAtOnce(&f) && !x.again(f) && !x.falls(&f) {
		x.fail(f.Reason)
	}
}

// fail ends the exchange for a reason of ours: with an answer, or with a reset
// where the response has begun.
func (x *exchange) fail(why observe.Reason) {
	if x.earlier {
		x.recall()
		return
	}
	if !x.answered {
		x.refuse(why)
		return
	}
	x.Why = why
	x.stream.Reset(why)
	x.finish()
}
