package rollout

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/naru-mesh/naru/model"
)

// Phase is how far a rollout is.
type Phase string

const (
	Pending     Phase = "pending"     // it is about to begin
	Progressing Phase = "progressing" // a step lasts
	Holding     Phase = "holding"     // a step's time is over, and it is not known that it may go on
	Paused      Phase = "paused"      // somebody said so; it is rolled back all the same
	Succeeded   Phase = "succeeded"   // all steps are done
	RolledBack  Phase = "rolled-back" // by itself
	Aborted     Phase = "aborted"     // by somebody
)

// Phases are all that there are.
func Phases() []Phase {
	return []Phase{Pending, Progressing, Holding, Paused, Succeeded, RolledBack, Aborted}
}

// Over says whether nothing happens any more by itself.
func (p Phase) Over() bool { return p == Succeeded || p == RolledBack || p == Aborted }

// Action is what somebody wants.
type Action string

const (
	Pause   Action = "pause"   // stay at this step
	Resume  Action = "resume"  // go on; the step begins anew
	Abort   Action = "abort"   // back to the baseline, and stay there
	Promote Action = "promote" // to the last step at once
	Restart Action = "restart" // from the first step, with nothing known
)

// State is all that is remembered of a rollout.
type State struct {
	Name  string `json:"name"`
	To    string `json:"to"`
	Spec  string `json:"spec"` // of what it was begun: Rollout.Spec
	Run   string `json:"run"`
	Phase Phase  `json:"phase"`
	// Step counts from 0; Share of a million requests go to the new version now.
	Step  int `json:"step"`
	Share int `json:"share"`
	// Why is why the Phase is what it is, with figures.
	Why string `json:"why"`
	// Began is when the run began, Since when the step did, Changed when Phase or
	// Step was set.
	Began   time.Time `json:"began"`
	Since   time.Time `json:"since"`
	Changed time.Time `json:"changed"`

	// Canary and Baseline are the requests of this step, and how many failed; Slow
	// and BaselineSlow are those that have a time, and how many were slower than
	// Bound, which is 0 while it is not known.
	Canary       Tally         `json:"canary"`
	Baseline     Tally         `json:"baseline"`
	Slow         Tally         `json:"slow"`
	BaselineSlow Tally         `json:"baselineSlow"`
	Bound        time.Duration `json:"bound,omitempty"`
	// Spoiled says that both sides did badly in this step: it is begun anew when
	// the baseline is well, because what was counted says nothing of either.
	Spoiled bool `json:"spoiled,omitempty"`

	// What the next decision is made by.
	Failures Watch `json:"failures"`
	Latency  Watch `json:"latency"`
}

// begin makes the State of a new run.
func begin(spec *model.Rollout, now time.Time, why string) State {
	sum := spec.Spec()
	return State{
		Name: spec.Name, To: spec.To, Spec: sum, Run: sum + "-" + strconv.FormatInt(now.UnixNano(), 36),
		Phase: Pending, Why: why, Began: now, Since: now, Changed: now,
	}
}

// enter sets a phase.
func (s *State) enter(p Phase, now time.Time, why string) {
	s.Phase, s.Why, s.Changed = p, why, now
}

// step begins one of the steps.
func (s *State) step(spec *model.Rollout, n int, now time.Time, why string) {
	s.Step, s.Share, s.Since = n, spec.Steps[n].Share, now
	s.Canary, s.Baseline, s.Slow, s.BaselineSlow, s.Spoiled = Tally{}, Tally{}, Tally{}, Tally{}, false
	s.enter(Progressing, now, why)
}

// Do does what somebody wants, or says why that cannot be. spec is what the
// configuration says now.
func (s *State) Do(spec *model.Rollout, a Action, now time.Time) error {
	spec = spec.Filled()
	last := len(spec.Steps) - 1
	over := func() error {
		if s.Phase.Over() {
			return fmt.Errorf("rollout %s is over (%s): naru rollout restart %s begins it anew", s.Name, s.Phase, s.Name)
		}
		return nil
	}
	switch a {
	case Pause:
		if err := over(); err != nil {
			return err
		}
		s.enter(Paused, now, "paused at "+model.Percent(s.Share)+"; it is still rolled back if it does badly")
	case Resume:
		if err := over(); err != nil {
			return err
		}
		if s.Phase != Paused {
			return fmt.Errorf("rollout %s is not paused: it is %s", s.Name, s.Phase)
		}
		if s.Share == 0 {
			s.enter(Pending, now, "resumed")
			break
		}
		s.step(spec, min(s.Step, last), now, "resumed at "+model.Percent(spec.Steps[min(s.Step, last)].Share))
	case Abort:
		if s.Phase == RolledBack || s.Phase == Aborted {
			return over()
		}
		was := s.Share
		s.Share = 0
		s.enter(Aborted, now, "aborted at "+model.Percent(was))
	case Promote:
		// Who promotes may not have seen yet that it went back a moment ago.
		if s.Phase == Succeeded || s.Phase == RolledBack {
			return over()
		}
		was := s.Share
		s.Step, s.Share = last, spec.Steps[last].Share
		s.enter(Succeeded, now, "promoted from "+model.Percent(was)+" to "+model.Percent(s.Share))
	case Restart:
		*s = begin(spec, now, "begun anew")
	default:
		return fmt.Errorf("nothing is called %q: it is pause, resume, abort, promote or restart", a)
	}
	return nil
}

// encode and decode are how the store keeps it.
func (s *State) encode() ([]byte, error) { return json.Marshal(s) }

func decode(text []byte) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("the state of a rollout: %w", err)
	}
	return s, nil
}
