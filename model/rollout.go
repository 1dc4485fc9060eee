package model

import (
	"slices"
	"strconv"
	"time"
)

// Rollout leads the requests of Routes from the services that they have to a new
// version, in steps, while that does as well as the others, and back when it
// does not. Routes of one Name move together.
//
// While nobody has decided otherwise the new version gets nothing: a Rollout
// without Run is one that no control plane has looked at.
type Rollout struct {
	// Name is what people call it by: the route's, or the policy's, for example
	// "orders" or "shop/orders".
	Name string `json:"name"`
	// To is the Service that is tried, one of the route's Backends. All others are
	// the baseline, and share what is left by their weights.
	To string `json:"to"`
	// Steps are tried in turn, and ascend. None: DefaultRolloutSteps, each for
	// Hold.
	Steps []RolloutStep `json:"steps,omitempty"`
	// Hold is how long a step lasts that says nothing. 0 is 1 min.
	Hold time.Duration `json:"hold,omitempty"`
	// Success is how many of a million requests must succeed. A request has
	// failed that got a 5xx status, a gRPC status that blames the server, a reset
	// or a time-out, or that needed another try because of one. 0 is 995,000.
	Success int `json:"success,omitempty"`
	// Latency bounds the time to the response's head; nil has its defaults.
	Latency *RolloutLatency `json:"latency,omitempty"`
	// MinRequests is how many of the new version's requests must have ended
	// before a step is over. 0 is 50.
	MinRequests int `json:"minRequests,omitempty"`
	// MaxWait is how much longer than its time a step may wait for enough
	// requests, or for the baseline to be well; then it is rolled back. 0 is 1 h.
	MaxWait time.Duration `json:"maxWait,omitempty"`
	// Version names what is rolled out, where the names of the services stay the
	// same: another one begins anew.
	Version string `json:"version,omitempty"`

	// Run is given by the control plane: it is which attempt of which Rollout the
	// weights of the route's Backends are of. Live says that proxies count for it
	// how the requests go.
	Run  string `json:"run,omitempty"`
	Live bool   `json:"live,omitempty"`
}

// RolloutStep is a share of the requests, and for how long.
type RolloutStep struct {
	// Share is how many of a million requests go to the new version, more than 0.
	Share int `json:"share"`
	// Hold is 0 for the Rollout's.
	Hold time.Duration `json:"hold,omitempty"`
}

// RolloutLatency says how slow the new version may be: of its requests no larger
// share may be slower than the bound than Quantile leaves. With neither Most nor
// Ratio the bound is DefaultRolloutRatio times what the baseline has.
type RolloutLatency struct {
	Off bool `json:"off,omitempty"` // it is not looked at
	// Quantile is a percentage, 50 to 99. 0 is 95.
	Quantile int `json:"quantile,omitempty"`
	// Most is a bound by itself, Ratio hundredths of the baseline's Quantile: 150
	// is one and a half times as much. Just one of them is set.
	Most  time.Duration `json:"most,omitempty"`
	Ratio int           `json:"ratio,omitempty"`
}

// Defaults and bounds of a Rollout.
const (
	DefaultRolloutHold     = time.Minute
	DefaultRolloutSuccess  = 995_000
	DefaultRolloutQuantile = 95
	DefaultRolloutRatio    = 150
	DefaultRolloutRequests = 50
	DefaultRolloutWait     = time.Hour
	MostRolloutSteps       = 100
	LeastRolloutHold       = 100 * time.Millisecond
	MostRolloutHold        = 30 * 24 * time.Hour
)

// DefaultRolloutSteps are the Shares of a Rollout that has no Steps.
func DefaultRolloutSteps() []int { return []int{10_000, 50_000, 250_000, 500_000, Million} }

// Filled gives r with the defaults in place of zeros, and each step with its
// Hold.
func (r *Rollout) Filled() *Rollout {
	out := *r
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	span(&out.Hold, DefaultRolloutHold)
	span(&out.MaxWait, DefaultRolloutWait)
	def(&out.Success, DefaultRolloutSuccess)
	def(&out.MinRequests, DefaultRolloutRequests)
	out.Steps = slices.Clone(r.Steps)
	if len(out.Steps) == 0 {
		for _, share := range DefaultRolloutSteps() {
			out.Steps = append(out.Steps, RolloutStep{Share: share})
		}
	}
	for i := range out.Steps {
		span(&out.Steps[i].Hold, out.Hold)
	}
	var l RolloutLatency
	if r.Latency != nil {
		l = *r.Latency
	}
	def(&l.Quantile, DefaultRolloutQuantile)
	if l.Most == 0 {
		def(&l.Ratio, DefaultRolloutRatio)
	}
	out.Latency = &l
	return &out
}

// Spec is the same for two Rollouts that say the same, wherever and however they
// are written: another one begins anew.
func (r *Rollout) Spec() string {
	said := r.Filled()
	said.Run, said.Live = "", false
	var b content
	said.write(&b)
	s := b.sum()
	return strconv.FormatUint(s.a, 16)
}

// Rolls says whether the route has a Rollout that moves requests: it leads to the
// new version, and elsewhere.
func (r *Route) Rolls() bool {
	if r.Rollout == nil {
		return false
	}
	to, rest := false, 0
	for i := range r.Backends {
		if b := &r.Backends[i]; b.Service == r.Rollout.To {
			to = true
		} else {
			rest += b.Weight
		}
	}
	return to && rest > 0
}

// Weigh gives backends as they are when to gets share of a million: the others
// have what is left in the proportions of their weights, of which at least one
// must be more than 0. It does not write to backends.
func Weigh(backends []Backend, to string, share int) []Backend {
	share = min(max(share, 0), Million)
	out := slices.Clone(backends)
	var sum int64
	for i := range out {
		if out[i].Service != to {
			sum += int64(out[i].Weight)
		}
	}
	rest, seen, given := int64(Million-share), int64(0), int64(0)
	for i := range out {
		b := &out[i]
		if b.Service == to {
			b.Weight, share = share, 0 // of two of the same name the first gets all
			continue
		}
		// What is due up to here, less what has been given: rounding loses nothing.
		seen += int64(b.Weight)
		due := seen * rest / max(sum, 1)
		b.Weight = int(due - given)
		given = due
	}
	return out
}

func (r *Rollout) write(b *content) {
	if r == nil {
		return
	}
	b.text("rollout", r.Name, r.To, r.Version, r.Run)
	b.number(uint64(len(r.Steps)))
	for _, s := range r.Steps {
		b.int(int64(s.Share))
		b.time(s.Hold)
	}
	b.time(r.Hold)
	b.time(r.MaxWait)
	b.int(int64(r.Success))
	b.int(int64(r.MinRequests))
	b.bool(r.Live)
	if l := r.Latency; b.bool(l != nil) {
		b.bool(l.Off)
		b.int(int64(l.Quantile))
		b.int(int64(l.Ratio))
		b.time(l.Most)
	}
}

// Percent writes a share of a million for people: 1%, 0.05%.
func Percent(share int) string {
	return strconv.FormatFloat(float64(share)/(Million/100), 'f', -1, 64) + "%"
}
