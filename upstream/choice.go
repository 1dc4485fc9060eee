package upstream

import (
	"time"

	"github.com/naru-mesh/naru/observe"
)

// Choice is why an endpoint was chosen: the strongest of what holds, which is
// the one that stands last here.
type Choice uint8

const (
	// Balanced: by the service's balancing, among several.
	Balanced Choice = iota
	// Hashed: by the request's key.
	Hashed
	// Alone: the service has no other.
	Alone
	// Elsewhere: among those that the request has not tried, or that have a connection
	// for it where the one that was meant has as many as it may.
	Elsewhere
	// Spilled: of a zone or priority that is not the first, because those before it
	// could not carry everything, or were tried.
	Spilled
	// Panicked: it is not well, and is used because too few are.
	Panicked
	// Kept: the client's session is with it.
	Kept
	// Named: the caller has named the workload.
	Named
	// Probed: it is ejected, and the request finds out whether it is well again.
	Probed

	choiceCount
)

// String is the choice's name in metrics and records.
func (c Choice) String() string { return choiceNames[c] }

var choiceNames = [choiceCount]string{"balanced", "hashed", "only", "elsewhere", "spilled", "panic", "session", "named", "probe"}

// Skip is why an endpoint that the balancing or the session meant was passed
// over.
type Skip uint8

const (
	noSkip Skip = iota
	// Again: the request has tried it already.
	Again
	// Aside: it could not be connected to a moment ago.
	Aside
	// Unwell: a health check or failure detection speaks against it.
	Unwell
	// Lost: the endpoint of the client's session is gone, or any of these.
	Lost

	skipCount
)

// String is the skip's name in metrics, "" for none.
func (s Skip) String() string { return skipNames[s] }

var skipNames = [skipCount]string{"", "tried", "aside", "unwell", "session"}

// choices are one loop's figures. It alone writes them.
type choices struct {
	made    [choiceCount]observe.Counter
	skipped [skipCount]observe.Counter
	_       [16]byte // whole cache lines: loops stay off each other's
}

// ChoiceStats are how often an endpoint was chosen, and passed over, for what.
type ChoiceStats struct {
	Made    [choiceCount]uint64
	Skipped [skipCount]uint64
}

// against says what speaks against an endpoint that is not usable.
func (ep *Endpoint) against(now time.Duration, avoid *Tried) Skip {
	switch {
	case avoid.Has(ep):
		return Again
	case ep.aside.Load() > int64(now):
		return Aside
	}
	return Unwell
}

// chose notes why ep was chosen, on the loop with number i.
func (c *Cluster) chose(i int, p *plan, ep *Endpoint, a *Ask) {
	n := &c.choices[i]
	if a.Chosen < Kept {
		switch {
		case a.Tried != nil && a.Tried.Only.IsValid():
			a.Chosen = Named
		case p.panics && ep.ill.Load():
			a.Chosen = Panicked
		case a.tier > 0:
			a.Chosen = Spilled
		case p.count == 1:
			a.Chosen = Alone
		case a.Tried != nil && a.Tried.Len() > 0:
			a.Chosen = Elsewhere
		case a.Hashed && p.set.balance.hashed():
			a.Chosen = Hashed
		}
		if a.Session != 0 {
			n.skipped[Lost].Add(1)
		}
	}
	n.made[a.Chosen].Add(1)
	if a.skipped != noSkip {
		n.skipped[a.skipped].Add(1)
	}
}

// choiceStats adds up what the loops counted.
func (c *Cluster) choiceStats() (s ChoiceStats) {
	for i := range c.choices {
		for j := range s.Made {
			s.Made[j] += c.choices[i].made[j].Load()
		}
		for j := range s.Skipped {
			s.Skipped[j] += c.choices[i].skipped[j].Load()
		}
	}
	return s
}

// Each calls visit for what was counted at all, by name: why chosen, then why
// passed over.
func (s *ChoiceStats) Each(visit func(skip bool, why string, n uint64)) {
	for i, n := range s.Made {
		if n > 0 {
			visit(false, Choice(i).String(), n)
		}
	}
	for i, n := range s.Skipped {
		if n > 0 {
			visit(true, Skip(i).String(), n)
		}
	}
}
