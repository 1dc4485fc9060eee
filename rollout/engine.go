package rollout

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// Counts are of both sides since the run began; they only grow.
type Counts = [observe.Arms]observe.ArmCounts

// Engine is one rollout. It is for one goroutine.
type Engine struct {
	spec  *model.Rollout // with its defaults
	state State

	last   Counts
	primed bool // last is of the time before the next Tick
	// recent is how the baseline did in this and the last span of a step's time;
	// known is how long its requests took, of the last few thousand of them.
	recent [2]Tally
	turned time.Time
	known  [2]observe.Times
	late   [observe.Arms]late
}

// late are requests that count as slow although they have no head yet.
type late struct {
	most uint64 // at once, since there were none
	owed uint64 // that have been counted, and will be once more when they have it
}

// mostKnown is after how many requests of the baseline the older half of what is
// known of its latency is forgotten.
const mostKnown = 5000

// NewEngine begins a rollout, or goes on with one: state is nil where there is
// none, or one of another spec.
func NewEngine(spec *model.Rollout, state *State, now time.Time) *Engine {
	e := &Engine{spec: spec.Filled(), turned: now}
	switch {
	case state == nil:
		e.state, e.primed = begin(spec, now, "about to begin"), true
	case state.Spec != spec.Spec():
		e.state, e.primed = begin(spec, now, "about to begin: what is to be rolled out has changed"), true
	default:
		// Nobody has looked while this process was away: the step lasts its time
		// again, and what was counted meanwhile is not known step by step.
		e.state = *state
		e.state.Since = now
	}
	return e
}

// State is how things are.
func (e *Engine) State() State { return e.state }

// Adopt takes a State that somebody else has changed.
func (e *Engine) Adopt(s *State, now time.Time) {
	if s.Run != e.state.Run {
		e.last, e.primed = Counts{}, true // the counts of a run begin at nothing
		e.recent, e.known, e.turned = [2]Tally{}, [2]observe.Times{}, now
		e.late = [observe.Arms]late{}
	}
	e.state = *s
}

// Do does what somebody wants.
func (e *Engine) Do(a Action, now time.Time) error {
	s := e.state
	if err := s.Do(e.spec, a, now); err != nil {
		return err
	}
	e.Adopt(&s, now)
	return nil
}

// Tick takes what was counted up to now, and who waits still, and decides. It says whether the share,
// the phase, the step or the kind of reason has changed; not where only figures
// have.
func (e *Engine) Tick(now time.Time, c *Counts, waiting Waiting) bool {
	s := &e.state
	if s.Phase.Over() {
		return false
	}
	if !e.primed {
		e.last, e.primed = *c, true
	}
	before := *s
	e.count(now, c, waiting)
	switch why, bad := e.bad(); {
	case bad:
		s.Share = 0
		s.enter(RolledBack, now, why)
	case s.Phase == Paused:
	case s.Phase == Pending:
		s.step(e.spec, 0, now, e.stepping(0))
	default:
		e.hold(now)
	}
	return s.Phase != before.Phase || s.Step != before.Step || s.Share != before.Share || sort(s.Why) != sort(before.Why)
}

// count takes in what is new.
func (e *Engine) count(now time.Time, c *Counts, waiting Waiting) {
	s := &e.state
	var fresh Counts
	for a := range c {
		fresh[a] = observe.ArmCounts{Requests: c[a].Requests - e.last[a].Requests, Failed: c[a].Failed - e.last[a].Failed, Times: c[a].Times.Less(&e.last[a].Times)}
	}
	e.last = *c
	base, canary := &fresh[observe.Baseline], &fresh[observe.Canary]
	failed := [2]Tally{{base.Requests, base.Failed}, {canary.Requests, canary.Failed}}

	if now.Sub(e.turned) >= e.spec.Steps[s.Step].Hold {
		e.recent[1], e.recent[0], e.turned = e.recent[0], Tally{}, now
	}
	e.recent[0].add(failed[observe.Baseline])
	if e.known[0].Total() > mostKnown {
		e.known[1], e.known[0] = e.known[0], observe.Times{}
	}
	e.known[0].Add(&base.Times)

	s.Baseline.add(failed[observe.Baseline])
	s.Canary.add(failed[observe.Canary])
	s.Failures.observe(failed[observe.Canary], failed[observe.Baseline], e.failing())
	e.bound()
	if s.Bound > 0 {
		waiting := waiting(s.Bound + overdueAfter)
		slow := func(a observe.Arm) Tally {
			times := &fresh[a].Times
			twice, more := e.late[a].take(waiting[a], times.Slower(s.Bound))
			return Tally{times.Total() - twice + more, times.Slower(s.Bound) - twice + more}
		}
		base, canary := slow(observe.Baseline), slow(observe.Canary)
		s.BaselineSlow.add(base)
		s.Slow.add(canary)
		s.Latency.observe(canary, base, e.slower())
	}
}

// take is told how many are overdue, and how many have had their head, slowly. It
// gives how many of the latter have been counted, and how many are to be. How many
// are overdue is a lower bound, which goes up and down: only more than ever counts.
func (l *late) take(waiting, slow uint64) (twice, more uint64) {
	twice = min(slow, l.owed)
	l.owed -= twice
	if waiting == 0 {
		*l = late{}
	}
	if waiting > l.most {
		more = waiting - l.most
		l.most, l.owed = waiting, l.owed+more
	}
	return twice, more
}

// overdueAfter is how much longer than the bound a request waits before it counts
// as slow without having its head: a machine that was busy for a moment has such,
// too.
const overdueAfter = time.Second

// failing and slower are which share of the requests may fail, and which may be
// slower than the bound.
func (e *Engine) failing() float64 { return float64(model.Million-e.spec.Success) / model.Million }
func (e *Engine) slower() float64  { return float64(100-e.spec.Latency.Quantile) / 100 }

// leastMore is by how much the new version may be slower in any case: below that
// a machine's own noise is larger.
const leastMore = 10 * time.Millisecond

// bound finds what a slow request is. The last that was known goes on when the
// baseline gets no requests any more.
func (e *Engine) bound() {
	l := e.spec.Latency
	if l.Off {
		return
	}
	if l.Most > 0 {
		e.state.Bound = l.Most
		return
	}
	all := e.known[0]
	all.Add(&e.known[1])
	if all.Total() < uint64(e.spec.MinRequests) {
		return
	}
	q := all.Quantile(l.Quantile)
	e.state.Bound = max(q*time.Duration(l.Ratio)/100, q+leastMore)
}

// bad says whether the canary does worse than it may and than the baseline does,
// and why. Where both do badly it is not the canary's fault, and judging begins
// anew.
func (e *Engine) bad() (string, bool) {
	s := &e.state
	switch v, by := s.Failures.judge(); v {
	case guilty:
		return fmt.Sprintf("%s of the new version's requests failed at %s, and %s may; of the baseline's %s",
			by.Canary, model.Percent(s.Share), model.Percent(model.Million-e.spec.Success), by.Baseline), true
	case shared:
		s.Failures, s.Spoiled = Watch{}, true
	}
	switch v, by := s.Latency.judge(); v {
	case guilty:
		return fmt.Sprintf("%s of the new version's requests took longer than %s at %s, and %d%% may; of the baseline's %s",
			by.Canary, e.limit(), model.Percent(s.Share), 100-e.spec.Latency.Quantile, by.Baseline), true
	case shared:
		s.Latency, s.Spoiled = Watch{}, true
	}
	return "", false
}

// limit says what a slow request is.
func (e *Engine) limit() string {
	b := e.state.Bound
	switch {
	case b > time.Second:
		b = b.Round(10 * time.Millisecond)
	default:
		b = b.Round(100 * time.Microsecond)
	}
	if l := e.spec.Latency; l.Most == 0 {
		return fmt.Sprintf("%v (%sx the baseline's p%d)", b, strconv.FormatFloat(float64(l.Ratio)/100, 'f', -1, 64), l.Quantile)
	}
	return b.String()
}

// hold goes on to the next step when it is time for that and nothing speaks
// against it.
func (e *Engine) hold(now time.Time) {
	s := &e.state
	step := e.spec.Steps[s.Step]
	lasted := now.Sub(s.Since)
	if lasted < step.Hold {
		if s.Phase == Holding { // the step has begun anew
			s.enter(Progressing, now, e.stepping(s.Step))
		}
		return
	}
	why, undecided := e.wait()
	failing := e.failingToo()
	s.Spoiled = s.Spoiled || failing
	switch {
	case s.Spoiled && !failing:
		s.step(e.spec, s.Step, now, e.stepping(s.Step)+", once more: the baseline did badly as well")
	case undecided && lasted >= step.Hold+e.spec.MaxWait:
		was := s.Share
		s.Share = 0
		s.enter(RolledBack, now, fmt.Sprintf("no decision at %s within %s: %s", model.Percent(was), span(step.Hold+e.spec.MaxWait), why))
	case undecided && s.Phase == Holding && sort(why) == sort(s.Why):
		s.Why = why // newer figures
	case undecided:
		s.enter(Holding, now, why)
	case s.Step == len(e.spec.Steps)-1:
		s.enter(Succeeded, now, fmt.Sprintf("all steps are done: at %s %s failed", model.Percent(s.Share), s.Canary))
	default:
		s.step(e.spec, s.Step+1, now, fmt.Sprintf("%s; at %s %s failed", e.stepping(s.Step+1), model.Percent(s.Share), s.Canary))
	}
}

// sort is a reason without its figures.
func sort(why string) string {
	before, _, _ := strings.Cut(why, ":")
	return before
}

// wait says why the step is not over, though its time is.
func (e *Engine) wait() (why string, wait bool) {
	s := &e.state
	low, _ := wilson(s.Canary, 1)
	slow, _ := wilson(s.Slow, 1)
	most, by := s.Failures.most(), s.Canary
	if v := s.Latency.most(); v > most {
		most, by = v, s.Slow
	}
	switch {
	case e.failingToo():
		return fmt.Sprintf("the baseline fails as well: %s, and %s may", e.lately(), model.Percent(model.Million-e.spec.Success)), true
	case s.Canary.Requests < uint64(e.spec.MinRequests):
		return fmt.Sprintf("too few requests to tell: %d of %d", s.Canary.Requests, e.spec.MinRequests), true
	case !e.spec.Latency.Off && s.Bound == 0:
		return fmt.Sprintf("too few requests of the baseline to compare the latency with: fewer than %d", e.spec.MinRequests), true
	case most >= suspected:
		return fmt.Sprintf("not sure whether it does as well: %s bad", by), true
	case low > e.failing():
		return fmt.Sprintf("not sure whether it fails too often: %s, and %s may", s.Canary, model.Percent(model.Million-e.spec.Success)), true
	case slow > e.slower():
		return fmt.Sprintf("not sure whether it is too slow: %s took longer than %s", s.Slow, e.limit()), true
	}
	return "", false
}

// lately is how the baseline did in the last one or two spans of a step.
func (e *Engine) lately() Tally {
	t := e.recent[0]
	t.add(e.recent[1])
	return t
}

// failingToo says whether the baseline itself fails more often than is allowed.
func (e *Engine) failingToo() bool {
	t := e.lately()
	low, _ := wilson(t, sure)
	return t.Bad >= leastBad && low > e.failing()
}

// stepping is why a step has begun.
func (e *Engine) stepping(n int) string {
	return fmt.Sprintf("step %d of %d, %s for %s", n+1, len(e.spec.Steps), model.Percent(e.spec.Steps[n].Share), span(e.spec.Steps[n].Hold))
}

// span writes a time without zeros at its end: 1h, not 1h0m0s.
func span(d time.Duration) string {
	text := d.String()
	for _, zero := range [...]string{"0s", "0m"} {
		if cut, ok := strings.CutSuffix(text, zero); ok && cut != "" && !strings.ContainsAny(cut[len(cut)-1:], "0123456789.") {
			text = cut
		}
	}
	return text
}

// String writes it for people: 8 of 9 (89%).
func (t Tally) String() string {
	if t.Requests == 0 {
		return "0 of 0"
	}
	percent, digits := t.rate()*100, 2
	switch {
	case percent >= 10 || percent == 0:
		digits = 0
	case percent >= 1:
		digits = 1
	}
	return fmt.Sprintf("%d of %d (%s%%)", t.Bad, t.Requests, strconv.FormatFloat(percent, 'f', digits, 64))
}
