package upstream

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/upstream/outlier"
)

// This file is the loops' half of failure detection: counting, and who probes.
// What follows from it is in eject.go.

// watched is an Endpoint's part of failure detection.
type watched struct {
	cluster *Cluster // nil in tests of parts

	// failedRow is the requests in a row that have failed.
	failedRow outlier.Row
	// due is 0 while the endpoint is in; when it is ejected, the loop time from
	// which on the next pick is its probe, or never, while that runs. probed is
	// when the probe that runs was picked, 0 without.
	due, probed atomic.Int64

	// Guarded by the cluster's mutex.
	state          *outlier.Endpoint // apart: picks among many read less memory so
	ejected, probe time.Time         // wall clock: when it was, and when it may be probed
	probesFailed   uint64
	probes         atomic.Uint64
}

// never is a time that does not come.
const never = math.MaxInt64

// out says whether the endpoint gets nothing while others can.
func (ep *Endpoint) out() bool { return ep.sick.Load() || ep.due.Load() != 0 }

// ejected are endpoints that wait for a probe.
type ejected struct {
	eps []*Endpoint
	// soonest is before when it is no use to look.
	soonest atomic.Int64
}

// probeWaits is how long a probe waits for a request that may be sent again when it
// fails. A service that gets no others is probed by what it gets.
const probeWaits = 2 * time.Second

// Bounds of how often the loops are troubled.
const (
	sweepEvery = time.Second           // while there are requests
	sweepLeast = 20 * time.Millisecond // also when endpoints fail many times in a row
	lookEvery  = time.Second           // for endpoints that may be probed
)

// verdict is what a try says of its endpoint.
type verdict uint8

const (
	saysNothing verdict = iota // nothing
	works                      // it works
	fails                      // it does not
	overfull                   // it has too much to do
	noConnect                  // it could not be connected to, which the pool counts
	cutOff                     // what was good ended badly
)

// ServerFault says whether a gRPC status is the server's fault: UNKNOWN,
// DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS. Others are answers.
func ServerFault(code int) bool {
	switch code {
	case 2, 4, 13, 14, 15:
		return true
	}
	return false
}

// verdictOf judges a try. Of the 5xx, 501 and 505 are the request's fault.
func verdictOf(r *Result) verdict {
	switch r.Outcome {
	case Answered:
	case Unreached:
		return noConnect
	case Abandoned:
		return saysNothing
	case Torn:
		return cutOff
	default:
		return fails
	}
	switch {
	case ServerFault(r.GRPC):
		return fails
	case r.GRPC == 8: // RESOURCE_EXHAUSTED
		return overfull
	}
	switch {
	case r.Status == 429:
		return overfull
	case r.Status >= 500 && r.Status != 501 && r.Status != 505:
		return fails
	}
	return works
}

// Bad says whether an answer speaks against its endpoint, or says that this has too
// much to do. How it ends is then told to nobody: it would count twice.
func (r *Result) Bad() bool {
	v := verdictOf(r)
	return v == fails || v == overfull
}

// watching takes the bounds that the loops need.
func (set *settings) watching(e *model.Ejection) {
	set.watch = e == nil || !e.Off
	if set.watch {
		c := ejectionOf(e).Filled()
		set.failures, set.connects = int32(max(c.Failures, 0)), int32(max(c.Connects, 0))
	}
}

// watch takes how a try went. It is called on the pool's loop.
func (c *Cluster) watch(now time.Duration, p *pool, r *Result) {
	ep, v := p.ep, verdictOf(r)
	if !p.set.watch { // what is counted is seen all the same
		switch {
		case v == overfull:
			p.limited.Add(1)
		case v == fails && r.Outcome == Answered:
			p.bad.Add(1)
		}
		return
	}
	switch v {
	case works:
		p.took[outlier.Bucket(r.Took)].Add(1)
		ep.failedRow.Works()
	case overfull:
		p.limited.Add(1)
	case fails:
		if r.Outcome == Answered {
			p.bad.Add(1)
		}
		c.fails(now, p, v)
	case cutOff:
		c.fails(now, p, v)
	case saysNothing:
		// Somebody waited in vain for as long as would have been slow.
		if slow := c.slower.Load(); slow > 0 && int64(r.Took) >= slow {
			p.took[outlier.Bucket(r.Took)].Add(1)
		}
	}
	if ep.due.Load() != 0 {
		picked := r.Picked
		if picked == 0 {
			picked = now - r.Took
		}
		c.probed(now, picked, ep, v, r)
	}
	if int64(now) >= c.sweepAt.Load() {
		c.sweep(now)
	}
}

// fails counts a failure in a row of such; when these are as many as may be the
// endpoints are judged at once.
func (c *Cluster) fails(now time.Duration, p *pool, v verdict) {
	if n := p.ep.failedRow.Fails(v == cutOff); p.set.failures > 0 && n%p.set.failures == 0 {
		c.hurry(now)
	}
}

// sees takes what a flow has shown of its endpoint: what watch does, but for times.
func (c *Cluster) sees(now time.Duration, p *pool, v verdict) {
	if !p.set.watch {
		return
	}
	if v == works {
		p.ep.failedRow.Works()
	}
	if v == fails {
		c.fails(now, p, v)
	}
	if int64(now) >= c.sweepAt.Load() {
		c.sweep(now)
	}
}

// connectFailed puts the endpoint aside, and has its name looked up, which may be
// elsewhere by now.
func (p *pool) connectFailed() {
	now := p.loop.Now()
	p.ep.connectFailed(now)
	if p.ep.name != nil {
		p.ep.name.doubt()
	}
	if c := p.ep.cluster; c != nil && p.set.watch && p.set.connects > 0 && p.ep.failures.Load()%p.set.connects == 0 {
		c.hurry(now)
		if int64(now) >= c.sweepAt.Load() {
			c.sweep(now)
		}
	}
}

// flowed takes what became of a flow's connection that was picked then.
func (p *pool) flowed(picked time.Duration, v verdict) {
	if c := p.ep.cluster; c != nil && p.ep.due.Load() != 0 {
		now := p.loop.Now()
		c.probed(now, picked, p.ep, v, &Result{Took: now - picked, Outcome: Unreached})
	}
}

// hurry has the next sweep come at once, unless there was one just now.
func (c *Cluster) hurry(now time.Duration) {
	soon := int64(max(now, time.Duration(c.sweptAt.Load())+sweepLeast))
	for at := c.sweepAt.Load(); soon < at && !c.sweepAt.CompareAndSwap(at, soon); at = c.sweepAt.Load() {
	}
}

// sweep has the endpoints judged, by one of the loops that see the time come.
func (c *Cluster) sweep(now time.Duration) {
	at := c.sweepAt.Load()
	if int64(now) < at || !c.sweepAt.CompareAndSwap(at, int64(now+sweepEvery)) {
		return
	}
	c.sweptAt.Store(int64(now))
	if !c.owner.post(chore{cluster: c, now: now}) {
		c.sweepAt.Store(int64(now + sweepLeast))
	}
}

// probe gives an ejected endpoint whose back-off is over to one pick, nil to
// all others. Retries are for endpoints that work, and a session for its own; a
// request that may be sent only once is a probe where no other has come.
func (c *Cluster) probe(p *plan, now time.Duration, a *Ask) *Endpoint {
	if int64(now) >= c.sweepAt.Load() {
		c.sweep(now) // a probe that nobody hears of is found by it
	}
	out := p.out
	if a.Untold || a.Tried != nil && (a.Tried.Only.IsValid() || a.Tried.Len() > 0) || int64(now) < out.soonest.Load() {
		return nil
	}
	soonest := int64(now + lookEvery)
	for _, ep := range out.eps {
		due := ep.due.Load()
		if a.Once && due != 0 && due <= int64(now) && int64(now) < due+int64(probeWaits) {
			soonest = 0 // for the next, which may be one that can be repeated
			continue
		}
		if due != 0 && due <= int64(now) && ep.due.CompareAndSwap(due, never) {
			ep.probed.Store(int64(now))
			ep.probes.Add(1)
			return ep
		}
		if due != 0 {
			soonest = min(soonest, due)
		}
	}
	out.soonest.Store(soonest)
	return nil
}

// probed takes a try on an ejected endpoint: its probe, or one that was picked
// after it might have been probed, for want of others.
func (c *Cluster) probed(now, picked time.Duration, ep *Endpoint, v verdict, r *Result) {
	at, due := ep.probed.Load(), ep.due.Load()
	if slow := c.slower.Load(); v == saysNothing && slow > 0 && int64(r.Took) >= slow {
		v = fails // somebody waited in vain for long enough
	}
	switch {
	case at != 0 && int64(picked) >= at && v == saysNothing:
		// Nobody waited for it: let another find out.
		if ep.probed.CompareAndSwap(at, 0) {
			ep.release(now)
		}
		return
	case at != 0 && int64(picked) >= at:
		if !ep.probed.CompareAndSwap(at, 0) {
			return
		}
	case at != 0 || due == 0 || int64(picked) < due || v == saysNothing || !ep.due.CompareAndSwap(due, never):
		return
	}
	if !c.owner.post(chore{cluster: c, now: now, ep: ep, good: v == works, result: *r}) {
		ep.release(now)
	}
}

// unprobed takes a probe back that could not be made.
func (ep *Endpoint) unprobed(now time.Duration) {
	ep.probed.Store(0)
	ep.probes.Add(^uint64(0))
	ep.release(now)
}

// release lets the next pick probe the endpoint.
func (ep *Endpoint) release(now time.Duration) {
	ep.due.CompareAndSwap(never, int64(now))
	if out := ep.cluster.plan.Load().out; out != nil {
		out.soonest.Store(0)
	}
}
