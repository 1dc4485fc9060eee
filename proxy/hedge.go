package proxy

import (
	"slices"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// hedging is a model.Hedge compiled.
type hedging struct {
	after    time.Duration // 0: the quantile of what was seen
	quantile float64
	seen     []latencies // by loop
}

// latencies follows a quantile of the times to the response's head, of one
// loop: up by a little where one was longer, down by a little where one was
// shorter, in the proportion of the quantile ("frugal streaming"). It needs no
// memory of what came before, and forgets old times by itself.
type latencies struct {
	n  int
	at float64 // nanoseconds
	_  [48]byte
}

// Of hedging by quantile: how many times must have been seen, how far one moves
// the estimate, and the least that is waited.
const (
	hedgeSamples = 100
	hedgeStep    = 0.05
	hedgeLeast   = time.Millisecond
)

func (l *latencies) observe(d time.Duration, quantile float64) {
	if l.n++; l.n == 1 {
		l.at = float64(d)
	}
	if float64(d) > l.at {
		l.at += l.at * hedgeStep * quantile
	} else {
		l.at -= l.at * hedgeStep * (1 - quantile)
	}
	l.at = max(l.at, float64(100*time.Microsecond))
}

func compileHedge(m *model.Hedge, loops int) *hedging {
	if m == nil {
		return nil
	}
	return &hedging{after: min(m.After, longest), quantile: float64(m.Quantile) / 100, seen: make([]latencies, loops)}
}

// wait gives how long the first try has, 0 where that is not known yet.
func (g *hedging) wait(loop int) time.Duration {
	if g.after > 0 {
		return g.after
	}
	l := &g.seen[loop]
	if l.n < hedgeSamples {
		return 0
	}
	return max(time.Duration(l.at), hedgeLeast)
}

// hedge is a second try beside the first. It has an exchange of its own for the
// codec; when it has won, or the first has failed, it stands in its place, and
// its events are the request's.
type hedge struct {
	wire.Exchange
	w        *worker
	x        *exchange // nil in the pool
	client   wire.ClientStream
	endpoint *upstream.Endpoint
	picked   time.Duration
	dialled  bool
	chosen   upstream.Choice
	timer    wire.Timer
	won      bool
}

// prepare starts the clock of a second try, where there may be one.
func (x *exchange) prepare() {
	wait := x.rule.hedge.wait(x.w.index)
	if wait == 0 || len(x.Upgrade) > 0 || !x.hedgeable() {
		return
	}
	h := x.w.hedge()
	h.x, x.hedge = x, h
	x.w.loop.Arm(&h.timer, wait)
}

// hedgeable says whether the request may be sent twice at once: that is not what
// a declared retry of every method says, only one that names it.
func (x *exchange) hedgeable() bool {
	r := &x.rule.retry
	if len(r.methods) > 0 {
		return !r.off() && slices.Contains(r.methods, string(x.Request.Method))
	}
	return !r.off() && idempotent(x.Request.Method)
}

func (w *worker) hedge() *hedge {
	if n := len(w.hedges); n > 0 {
		h := w.hedges[n-1]
		w.hedges = w.hedges[:n-1]
		return h
	}
	h := &hedge{w: w}
	h.timer.Handler = h
	return h
}

// OnTimer makes the second try, if the first is the only one and still runs.
func (h *hedge) OnTimer(*wire.Timer) {
	x := h.x
	defer x.rescue()
	c, l := x.backend.cluster, x.w.loop
	if x.client == nil || x.answered || !x.requestEnded || !x.whole || x.tries != 1 || !c.Another(&x.tried) || !x.tellTime() {
		return
	}
	if no := c.Again(l, upstream.Hedged); no != observe.ReasonNone {
		x.notAgain = no
		return
	}
	var a upstream.Ask
	x.wants(&a)
	conn, ep, _ := c.Pick(l, &a)
	if conn == nil {
		c.RetryEnded()
		return
	}
	x.tried.Add(ep)
	x.tries++
	x.extra++ // the rule's retries are not used up by it
	h.Request.CopyFrom(&x.Request)
	h.Peer, h.endpoint, h.picked, h.dialled, h.chosen = x.Peer, ep, l.Now(), a.Dialled, a.Chosen
	h.client = conn.Send(&h.Exchange, h, x.replay, true)
}

// succeed puts the second try in the place of the first, which has failed or
// lost, and says whether there was one.
func (x *exchange) succeed() bool {
	h := x.hedge
	if h == nil || h.client == nil || h.won {
		return false
	}
	x.cancel()
	h.won = true
	x.client, x.endpoint, x.picked, x.untold, x.dialled, x.chosen = h.client, h.endpoint, h.picked, true, h.dialled, h.chosen
	x.cause, x.retrying = upstream.Hedged, true
	x.since, x.spent = h.picked, 0
	x.unhold()
	x.patience()
	return true
}

// tell tells the cluster how a second try went that has not won.
func (h *hedge) tell(o upstream.Outcome) {
	r := upstream.Result{Outcome: o, GRPC: -1, Took: h.w.loop.Now() - h.picked}
	if o == upstream.Answered {
		r.Status = h.Response.Status
		if code, ok := h.Response.GRPCStatus(); ok && h.x.GRPC {
			r.GRPC = int(code)
		}
	}
	h.x.backend.cluster.Tell(h.w.loop, h.endpoint, &r)
	h.x.backend.cluster.RetryEnded()
}

// abandon gives up the second try, or the thought of one; one that has won is
// the request's, which ends it.
func (h *hedge) abandon() {
	if c := h.client; c != nil && !h.won {
		h.client = nil
		h.tell(upstream.Abandoned)
		c.Cancel()
	}
	h.recycle()
}

func (h *hedge) recycle() {
	h.w.loop.Disarm(&h.timer)
	h.x.hedge = nil
	h.x, h.Peer, h.client, h.endpoint, h.won = nil, nil, nil, nil, false
	h.Request.Reset()
	h.Response.Reset()
	if len(h.w.hedges) < keepFree {
		h.w.hedges = append(h.w.hedges, h)
	}
}

// OnInform passes on what comes before the answer, of the winner alone.
func (h *hedge) OnInform(head *wire.Head) {
	if h.won {
		h.x.OnInform(head)
	}
}

// OnResponse: the second try wins, unless its answer is one that is tried again:
// the first may still bring a better one.
func (h *hedge) OnResponse(data []byte, end bool) {
	x := h.x
	defer x.rescue()
	if !h.won {
		code, coded := h.Response.GRPCStatus()
		nobody := (h.Response.Status >= 400 || coded) && unseen(h.endpoint, &h.Response)
		if r := &x.rule.retry; nobody || r.answered(h.Response.Status) || x.GRPC && coded && end && r.grpc>>code&1 != 0 {
			if nobody {
				h.tell(upstream.Broken)
			} else {
				h.tell(upstream.Answered)
				x.heed(h.endpoint, &h.Response, x.GRPC && coded)
			}
			if c := h.client; !end {
				c.Cancel()
			}
			h.recycle()
			return
		}
		if g := x.rule.hedge; !x.answered {
			g.seen[x.w.index].observe(longest, g.quantile) // the first took longer than this, who knows how long
		}
		x.succeed()
	}
	x.w.shelf.Lend(&x.Response)
	x.Response.CopyFrom(&h.Response)
	x.OnResponse(data, end)
}

// OnResponseData, OnResponseTrailers and OnRequestDrained come to the winner
// alone.
func (h *hedge) OnResponseData(data []byte, end bool) { h.x.OnResponseData(data, end) }
func (h *hedge) OnResponseTrailers(t *wire.Head)      { h.x.OnResponseTrailers(t) }
func (h *hedge) OnRequestDrained() {
	if h.won {
		h.x.OnRequestDrained()
	}
}

// OnResponseAbort: the second try failed. Unless it stands for the request, the
// first goes on.
func (h *hedge) OnResponseAbort(f wire.Failure) {
	x := h.x
	if h.won {
		x.OnResponseAbort(f)
		return
	}
	defer x.rescue()
	h.tell(outcomeOf(&f, false))
	h.recycle()
}
