package rollout

import (
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// View is a rollout as people see it.
type View struct {
	Name  string `json:"name"`
	To    string `json:"to"`
	Phase Phase  `json:"phase"`
	// Weight is the share of the requests that go to the new version, in percent.
	Weight float64 `json:"weight"`
	// Step counts from 1, 0 before the first; Steps is how many there are, and Hold
	// how long this one lasts, in nanoseconds.
	Step  int           `json:"step"`
	Steps int           `json:"steps"`
	Hold  time.Duration `json:"hold"`
	Why   string        `json:"why"`
	// Began is when this attempt did, Since when the step did, Changed when
	// something was decided last.
	Began   time.Time `json:"began,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Changed time.Time `json:"changed,omitzero"`
	// Canary and Baseline are the requests of this step, and those that failed;
	// Slow and BaselineSlow those that took longer than Bound, in nanoseconds.
	Canary       Tally         `json:"canary"`
	Baseline     Tally         `json:"baseline"`
	Slow         Tally         `json:"slow"`
	BaselineSlow Tally         `json:"baselineSlow"`
	Bound        time.Duration `json:"bound,omitempty"`
	MinRequests  int           `json:"minRequests"`
	Routes       []string      `json:"routes"`
}

// Views are all rollouts that are configured, by name.
func (k *Keeper) Views() []View {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]View, 0, len(k.specs))
	for _, name := range k.names() {
		all = append(all, k.seen(name))
	}
	return all
}

// Problems are the rollouts that have gone back, until somebody does something.
func (k *Keeper) Problems() (all []model.Problem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.names() {
		h := k.states[name]
		if h == nil || h.state.Phase != RolledBack || h.state.Spec != k.specs[name].Spec() {
			continue
		}
		p := model.Problem{Severity: model.Doubtful, Code: "rolled-back", Message: "rollout " + name + " to " + h.state.To + " was rolled back: " + h.state.Why,
			Hint: "put " + h.state.To + " right, then naru rollout restart " + name + ", or roll out another version"}
		for _, r := range k.base.Routes {
			if o := k.rolled[r.Name]; o != nil && o.Name == name {
				p.Origin = r.Origin
				break
			}
		}
		all = append(all, p)
	}
	return all
}

func (k *Keeper) view(name string) View {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.specs[name] == nil {
		return View{Name: name}
	}
	return k.seen(name)
}

// seen makes a View. k.mu is held.
func (k *Keeper) seen(name string) View {
	spec := k.specs[name].Filled()
	v := View{Name: name, To: spec.To, Phase: Pending, Steps: len(spec.Steps), Hold: spec.Steps[0].Hold, MinRequests: spec.MinRequests, Why: "about to begin", Routes: []string{}}
	for _, r := range k.base.Routes {
		if o := k.rolled[r.Name]; o != nil && o.Name == name {
			v.Routes = append(v.Routes, r.Name)
		}
	}
	h := k.states[name]
	if h == nil || h.state.Spec != k.specs[name].Spec() {
		return v
	}
	s := &h.state
	v.Phase, v.Weight, v.Why, v.Began, v.Since, v.Changed = s.Phase, float64(s.Share)/(model.Million/100), s.Why, s.Began, s.Since, s.Changed
	v.Canary, v.Baseline, v.Slow, v.BaselineSlow, v.Bound = s.Canary, s.Baseline, s.Slow, s.BaselineSlow, s.Bound
	v.Hold = spec.Steps[min(s.Step, len(spec.Steps)-1)].Hold
	if s.Phase != Pending {
		v.Step = s.Step + 1
	}
	return v
}

// Observe adds the figures of the rollouts to g. Labels are bounded by what is
// configured.
func (k *Keeper) Observe(g *observe.Registry) {
	label := []string{"rollout"}
	each := func(name, help string, kind observe.Kind, value func(*View) float64) {
		g.Func(name, help, kind, label, func(emit func(float64, ...string)) {
			for _, v := range k.Views() {
				emit(value(&v), v.Name)
			}
		})
	}
	each("naru_rollout_weight_ratio", "Share of the requests that go to the new version of a rollout, 0 to 1.", observe.KindGauge, func(v *View) float64 { return v.Weight / 100 })
	each("naru_rollout_step", "Step that a rollout is at, counted from 1; 0 before the first.", observe.KindGauge, func(v *View) float64 { return float64(v.Step) })
	g.Func("naru_rollout_phase", "1 for the phase that a rollout is in: pending, progressing, holding, paused, succeeded, rolled-back, aborted.", observe.KindGauge, []string{"rollout", "phase"}, func(emit func(float64, ...string)) {
		for _, v := range k.Views() {
			for _, p := range Phases() {
				is := 0.0
				if v.Phase == p {
					is = 1
				}
				emit(is, v.Name, string(p))
			}
		}
	})
	g.Func("naru_rollout_decisions_total", "What was decided about a rollout by this process, or done here by somebody: step, holding, rolled-back, succeeded, pause, resume, abort, promote, restart.", observe.KindCounter, []string{"rollout", "decision"}, func(emit func(float64, ...string)) {
		k.mu.Lock()
		defer k.mu.Unlock()
		for d, n := range k.counts {
			if k.specs[d.name] != nil {
				emit(float64(n), d.name, d.what)
			}
		}
	})
}
