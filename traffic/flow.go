package traffic

import (
	"reflect"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// flowFields are what policies say of Flows: what they say of requests, as far as
// it has a meaning for connections.
var flowFields = fieldsOf(reflect.TypeFor[model.Route](), "Priority priority")

// asRoute is a Flow as policies see it.
func asRoute(f *model.Flow) *model.Route {
	return &model.Route{Name: f.Name, Parents: f.Parents, Backends: f.Backends, Priority: f.Priority, Subject: f.Subject}
}

// ofConnections keeps of steps those that say something of connections; of
// backends also that theirs say nothing. The steps are the caller's.
func ofConnections(steps []step) []step {
	said := false
	for i := range steps {
		s := &steps[i]
		switch {
		case s.policy == nil:
		case s.policy.Route.Priority != model.PriorityNormal:
			said = true
		default:
			s.aimed = aimed{}
		}
	}
	if !said {
		return steps[:0]
	}
	return slices.DeleteFunc(steps, func(s step) bool { return s.policy == nil && !ofService(s.level) })
}

// flow lowers one, or gives before.
func (l *Lowering) flow(f *model.Flow, before *done[model.Flow]) *done[model.Flow] {
	if len(l.index.routes) == 0 {
		return nil
	}
	r := asRoute(f)
	groups, parents := behind[model.Flow](l, r, ofFlows, flowFields)
	if len(groups) == 0 || len(groups) == 1 && groups[0].by == nil {
		return nil
	}
	if before != nil && before.from == f && slices.EqualFunc(groups, before.made, func(a, b made[model.Flow]) bool { return a.by.same(b.by) }) {
		return before
	}
	for i := range groups {
		g := &groups[i]
		x := *f
		if len(groups) > 1 {
			x.Parents, x.Name = parents[i], part(f.Name, i, parents[i])
		}
		if g.by != nil {
			x.Priority = apply(r, g.by, flowFields, nil).Priority
		}
		if g.noun = &x; len(groups) == 1 && x.Priority == f.Priority {
			g.noun = f
		}
	}
	return &done[model.Flow]{f, groups}
}

// Flow is Route for a Flow.
func (l *Lowering) Flow(f *model.Flow) []Setting {
	d, by := found(&l.flows, f, f.Name, func(f *model.Flow) string { return f.Name })
	from := f
	if d != nil {
		from = d.from
	}
	return settings(reflect.ValueOf(asRoute(from)).Elem(), reflect.ValueOf(asRoute(f)).Elem(), by, flowFields, "flow "+from.Name, from.Origin)
}

// FlowDefaults is RouteDefaults for a Flow.
func FlowDefaults(said []Setting) []Setting { return withDefaults(said, flowFields, flowDefaults) }

// requests tells of what a policy says of requests, whose targets have none.
func (t *teller) requests(p *model.TrafficPolicy) {
	if p.Route == nil || slices.ContainsFunc(p.Targets, func(t model.PolicyTarget) bool { return !t.Kind.OfFlows() }) {
		return
	}
	for i := range routeFields {
		f := &routeFields[i]
		if v, ok := f.get(routeHalf(p)); !ok || weak(v) || f.name == flowFields[0].name {
			continue
		}
		t.tell(model.Problem{
			Origin: p.At(f.group), Code: "unused",
			Message: p.Name + " says " + f.name + " for " + p.Targets[0].String() + ", which has connections, not requests",
			Hint:    "leave it out; of connections a policy says the priority",
		})
	}
}
