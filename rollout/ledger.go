package rollout

import (
	"time"

	"github.com/naru-mesh/naru/observe"
)

// Report is what one proxy has counted.
type Report struct {
	// Source is the proxy, or its life; what it counts begins at nothing when it
	// starts.
	Source string
	// At is when, by the clock of the proxy; zero: it does not say, and then it is
	// not known who waits there.
	At     time.Time
	Trials []observe.TrialCounts
}

// mostStale is by how much a report may be older than another of its source that is
// known. Beyond that a clock was set back.
const mostStale = time.Minute

// ledger adds up what proxies count, which come and go and start anew.
type ledger struct {
	seen map[string]map[string]*sighting // by source and run
	sums map[string]*Counts              // by run
}

// sighting is what a source has said of a run last.
type sighting struct {
	last    Counts
	at      time.Time
	history history
}

func newLedger() *ledger {
	return &ledger{seen: map[string]map[string]*sighting{}, sums: map[string]*Counts{}}
}

// add takes reports. own says which runs began in our sight: of those all counts,
// of others what comes after the first report.
func (l *ledger) add(reports []Report, own func(run string) bool) {
	for _, r := range reports {
		runs := l.seen[r.Source]
		if runs == nil {
			runs = map[string]*sighting{}
			l.seen[r.Source] = runs
		}
		for i := range r.Trials {
			t := &r.Trials[i]
			seen := runs[t.Run]
			now := t.Arms
			if seen == nil {
				seen = &sighting{}
				if !own(t.Run) {
					seen.last = now
				}
				runs[t.Run] = seen
			}
			// One that has changed its control plane is known at both for a moment.
			if old := seen.at.Sub(r.At); !r.At.IsZero() && old > 0 && old < mostStale {
				continue
			}
			last := &seen.last
			anew := begunAnew(&now, last)
			if anew {
				seen.history = history{}
			}
			if !r.At.IsZero() && !r.At.Equal(seen.at) {
				seen.at = r.At
				seen.history.add(r.At, &now)
			}
			sum := l.sums[t.Run]
			if sum == nil {
				sum = &Counts{}
				l.sums[t.Run] = sum
			}
			for a := range now {
				n, b := &now[a], &last[a]
				if anew {
					*b = observe.ArmCounts{}
				}
				sum[a].Begun += n.Begun - b.Begun
				sum[a].Headed += n.Headed - b.Headed
				sum[a].Requests += n.Requests - b.Requests
				sum[a].Failed += n.Failed - b.Failed
				d := n.Times.Less(&b.Times)
				sum[a].Times.Add(&d)
			}
			*last = now
		}
	}
}

// of gives what there is of a run.
func (l *ledger) of(run string) *Counts {
	if sum := l.sums[run]; sum != nil {
		return sum
	}
	return &Counts{}
}

// waiting is a Waiting of a run: the sum over its sources.
func (l *ledger) waiting(run string) Waiting {
	return func(longer time.Duration) (n [observe.Arms]uint64) {
		for _, runs := range l.seen {
			if seen := runs[run]; seen != nil {
				for a, some := range seen.history.waiting(longer) {
					n[a] += some
				}
			}
		}
		return n
	}
}

// keep forgets the runs that nobody wants any more.
func (l *ledger) keep(want map[string]bool) {
	for source, runs := range l.seen {
		for run := range runs {
			if !want[run] {
				delete(runs, run)
			}
		}
		if len(runs) == 0 {
			delete(l.seen, source)
		}
	}
	for run := range l.sums {
		if !want[run] {
			delete(l.sums, run)
		}
	}
}

// begunAnew says whether a proxy has started anew since it counted last: no figure
// of one that has not can be less than it was. All are looked at, for a difference
// below nothing would be an enormous number of requests.
func begunAnew(now, last *Counts) bool {
	for a := range now {
		n, b := &now[a], &last[a]
		if n.Begun < b.Begun || n.Headed < b.Headed || n.Requests < b.Requests || n.Failed < b.Failed {
			return true
		}
		for i, c := range n.Times {
			if c < b.Times[i] {
				return true
			}
		}
	}
	return false
}
