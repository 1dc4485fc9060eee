package proxy

import (
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// This file is what becomes of a request that its service does not take at once,
// because a limit is met: it waits for its turn, or ends with the best that there
// is.

// unlent is called where Pick has lent nothing for a try with data, the body so
// far.
func (x *exchange) unlent(why observe.Reason, met upstream.Limit, data []byte, fresh bool) {
	if why != observe.ReasonNone {
		if !x.fall(why, data, fresh) {
			x.unmade(why, met)
		}
		return
	}
	// It waits. What comes of the body meanwhile is kept as between two tries.
	x.queued, x.fresh = true, fresh
	if !x.whole && x.replay == nil && len(data) > 0 {
		x.replay = append(x.w.buffer(len(data)), data...)
	}
	x.hold()
}

// OnTurn makes the try that has waited for its turn.
func (x *exchange) OnTurn() {
	defer x.rescue()
	x.send(x.replay, x.fresh)
}

// OnInVain ends the wait.
func (x *exchange) OnInVain() {
	defer x.rescue()
	x.queued = false
	if x.fall(observe.Overloaded, x.replay, x.fresh) {
		return
	}
	x.unmade(observe.Overloaded, upstream.Limit(x.waiter.For))
}

// leaveQueue gives up the wait.
func (x *exchange) leaveQueue() {
	if x.queued {
		x.queued = false
		x.backend.cluster.Leave(x.w.loop, &x.waiter)
	}
}

// unmade ends an exchange of which another try could not be made. What a try
// before it has brought is better than to hear that there was no room for one more.
func (x *exchange) unmade(why observe.Reason, met upstream.Limit) {
	if x.tries > 1 {
		x.tries--
		x.cause, x.notAgain = x.causeBefore, why
		if x.failed != observe.ReasonNone && !x.earlier {
			why = x.failed // with its detail
			met = upstream.NoLimit
		}
	}
	if because := x.backend.cluster.Because(why, met); because != nil && !x.earlier {
		x.detail = because
	}
	x.fail(why)
}

// remember keeps the answer in Response until the try is under way that may bring
// a better one. data is the first part of its body, lent; unless that was all, the
// rest waits in former.
func (x *exchange) remember(data []byte, end bool) {
	if len(data) > keepReplay {
		x.forget()
		return
	}
	x.earlier, x.earlierEnd = true, end
	if len(data) > 0 {
		x.earlierBody = append(x.w.buffer(len(data)), data...)
	}
}

// more is what still comes of the former answer, though it is paused.
func (x *exchange) more(data []byte, end bool) {
	if end {
		x.former = nil
	}
	if len(x.earlierBody)+len(data) > keepReplay {
		x.forget()
		return
	}
	if x.earlierEnd = end; len(data) > 0 {
		if x.earlierBody == nil {
			x.earlierBody = x.w.buffer(len(data))
		}
		x.earlierBody = append(x.earlierBody, data...)
	}
}

// forget lets go of the former answer.
func (x *exchange) forget() {
	if c := x.former; c != nil {
		x.former = nil
		c.Cancel()
	}
	if x.earlierBody != nil {
		x.w.putBuffer(x.earlierBody)
		x.earlierBody = nil
	}
	x.earlier = false
}

// recall answers with what was remembered.
func (x *exchange) recall() {
	w, body := x.w, x.earlierBody
	x.earlier, x.earlierBody = false, nil
	x.endRetry()
	x.tryTimer.Stop()
	x.leaveQueue()
	if x.client, x.former = x.former, nil; x.client != nil {
		x.client.Resume()
	}
	x.unhold()
	x.bring(body, x.earlierEnd)
	if body != nil {
		w.putBuffer(body)
	}
}

// endRetry says that the try that the budget has allowed is over.
func (x *exchange) endRetry() {
	if x.retrying {
		x.retrying = false
		x.backend.cluster.RetryEnded()
	}
}

// turns notes whose turn it is. The service is not blamed for the time in which
// the client still sends and the service takes it.
func (x *exchange) turns() {
	is := x.requestEnded || x.held && !x.braked()
	if is == (x.since != 0) {
		return
	}
	now := x.w.loop.Now()
	if is {
		x.since = max(now, 1)
		return
	}
	x.spent += now - x.since
	x.since = 0
}

// serviceTime is how long it was the service's turn in the try in hand; whole says
// that it was until now.
func (x *exchange) serviceTime() (took time.Duration, whole bool) {
	if x.since == 0 {
		return x.spent, false
	}
	return x.spent + x.w.loop.Now() - x.since, true
}
