package rollout

import "math"

// convicted is the sum at which a version is taken to be worse than is allowed:
// ln 100,000.
const convicted = 11.5

// suspected is the sum from which nobody goes on to the next step.
const suspected = convicted / 2

// leastBad is how many bad requests there must be in any case: what has one cause,
// such as a connection that is cut off, comes in small heaps.
const leastBad = 5

// Tally is requests, and how many of them were bad.
type Tally struct {
	Requests uint64 `json:"requests"`
	Bad      uint64 `json:"bad"`
}

func (t *Tally) add(o Tally) {
	t.Requests += o.Requests
	t.Bad += o.Bad
}

// rate is the share of the bad ones.
func (t Tally) rate() float64 {
	if t.Requests == 0 {
		return 0
	}
	return float64(t.Bad) / float64(t.Requests)
}

// Sum is a cumulative sum, and what was counted since it last was nothing.
type Sum struct {
	Value    float64 `json:"value"`
	Canary   Tally   `json:"canary"`
	Baseline Tally   `json:"baseline"`
}

// Watch are the sums that look for one kind of bad requests.
type Watch [3]Sum

// observe adds what has happened since the last call, where allowed of the
// requests may be bad. Requests of one call are taken to be in no order.
func (w *Watch) observe(canary, baseline Tally, allowed float64) {
	allowed = min(max(allowed, 1e-6), 0.9)
	for i, worse := range [...]float64{2 * allowed, 5 * allowed, 0.5} {
		// None looks for more than that nearly all are bad, nor for less than twice
		// as many as are allowed, as far as there is room.
		worse = min(max(worse, 2*allowed), (1+allowed)/2)
		bad, good := math.Log(worse/allowed), math.Log((1-worse)/(1-allowed))
		s := &w[i]
		s.Value += float64(canary.Bad)*bad + float64(canary.Requests-canary.Bad)*good
		// Beyond twice what convicts nothing is learnt, and it would take long to
		// come back.
		s.Value = min(s.Value, 2*convicted)
		if s.Value <= 0 {
			*s = Sum{}
			continue
		}
		s.Canary.add(canary)
		s.Baseline.add(baseline)
	}
}

// most is the largest sum.
func (w *Watch) most() (v float64) {
	for i := range w {
		v = max(v, w[i].Value)
	}
	return v
}

// verdict is what is known of the canary.
type verdict uint8

const (
	fine   verdict = iota
	unsure         // perhaps it is bad
	shared         // it is bad, and so is the baseline
	guilty         // it is bad, and the baseline is not
)

// judge says whether the canary is worse than is allowed, and by which figures.
func (w *Watch) judge() (verdict, Sum) {
	worst, of := fine, Sum{}
	for i := range w {
		s, v := &w[i], fine
		switch {
		case s.Value >= convicted && s.Canary.Bad >= leastBad && s.worse():
			v = guilty
		case s.Value >= convicted && s.Canary.Bad >= leastBad:
			v = shared
		case s.Value >= suspected:
			v = unsure
		}
		if v > worst {
			worst, of = v, *s
		}
	}
	return worst, of
}

// sure is how many standard deviations the ends of the intervals are from the
// middle: 95% lie between.
const sure = 1.96

// worse says whether the canary has done worse than the baseline over the same
// time, as far as that can be told. Where nothing of the baseline was bad there is
// nothing to blame but the canary.
func (s *Sum) worse() bool {
	if s.Baseline.Bad == 0 {
		return true
	}
	low, _ := wilson(s.Canary, sure)
	_, high := wilson(s.Baseline, sure)
	return low > high
}

// wilson is the interval in which the share of the bad ones lies (Wilson, J. Am.
// Stat. Assoc. 22, 1927), z standard deviations wide to each side.
func wilson(t Tally, z float64) (low, high float64) {
	if t.Requests == 0 {
		return 0, 1
	}
	n, p := float64(t.Requests), t.rate()
	middle := p + z*z/(2*n)
	wide := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	whole := 1 + z*z/n
	return max((middle-wide)/whole, 0), min((middle+wide)/whole, 1)
}
