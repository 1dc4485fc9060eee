package outlier

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Group is the endpoints of a service.
type Group struct {
	config  Config
	members []*Endpoint
	random  func() float64 // from 0 to below 1
	events  []Event

	peersAt, timesAt time.Duration // when these were compared last
	slower           time.Duration
	held             uint64

	// Of the Sweep that runs: how many are out, and in and not Spare, and the
	// least and the next share of failures among the latter.
	out, in              int
	failing, unreachable best
	answered             uint64 // recently, by all that are in
}

// never is more than any share.
const never = 2

// best is the endpoint with the least share of failures, and the share of the
// next.
type best struct {
	e           *Endpoint
	least, next float64
}

func (b *best) add(e *Endpoint, share float64) {
	switch {
	case b.e == nil || share < b.least:
		b.e, b.least, b.next = e, share, b.least
	case share < b.next:
		b.next = share
	}
}

// than says whether a peer of e does clearly better, of its requests at most
// half as many fail. One that had none is taken to be well.
func (b *best) than(e *Endpoint, share float64) bool {
	least := b.least
	if b.e == e {
		least = b.next
	}
	return least <= share/2
}

// Event is a change of an endpoint.
type Event struct {
	Endpoint *Endpoint
	// Back: it is in again; otherwise it was ejected, or, when Again, its probe
	// failed and it stays out.
	Back, Again bool
	// Reason is why it was ejected, Figures what was counted or what the probe
	// came to.
	Reason  Reason
	Figures string
	// Wait is until the next probe, Out for how long it has been out.
	Wait, Out time.Duration
}

// New makes a Group; random gives numbers from 0 to below 1.
func New(c Config, random func() float64) *Group {
	return &Group{config: c.Filled(), random: random}
}

// Set changes the settings and the members. Members that stay keep their state.
func (g *Group) Set(c Config, members []*Endpoint) {
	g.config, g.members = c.Filled(), members
}

// TimesDue says whether the next Sweep compares latencies.
func (g *Group) TimesDue(now time.Duration) bool {
	return g.config.Slowness > 0 && now-g.timesAt >= slowWindow
}

// Slower is from what latency on an answer would be slow, 0 while that is not
// known. A request that was given up after so long says as much as an answer.
func (g *Group) Slower() time.Duration { return g.slower }

// Held is how often an endpoint would have been ejected, but for the bounds.
func (g *Group) Held() uint64 { return g.held }

// Sweep judges all members by what Observe was told. The events are the Group's
// until its next call.
func (g *Group) Sweep(now time.Duration) []Event {
	g.events = g.events[:0]
	c := &g.config
	g.survey(now)
	for _, e := range g.members {
		if e.out != None {
			continue
		}
		why, figures := g.alone(now, e)
		if why == None {
			e.held = false
			continue
		}
		g.eject(now, e, why, figures, 0)
	}
	if c.Deviation > 0 && now-g.peersAt >= Window {
		g.peersAt = now
		g.deviating(now)
	}
	if g.TimesDue(now) {
		g.timesAt = now
		g.slow(now)
	}
	return g.events
}

// survey counts the members.
func (g *Group) survey(now time.Duration) {
	g.out, g.in, g.answered = 0, 0, 0
	g.failing, g.unreachable = best{least: never, next: never}, best{least: never, next: never}
	for _, e := range g.members {
		if e.out != None {
			g.out++
			continue
		}
		e.addUp(now)
		g.answered += e.now.good + e.now.bad
		if !e.Spare {
			g.in++
			g.failing.add(e, e.failing())
			g.unreachable.add(e, e.unreachable())
		}
	}
}

// alone looks at an endpoint by itself, and at its peers only when something is
// wrong.
func (g *Group) alone(now time.Duration, e *Endpoint) (Reason, string) {
	c, t := &g.config, &e.seen
	if c.Connects > 0 && t.UnreachedRow >= c.Connects && g.unreachable.than(e, e.unreachable()) {
		return Connects, fmt.Sprintf("%d connects in a row failed", t.UnreachedRow)
	}
	if c.Failures > 0 && t.FailedRow >= c.Failures && g.failing.than(e, e.failing()) {
		return Failures, fmt.Sprintf("%d requests in a row failed", t.FailedRow)
	}
	if c.Slowness > 0 && e.silent != 0 && now-e.silent >= silence && g.answered >= leastTimed {
		return Silent, fmt.Sprintf("%d requests wait, none was answered for %v", t.Pending, (now - e.silent).Round(time.Second))
	}
	if c.SuccessRate <= 0 {
		return None, ""
	}
	most := 1 - c.SuccessRate
	for _, w := range [...]struct {
		tally *tally
		is    time.Duration
	}{{&e.now, recent * slot}, {&e.sum, Window}} {
		t := w.tally
		if tooMany(t.bad, t.good+t.bad, most) && e.now.failing() > most && g.failing.than(e, e.failing()) {
			return SuccessRate, fmt.Sprintf("%d of %d requests failed within %v", t.bad, t.good+t.bad, w.is)
		}
		if tooMany(t.unreached, t.connects, most) && e.now.unreachable() > most && g.unreachable.than(e, e.unreachable()) {
			return ConnectRate, fmt.Sprintf("%d of %d connects failed within %v", t.unreached, t.connects, w.is)
		}
	}
	return None, ""
}

// tooMany says whether failed of n is more than the share most, and not by
// chance: the lower bound of Wilson's interval is above it.
func tooMany(failed, n uint64, most float64) bool {
	if n < leastRequests || failed == 0 {
		return false
	}
	const z = certainty
	p, k := share(failed, n), float64(n)
	low := (p + z*z/(2*k) - z*math.Sqrt(p*(1-p)/k+z*z/(4*k*k))) / (1 + z*z/k)
	return low > most
}

// deviating compares the success rates of the members.
func (g *Group) deviating(now time.Duration) {
	type rated struct {
		e    *Endpoint
		rate float64
		n    uint64
	}
	var list []rated
	var sum, squares float64
	for _, e := range g.members {
		if n := e.sum.good + e.sum.bad; e.out == None && n >= leastEach {
			rate := 1 - e.sum.failing()
			list = append(list, rated{e, rate, n})
			sum += rate
			squares += rate * rate
		}
	}
	if len(list) < leastPeers {
		return
	}
	n := float64(len(list))
	mean := sum / n
	least := mean - g.config.Deviation*math.Sqrt(max(squares/n-mean*mean, 0))
	for _, r := range list {
		if r.rate < least && r.rate <= mean-leastBelow {
			g.eject(now, r.e, Deviation, fmt.Sprintf("%.1f%% of %d requests succeeded, %.1f%% on the mean of %d endpoints", 100*r.rate, r.n, 100*mean, len(list)), 0)
		}
	}
}

// slow compares the latencies of the members.
func (g *Group) slow(now time.Duration) {
	var fresh []*Endpoint
	var medians []time.Duration
	for _, e := range g.members {
		if e.out != None || now-e.startAt > slowMemory {
			e.timed, e.startAt = e.took, now // what is older is not known well
		}
		if e.out != None {
			continue
		}
		var h Histogram
		h.since(&e.took, &e.timed)
		if h.count() >= leastTimed {
			e.median, e.medianAt = h.median(), now
			e.timed, e.startAt = e.took, now
			fresh = append(fresh, e)
		}
		if e.medianAt != 0 && now-e.medianAt <= slowMemory {
			medians = append(medians, e.median)
		}
	}
	slices.Sort(medians)
	if g.slower = 0; len(medians) > 0 {
		g.slower = g.tooSlow(medians[(len(medians)-1)/2])
	}
	if len(medians) <= leastTimers {
		return
	}
	for _, e := range fresh {
		// The median of the others: of all medians, without this one.
		at := (len(medians) - 2) / 2
		if own, _ := slices.BinarySearch(medians, e.median); own <= at {
			at++
		}
		peers := medians[at]
		limit := g.tooSlow(peers)
		if e.median < limit {
			e.slows = 0
			continue
		}
		if e.slows++; e.slows >= slowWindows {
			g.eject(now, e, Slow, fmt.Sprintf("median latency %v, of the peers %v", e.median.Round(time.Millisecond), peers.Round(100*time.Microsecond)), limit)
		}
	}
}

// tooSlow is from what on a latency is an outlier among peers of that median.
func (g *Group) tooSlow(peers time.Duration) time.Duration {
	return max(time.Duration(g.config.Slowness*float64(peers)), peers+leastSlower)
}

// eject takes e out, if the bounds allow that.
func (g *Group) eject(now time.Duration, e *Endpoint, why Reason, figures string, limit time.Duration) {
	if e.out != None || e.Spare {
		return
	}
	if !g.allowed() {
		if !e.held {
			e.held = true
			g.held++
		}
		return
	}
	if e.row > 0 && now-e.since >= max(calm, 2*e.wait) {
		e.row = 0
	}
	e.held = false
	e.out, e.since, e.limit, e.figure = why, now, limit, figures
	e.count[why]++
	g.out++
	g.in--
	g.backOff(now, e)
	g.events = append(g.events, Event{Endpoint: e, Reason: why, Figures: figures, Wait: e.due - now})
}

// allowed says whether one more may be out.
func (g *Group) allowed() bool {
	return g.in > 1 && float64(g.out) < g.config.MaxEjected*float64(len(g.members))
}

// backOff sets when e may be probed next.
func (g *Group) backOff(now time.Duration, e *Endpoint) {
	e.wait = g.config.Backoff
	for n := 0; n < e.row && e.wait < g.config.MaxBackoff; n++ {
		e.wait = min(2*e.wait, g.config.MaxBackoff)
	}
	e.wait = min(e.wait, g.config.MaxBackoff)
	e.row++
	e.due = now + e.wait + time.Duration(g.random()*float64(e.wait)/2)
}

// Probed takes what the probe of an ejected endpoint came to; took is until its
// answer, figures what went wrong.
func (g *Group) Probed(now time.Duration, e *Endpoint, good bool, took time.Duration, figures string) (Event, bool) {
	if e.out == None {
		return Event{}, false
	}
	if good && e.limit > 0 && took >= e.limit {
		good, figures = false, fmt.Sprintf("answered in %v, which is too slow", took.Round(time.Millisecond))
	}
	if good {
		return g.back(now, e, "its probe was answered"), true
	}
	g.backOff(now, e)
	return Event{Endpoint: e, Again: true, Reason: e.out, Figures: figures, Wait: e.due - now, Out: now - e.since}, true
}

// Healthy takes a passed health check. It brings the endpoint back, unless it
// was ejected again although checks had passed: then they miss what is wrong,
// and only a request can tell.
func (g *Group) Healthy(now time.Duration, e *Endpoint) (Event, bool) {
	if e.out == None || e.row > 1 && e.out != Connects {
		return Event{}, false
	}
	return g.back(now, e, "its health check passed"), true
}

// Release brings all back: there is no detection any more.
func (g *Group) Release(now time.Duration) []Event {
	g.events = g.events[:0]
	for _, e := range g.members {
		if e.out != None {
			g.events = append(g.events, g.back(now, e, "ejection was switched off"))
		}
	}
	return g.events
}

func (g *Group) back(now time.Duration, e *Endpoint, figures string) Event {
	ev := Event{Endpoint: e, Back: true, Reason: e.out, Figures: figures, Out: now - e.since}
	e.out, e.since, e.due, e.figure = None, now, 0, ""
	e.forget()
	return ev
}
