package model

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// rollout checks that of r. One that is broken goes, and with it all that the
// new version would get: its weight is 0, as it is until somebody has looked at
// how it does.
func (v *checker) rollout(r *Route) *Route {
	o := r.Rollout
	if o == nil {
		return r
	}
	said, lost := len(v.problems), false
	at := slices.IndexFunc(r.Backends, func(b Backend) bool { return b.Service == o.To && o.To != "" })
	rest := 0
	for i := range r.Backends {
		if b := &r.Backends[i]; b.Service != o.To && b.Service != "" {
			rest += b.Weight
		}
	}
	switch {
	case o.Name == "":
		v.broken("no-name", "the rollout of route "+r.Name+" has no name", "")
	case o.To == "":
		v.broken("bad-rollout", "the rollout of route "+r.Name+" leads to no service", "name one of those that the route leads to")
	case at < 0 && slices.ContainsFunc(r.Backends, func(b Backend) bool { return b.Service == "" }):
		lost = true // the route leads to what is not there, which has been said
	case at < 0:
		v.broken("bad-rollout", "the rollout of route "+r.Name+" leads to service "+o.To+", to which the route does not lead", "add it to the route, with weight 0")
	case rest == 0:
		v.broken("bad-rollout", "the rollout of route "+r.Name+" has nothing to go back to: no other service of the route has a weight", "give the service that serves now a weight")
	}
	if wrong, hint := o.wrong(); wrong != "" {
		v.broken("bad-rollout", "the rollout of route "+r.Name+" "+wrong, hint)
	}
	bad := lost || len(v.problems) > said
	if !bad {
		v.odd(r)
	}
	if !bad && (o.Run != "" || r.Backends[at].Weight == 0) {
		return r
	}
	r = copied(r)
	r.Backends = slices.Clone(r.Backends)
	for i := range r.Backends {
		if o.To != "" && r.Backends[i].Service == o.To && rest > 0 {
			r.Backends[i].Weight = 0
		}
	}
	if bad {
		r.Rollout = nil
	}
	return r
}

// wrong gives what is broken in what o says, and what would be right.
func (o *Rollout) wrong() (wrong, hint string) {
	if len(o.Steps) > MostRolloutSteps {
		return fmt.Sprintf("has %d steps", len(o.Steps)), "100 at most"
	}
	last := 0
	for _, s := range o.Steps {
		switch {
		case s.Share <= 0 || s.Share > Million:
			return "has a step to " + Percent(s.Share), "a step is more than 0 and at most 100 percent"
		case s.Share <= last:
			return "has a step to " + Percent(s.Share) + " after one to " + Percent(last), "steps ascend: 1, 5, 25, 50, 100"
		case s.Hold < 0 || s.Hold > MostRolloutHold || s.Hold > 0 && s.Hold < LeastRolloutHold:
			return "has a step that lasts " + s.Hold.String(), "write 100ms to 720h"
		}
		last = s.Share
	}
	switch l := o.Latency; {
	case o.Hold < 0 || o.Hold > MostRolloutHold || o.Hold > 0 && o.Hold < LeastRolloutHold:
		return "has steps that last " + o.Hold.String(), "write 100ms to 720h"
	case o.MaxWait < 0 || o.MaxWait > MostRolloutHold:
		return "waits up to " + o.MaxWait.String() + " for a decision", "write up to 720h"
	case o.Success < 0 || o.Success >= Million:
		return "wants " + Percent(o.Success) + " of the requests to succeed", "write less than 100, for example 99.5: a few always fail, whatever runs"
	case o.MinRequests < 0:
		return "wants " + strconv.Itoa(o.MinRequests) + " requests a step", "write 1 or more"
	case l == nil || l.Off:
	case l.Quantile != 0 && (l.Quantile < 50 || l.Quantile > 99):
		return fmt.Sprintf("compares p%d", l.Quantile), "write p50 to p99"
	case l.Most != 0 && l.Ratio != 0:
		return "bounds the latency both by a time and by the baseline", "write one of them: 300ms, or 1.5x"
	case l.Most < 0 || l.Ratio < 0:
		return "bounds the latency by less than nothing", "write 300ms, or 1.5x"
	case l.Ratio != 0 && l.Ratio < 100:
		return fmt.Sprintf("wants the new version to be faster than the baseline: %gx", float64(l.Ratio)/100), "write 1x or more"
	}
	return "", ""
}

// odd warns of what can be, and is hardly meant.
func (v *checker) odd(r *Route) {
	o := r.Rollout.Filled()
	if r.Rollout.MaxWait > 0 && r.Rollout.MaxWait < time.Second {
		v.doubtful("tiny-time", fmt.Sprintf("the rollout of route %s waits no more than %v for enough requests", r.Name, o.MaxWait), "write a unit: 1h")
	}
	if o.Success <= Million/100 {
		v.doubtful("lax-rollout", fmt.Sprintf("the rollout of route %s goes back only where fewer than %s of the new version's requests succeed", r.Name, Percent(o.Success)), "write a percentage: 99, where 99% is meant")
	}
	if last := o.Steps[len(o.Steps)-1].Share; last < Million {
		v.doubtful("partial-rollout", fmt.Sprintf("the rollout of route %s ends at %s: the rest stays where it is", r.Name, Percent(last)), "end the steps with 100")
	}
	if l := o.Latency; !l.Off && l.Most > 0 && r.Timeouts.Backend > 0 && l.Most >= r.Timeouts.Backend {
		v.doubtful("contradiction", fmt.Sprintf("the rollout of route %s bounds the latency by %v, but a try has only %v: it never looks at it", r.Name, l.Most, r.Timeouts.Backend), "make it shorter")
	}
}

// together sees that the routes of one rollout say the same: of those that do
// not, the first by name counts, and the others lead where they did.
func (v *checker) together(routes []*Route) []*Route {
	var first map[string]*Route
	out, own := routes, false
	for i, r := range routes {
		if r.Rollout == nil {
			continue
		}
		if first == nil {
			first = map[string]*Route{}
		}
		other := first[r.Rollout.Name]
		if other == nil {
			first[r.Rollout.Name] = r
			continue
		}
		if other.Rollout == r.Rollout || other.Rollout.Spec() == r.Rollout.Spec() {
			continue
		}
		v.at = r.Origin
		v.broken("bad-rollout", "the rollout of route "+r.Name+" has the name "+r.Rollout.Name+" of another one", "that stands at "+place(other.Origin))
		if !own {
			out, own = slices.Clone(routes), true
		}
		r = copied(r)
		r.Backends, r.Rollout = Weigh(r.Backends, r.Rollout.To, 0), nil
		out[i] = r
	}
	return out
}
