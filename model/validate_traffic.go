package model

import (
	"cmp"
	"strconv"
)

// traffic checks what a policy says for itself, as it would be checked at a
// Route or Service: what is wrong there is left out, so that the next policy or
// the default counts.
func (v *checker) traffic(p *TrafficPolicy) *TrafficPolicy {
	good := p.Targets
	for i, t := range p.Targets {
		wrong := t.Namespace == "" || t.Name == ""
		switch t.Kind {
		case TargetMesh:
			wrong = false
		case TargetNamespace:
			wrong = t.Namespace == ""
		case TargetService:
		case TargetGateway, TargetHTTPRoute, TargetGRPCRoute:
			if p.Route == nil {
				v.broken("bad-value", p.Name+" says how services are reached, and is for "+t.String(), "name a Service, a Namespace or the Mesh")
				v.because("Accepted", "Invalid")
				good = keep(good, p.Targets, i, false)
				continue
			}
		case TargetTCPRoute, TargetTLSRoute, TargetUDPRoute:
			if p.Route == nil || p.Route.Priority == PriorityNormal {
				v.broken("bad-value", p.Name+" is for "+t.String()+", and says nothing of connections", "of these a policy says the priority: for example priority: critical")
				v.because("Accepted", "Invalid")
				good = keep(good, p.Targets, i, false)
				continue
			}
		default:
			v.broken("bad-value", p.Name+" is for "+strconv.Quote(string(t.Kind)), "write "+anyOf([]TargetKind{TargetMesh, TargetNamespace, TargetGateway, TargetService, TargetHTTPRoute, TargetGRPCRoute, TargetTCPRoute, TargetTLSRoute, TargetUDPRoute}))
			good = keep(good, p.Targets, i, false)
			continue
		}
		if wrong {
			v.broken("bad-value", p.Name+" is for a "+string(t.Kind)+" without a name", "")
		}
		good = keep(good, p.Targets, i, !wrong)
	}
	if len(good) == 0 {
		if len(p.Targets) == 0 {
			v.broken("missing-field", p.Name+" is for nothing", "name a target")
		}
		return nil
	}
	out := *p
	out.Targets = good
	if r := p.Route; r != nil {
		v.partial = p
		called := copied(r)
		called.Name = "of " + p.Name
		checked := v.patience(called)
		if o := checked.Rollout; o != nil {
			if wrong, hint := o.wrong(); wrong != "" || o.To == "" || o.Name == "" {
				v.on("rollout")
				v.broken("bad-rollout", p.Name+" has a rollout that "+cmp.Or(wrong, "leads nowhere"), hint)
				checked = copied(checked)
				checked.Rollout = nil
			}
		}
		v.on("fault")
		if !v.filterList(checked, checked.Filters) {
			checked = copied(checked)
			checked.Filters = nil
		}
		if checked != called {
			checked.Name = r.Name
			out.Route = checked
		}
	}
	if s := p.Service; s != nil {
		called := copied(s)
		called.Name = "of " + p.Name
		v.partial = p
		checked := v.locality(v.treatment(v.balance(called)))
		if checked != called {
			checked.Name = s.Name
			out.Service = checked
		}
	}
	v.partial = nil
	if len(good) == len(p.Targets) && out.Route == p.Route && out.Service == p.Service {
		return p
	}
	return &out
}

// patience checks how a Route's requests are served, as far as policies say that
// too.
func (v *checker) patience(r *Route) *Route {
	r = v.endurance(r)
	v.on("priority")
	r = v.priority(r)
	v.on("shape")
	r = v.shape(r)
	v.on("session")
	return v.session(r)
}

// on has Problems point at a field of the policy that is looked at, if one is.
func (v *checker) on(field string) {
	if v.partial != nil {
		v.at = v.partial.At(field)
	}
}

// treatment checks how a Service's endpoints are treated, as far as policies say
// that too.
func (v *checker) treatment(s *Service) *Service {
	v.on("health")
	if s.Health != nil && !v.health(s) {
		s = copied(s)
		s.Health = nil
	}
	v.on("ejection")
	if s.Ejection != nil {
		s = v.ejection(s)
	}
	v.on("connect")
	if s.Connect < 0 || s.Idle < 0 || s.MaxIdle < 0 || s.MaxStreams < 0 {
		v.broken("bad-value", "service "+s.Name+" has a negative bound; the default is used", "leave it out for the default")
		s = copied(s)
		s.Connect, s.Idle, s.MaxIdle, s.MaxStreams = max(s.Connect, 0), max(s.Idle, 0), max(s.MaxIdle, 0), max(s.MaxStreams, 0)
	}
	v.on("retryBudget")
	s = v.retryBudget(s)
	v.on("connect")
	v.short("a connect time", s.Connect)
	v.long("a connect time", s.Connect)
	v.on("idle")
	v.short("an idle time", s.Idle)
	v.long("an idle time", s.Idle)
	v.on("limits")
	if s.Limits != nil {
		s = v.capacity(s)
	}
	return s
}

// CheckRoute gives r with what cannot be left out of how its requests are served
// (time-outs, retries, hedge, shape, session, priority), and the Problems, as Validate
// does: for what policies have made of it.
func CheckRoute(r *Route) (*Route, []Problem) {
	v := checker{at: r.Origin}
	return v.patience(r), v.problems
}

// CheckService is CheckRoute for how a Service's endpoints are treated.
func CheckService(s *Service) (*Service, []Problem) {
	v := checker{at: s.Origin}
	return v.treatment(v.balance(s)), v.problems
}
