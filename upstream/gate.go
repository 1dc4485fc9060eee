package upstream

import (
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/upstream/adaptive"
)

// Class is how much a request matters when not all can be served.
type Class uint8

const (
	Normal Class = iota
	Low
	Critical

	classes
)

// ClassOf gives a Route's class.
func ClassOf(p model.Priority) Class {
	switch p {
	case model.PriorityLow:
		return Low
	case model.PriorityCritical:
		return Critical
	}
	return Normal
}

// String is the class's name in metrics.
func (c Class) String() string { return [classes]string{"normal", "low", "critical"}[c] }

// gate bounds how many requests run on a cluster at once, over all loops. It
// lives as long as the cluster. Loops share its atomics; a cluster without a
// bound does not touch it.
type gate struct {
	active  atomic.Int64
	limit   atomic.Int64 // of requests of class Normal
	refused [classes]atomic.Uint64

	// Of the window that runs, where the limit is adaptive.
	began, sum, count, most atomic.Int64
	dropped                 atomic.Bool
	// updating is held by the loop that ends a window; limiter belongs to it.
	updating atomic.Bool
	limiter  *adaptive.Limit
}

// configure is called when the cluster gets a spec; before the first one no
// loop knows the gate.
func (g *gate) configure(was, is *model.ServiceLimits) {
	switch {
	case is == nil || !is.Adaptive && is.Requests == 0:
		return // loops go by the limit that was, until they see the plan that has none
	case is.Adaptive && was != nil && was.Adaptive && was.Requests == is.Requests && was.Least == is.Least && was.Most == is.Most:
		return // what was learnt stays
	}
	most := is.Most
	if is.Requests > 0 && (most == 0 || is.Requests < most) {
		most = is.Requests
	}
	for !g.updating.CompareAndSwap(false, true) { // a loop's turn is short
	}
	// What began before is told of later, and must not move a limit that is fixed.
	g.limiter = nil
	limit := is.Requests
	if is.Adaptive {
		g.limiter = adaptive.New(is.Least, most)
		limit = g.limiter.Now()
	}
	g.limit.Store(int64(limit))
	g.updating.Store(false)
}

// admit lets a request of a class in, if there is room.
func (g *gate) admit(c Class) bool {
	if g.active.Add(1) > g.bound(c) {
		g.active.Add(-1)
		return false
	}
	return true
}

// bound is how many may run for one of a class to be let in. Low ones are let in up
// to three quarters of the limit; critical ones may pass it by a fifth, and by two
// where it is very small. What keeps critical ones going under a small limit is
// less that than their going before all who wait.
func (g *gate) bound(c Class) int64 {
	limit := g.limit.Load()
	switch c {
	case Low:
		return max(limit*3/4, 1)
	case Critical:
		return limit + max(limit/5, 2)
	}
	return limit
}

func (g *gate) leave() { g.active.Add(-1) }

// learn takes note of a result, and ends the window when its time is over.
func (g *gate) learn(now time.Duration, r *Result) {
	switch {
	case r.Outcome == Late || r.Outcome == Answered && (r.Status == 429 || r.Status == 503 || r.GRPC == 8):
		g.dropped.Store(true) // the service says itself that it is too much
	case r.Outcome != Answered || r.Dialled:
		return // it says nothing of how busy the service is
	default:
		g.sum.Add(int64(r.Took))
		g.count.Add(1)
	}
	if n := g.active.Load(); n > g.most.Load() {
		g.most.Store(n) // one that is lost between loops is no matter
	}
	began := time.Duration(g.began.Load())
	if now-began < adaptive.Window || g.count.Load() < adaptive.MinSamples && !g.dropped.Load() || !g.updating.CompareAndSwap(false, true) {
		return
	}
	n := g.count.Swap(0)
	s := adaptive.Sample{Most: int(g.most.Swap(0)), Dropped: g.dropped.Swap(false)}
	if sum := g.sum.Swap(0); n > 0 {
		s.Mean = time.Duration(sum / n)
	}
	g.began.Store(int64(now))
	if g.limiter != nil && (n > 0 || s.Dropped) {
		g.limit.Store(int64(g.limiter.Update(s)))
	}
	g.updating.Store(false)
}
