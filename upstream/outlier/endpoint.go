package outlier

import "time"

// Totals are what was counted on an endpoint since it exists, but for the two
// rows.
type Totals struct {
	// Good, Bad and Limited are requests: answered well, failed, and refused
	// because they were too many, which counts as failed in a rate, but not in a
	// row. Those that reached no connection are not among them.
	Good, Bad, Limited uint64
	// Connects are connections that were asked for, Unreached those that were not
	// made.
	Connects, Unreached uint64
	// FailedRow is how many requests in a row have failed until now, UnreachedRow
	// how many connects.
	FailedRow, UnreachedRow int
	// Pending is how many requests wait for an answer now.
	Pending uint64
}

// Reason is why an endpoint is ejected.
type Reason uint8

const (
	None Reason = iota
	// Failures: as many requests in a row have failed.
	Failures
	// Connects: as many connections in a row were not made.
	Connects
	// SuccessRate: too few requests succeed.
	SuccessRate
	// ConnectRate: too few connections are made.
	ConnectRate
	// Deviation: fewer requests succeed than on the peers.
	Deviation
	// Slow: it answers slower than the peers.
	Slow
	// Silent: requests wait for it, and it answers none.
	Silent

	reasons
)

// String is the reason's name in metrics, logs and admin answers.
func (r Reason) String() string {
	return [reasons]string{"", "failures", "connects", "success_rate", "connect_rate", "deviation", "slow", "silent"}[r]
}

// tally is what was counted in a part of the window.
type tally struct {
	at                  int64 // number of the slot
	good, bad           uint64
	connects, unreached uint64
}

func (t *tally) add(o *tally) {
	t.good += o.good
	t.bad += o.bad
	t.connects += o.connects
	t.unreached += o.unreached
}

// failing is the share of requests that failed, 0 without any.
func (t *tally) failing() float64 { return share(t.bad, t.good+t.bad) }

// unreachable is the share of connects that failed.
func (t *tally) unreachable() float64 { return share(t.unreached, t.connects) }

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return min(float64(part)/float64(whole), 1)
}

// Endpoint is what is known of one. The zero value is a new one, which is in.
// It belongs to the Group's owner, and may leave one Group for another.
type Endpoint struct {
	// Of is what the Group's owner knows it by.
	Of any
	// Spare says that it takes no requests for another reason: then it is not
	// one that the others' requests can go to.
	Spare bool

	seen     Totals
	observed time.Duration // when seen was; 0 is not yet
	ring     [Slots]tally
	sum, now tally         // of the window and of what is recent, at the last Sweep
	silent   time.Duration // since when requests wait in vain, 0 when they do not

	took, timed Histogram     // counted until now, and when median was taken
	median      time.Duration // of what was counted between two of these times
	medianAt    time.Duration // the last of them
	startAt     time.Duration // when what counts for the next one began
	slows       int           // medians in a row that were slow

	out    Reason
	since  time.Duration // of the ejection, or of its end
	due    time.Duration // when it may be probed
	wait   time.Duration // the back-off
	limit  time.Duration // within which a probe must be answered; 0: any time
	row    int           // ejections that are not forgotten
	count  [reasons]uint64
	figure string
	held   bool // would be out, but for the bounds
}

// Out is why the endpoint is ejected, None when it is in.
func (e *Endpoint) Out() Reason { return e.out }

// Due is when an ejected endpoint may be probed.
func (e *Endpoint) Due() time.Duration { return e.due }

// Figures say what led to the ejection, for example "5 requests in a row failed".
func (e *Endpoint) Figures() string { return e.figure }

// Ejections is how often it was ejected for r.
func (e *Endpoint) Ejections(r Reason) uint64 { return e.count[r] }

// Observe takes what is counted until now. took is only looked at when the
// Group's TimesDue says so, and may be nil otherwise.
func (e *Endpoint) Observe(now time.Duration, t *Totals, took *Histogram) {
	last := e.seen
	e.seen = *t
	if took != nil {
		e.took = *took
	}
	switch {
	case t.Pending < leastPending || t.Good != last.Good || t.Bad != last.Bad || t.Limited != last.Limited:
		e.silent = 0
	case e.silent == 0:
		e.silent = max(e.observed, 1) // nothing came since then
	}
	// What was counted before a pause belongs to no slot that is still in the
	// window.
	paused := e.observed != 0 && now-e.observed > Window
	e.observed = max(now, 1)
	if paused {
		return
	}
	s := e.slot(now)
	s.good += t.Good - min(last.Good, t.Good)
	s.bad += t.Bad - min(last.Bad, t.Bad) + t.Limited - min(last.Limited, t.Limited)
	s.connects += t.Connects - min(last.Connects, t.Connects)
	s.unreached += t.Unreached - min(last.Unreached, t.Unreached)
}

// slot is the part of the window that now is in.
func (e *Endpoint) slot(now time.Duration) *tally {
	at := int64(now / slot)
	s := &e.ring[at%Slots]
	if s.at != at {
		*s = tally{at: at}
	}
	return s
}

// addUp makes the sums of the last Window and of what is recent.
func (e *Endpoint) addUp(now time.Duration) {
	at := int64(now / slot)
	e.sum, e.now = tally{}, tally{}
	for i := range e.ring {
		s := &e.ring[i]
		if s.at > at-Slots && s.at <= at {
			e.sum.add(s)
			if s.at > at-recent {
				e.now.add(s)
			}
		}
	}
}

// failing is the share of requests that fail: of the recent ones where they
// are enough; all, when the last few did. Without any, the last one that there
// was says how it is.
func (e *Endpoint) failing() float64 {
	switch {
	case e.seen.FailedRow >= certainRow:
		return 1
	case e.now.good+e.now.bad >= leastRequests:
		return e.now.failing()
	case e.sum.good+e.sum.bad == 0 && e.seen.FailedRow > 0:
		return 1
	}
	return e.sum.failing()
}

// unreachable is the same of connects.
func (e *Endpoint) unreachable() float64 {
	switch {
	case e.seen.UnreachedRow > 0: // connects are few, and chance has little to do with them
		return 1
	case e.now.connects >= leastRequests:
		return e.now.unreachable()
	}
	return e.sum.unreachable()
}

// forget drops what is in the window: it was before the endpoint came back.
func (e *Endpoint) forget() {
	e.ring = [Slots]tally{}
	e.slows, e.medianAt, e.silent = 0, 0, 0
}
