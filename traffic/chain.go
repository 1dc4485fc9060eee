package traffic

import (
	"cmp"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// Level is how near something is that says a field, the nearest first.
type Level uint8

const (
	Own       Level = iota // the noun itself
	Rule                   // a rule of an HTTPRoute or GRPCRoute
	Route                  // all its rules
	Port                   // a port of a Service
	Service                // all its ports
	Listener               // a listener of a Gateway
	Gateway                // all its listeners
	Namespace              // the routes, or the services, of one
	Mesh                   // everything

	levels
)

// step is a policy at its level. Of a Route with several backends, steps of Port
// and Service are of one of these; a nil policy is a backend without any.
type step struct {
	aimed
	level   Level
	backend int
}

// aimed is a policy and the number of one of its targets.
type aimed struct {
	policy *model.TrafficPolicy
	target int
}

// index finds policies by what they are for, those of one target older first.
type index struct {
	routes, services map[model.PolicyTarget][]aimed
	gateways         bool // some are for Gateways
}

func newIndex(list []*model.TrafficPolicy) *index {
	x := &index{}
	if len(list) == 0 {
		return x
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *model.TrafficPolicy) int {
		return cmp.Or(a.Order.Compare(b.Order), cmp.Compare(a.Name, b.Name))
	})
	x.routes, x.services = map[model.PolicyTarget][]aimed{}, map[model.PolicyTarget][]aimed{}
	for _, p := range list {
		for i, t := range p.Targets {
			if slices.Contains(p.Targets[:i], t) {
				continue
			}
			if p.Route != nil {
				x.routes[t] = append(x.routes[t], aimed{p, i})
				x.gateways = x.gateways || t.Kind == model.TargetGateway
			}
			if p.Service != nil {
				x.services[t] = append(x.services[t], aimed{p, i})
			}
		}
	}
	return x
}

// subjectOf is what policies call a Service.
func subjectOf(s *model.Service) model.Subject {
	out := s.Subject
	if out.Name == "" {
		if out.Name = s.Name; s.Mesh != nil {
			out.Namespace, out.Name = s.Mesh.Namespace, s.Mesh.Host
		}
	}
	out.Namespace = cmp.Or(out.Namespace, model.DefaultNamespace)
	return out
}

// chain collects steps.
type chain struct {
	from  map[model.PolicyTarget][]aimed
	steps []step
}

func (c *chain) add(level Level, backend int, kind model.TargetKind, namespace, name, section string) {
	for _, p := range c.from[model.PolicyTarget{Kind: kind, Namespace: namespace, Name: name, Section: section}] {
		c.steps = append(c.steps, step{p, level, backend})
	}
}

// named adds those for a part of something, and then those for all of it.
func (c *chain) named(part, all Level, backend int, kind model.TargetKind, namespace, name, section string) {
	if section != "" {
		c.add(part, backend, kind, namespace, name, section)
	}
	c.add(all, backend, kind, namespace, name, "")
}

func (c *chain) around(namespace string) {
	c.add(Namespace, 0, model.TargetNamespace, namespace, "", "")
	c.add(Mesh, 0, model.TargetMesh, "", "", "")
}

// ofService appends to steps what is for a Service.
func (x *index) ofService(s *model.Service, steps []step) []step {
	if len(x.services) == 0 || s.Local {
		return steps
	}
	c := chain{x.services, steps}
	sub := subjectOf(s)
	c.named(Port, Service, 0, model.TargetService, sub.Namespace, sub.Name, sub.Section)
	c.around(sub.Namespace)
	return c.steps
}

// ofRoute appends to steps what is for a Route behind one of its parents.
func (x *index) ofRoute(r *model.Route, parent string, find func(string) *model.Service, steps []step) []step {
	if len(x.routes) == 0 {
		return steps
	}
	c := chain{x.routes, steps}
	sub := r.Subject
	sub.Namespace = cmp.Or(sub.Namespace, model.DefaultNamespace)
	if sub.Kind == model.TargetService {
		c.named(Port, Service, 0, model.TargetService, sub.Namespace, sub.Name, sub.Section)
		c.around(sub.Namespace)
		return c.steps
	}
	if sub.Kind != "" {
		c.named(Rule, Route, 0, sub.Kind, sub.Namespace, sub.Name, sub.Section)
	}
	for i := range r.Backends {
		s := find(r.Backends[i].Service)
		switch {
		case s == nil:
			continue // such requests fail
		case s.Local:
			return steps
		}
		of, before := subjectOf(s), len(c.steps)
		c.named(Port, Service, i, model.TargetService, of.Namespace, of.Name, of.Section)
		if len(c.steps) == before && len(r.Backends) > 1 {
			c.steps = append(c.steps, step{aimed{}, Service, i})
		}
	}
	if namespace, rest, ok := strings.Cut(parent, "/"); ok && x.gateways {
		name, listener, _ := strings.Cut(rest, "/")
		listener, _, _ = strings.Cut(listener, "@")
		c.named(Listener, Gateway, 0, model.TargetGateway, namespace, name, listener)
	}
	c.around(sub.Namespace)
	return c.steps
}
