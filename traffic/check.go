package traffic

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// judge sets the noun and what is wrong with it: fields that are right by
// themselves may contradict each other once they meet. What cannot be is left out,
// as Validate does it. told says whether that is so of a policy by itself, of
// which Validate has told.
func (m *made[T]) judge(written *T, fields []field, skip func(*field) bool, check func(*T) (*T, []model.Problem), told func(*model.TrafficPolicy, model.Problem) bool) {
	m.noun = written
	if m.by == nil {
		return
	}
	out := apply(written, m.by, fields, skip)
	if out == written {
		return
	}
	good, problems := check(out)
	m.noun = good
	if len(problems) == 0 {
		return
	}
	_, own := check(written)
	for _, p := range problems {
		if has(own, p) {
			continue
		}
		var blamed *model.TrafficPolicy
		// To blame is the field without which it would not be.
		for i := range m.by.given {
			without := &merged{given: slices.Delete(slices.Clone(m.by.given), i, i+1)}
			if _, left := check(apply(written, without, fields, skip)); has(left, p) {
				continue
			}
			g := &m.by.given[i]
			p.Origin, blamed = g.policy.At(fields[g.field].group), g.policy
			break
		}
		if blamed == nil || !told(blamed, p) {
			m.problems = append(m.problems, p)
		}
	}
}

// routeTold and serviceTold say whether Validate has told the same of a policy by
// itself.
func routeTold(called string) func(*model.TrafficPolicy, model.Problem) bool {
	return func(p *model.TrafficPolicy, problem model.Problem) bool {
		alone := *p.Route
		alone.Name = called
		_, problems := model.CheckRoute(&alone)
		return has(problems, problem)
	}
}

func serviceTold(called string) func(*model.TrafficPolicy, model.Problem) bool {
	return func(p *model.TrafficPolicy, problem model.Problem) bool {
		alone := *p.Service
		alone.Name = called
		_, problems := model.CheckService(&alone)
		return has(problems, problem)
	}
}

// has looks for the same mistake, whatever it is said to come to.
func has(list []model.Problem, p model.Problem) bool {
	return slices.ContainsFunc(list, func(o model.Problem) bool { return o.Code == p.Code && o.Message == p.Message })
}

// Problems tells what policies, routes and services say in vain, or what comes of
// them where they meet that cannot be meant: of c, which the last Lower was given.
func (l *Lowering) Problems(c *model.Config) []model.Problem {
	t := &teller{met: map[aimed]bool{}, used: map[*model.TrafficPolicy]bool{}, over: map[*model.TrafficPolicy]string{}, said: map[said]bool{}, seen: map[*merged]bool{}}
	if len(c.Traffic) == 0 {
		t.meetings(l, c, nil)
		return t.problems
	}
	mesh := l.meshRoutes(c)
	each := func(one func(*teller, *judged)) {
		t.all(l, one)
		for i := range mesh {
			one(t, &mesh[i])
		}
	}
	each((*teller).look)
	if slices.ContainsFunc(c.Traffic, func(p *model.TrafficPolicy) bool { return !t.used[p] }) {
		each((*teller).instead)
	}
	for _, p := range c.Traffic {
		t.policy(c, p)
		t.requests(p)
	}
	t.rollouts(l, c)
	t.conflicts(l.index.routes, routeFields, routeHalf)
	t.conflicts(l.index.services, serviceFields, serviceHalf)
	t.meetings(l, c, mesh)
	return t.problems
}

// meshRoutes are those by which nodes will call the services of the mesh, as
// package mesh makes them.
func (l *Lowering) meshRoutes(c *model.Config) (all []judged) {
	for _, s := range c.Services {
		if s.Mesh == nil {
			continue
		}
		r := &model.Route{Timeouts: model.Timeouts{Backend: model.AsRequest}, Subject: subjectOf(s)}
		r.Subject.Kind = model.TargetService
		if l.steps = l.index.ofRoute(r, "", nil, l.steps[:0]); len(l.steps) == 0 {
			continue
		}
		m := made[model.Route]{by: l.chain(ofRoutes, routeFields, routeHalf)}
		r.Name = "to " + s.Name
		m.judge(r, routeFields, nil, func(x *model.Route) (*model.Route, []model.Problem) {
			return model.CheckRoute(settledRoute(r, x))
		}, routeTold(r.Name))
		all = append(all, judged{reflect.ValueOf(r).Elem(), "calls of service " + s.Name, m.by, routeFields, routeHalf, nil, m.problems, m.noun, s.Name})
	}
	return all
}

// teller collects Problems.
type teller struct {
	met      map[aimed]bool
	used     map[*model.TrafficPolicy]bool
	over     map[*model.TrafficPolicy]string // who says what a policy says
	said     map[said]bool
	seen     map[*merged]bool
	problems []model.Problem
}

// said is a Problem that is told once for all nouns.
type said struct {
	at   model.Origin
	code string
}

func (t *teller) tell(p model.Problem) {
	p.Severity = cmp.Or(p.Severity, model.Doubtful)
	if key := (said{p.Origin, p.Code}); !t.said[key] {
		t.said[key] = true
		t.problems = append(t.problems, p)
	}
}

// judged is a noun that policies are for.
type judged struct {
	noun     reflect.Value
	name     string
	by       *merged
	fields   []field
	of       half
	skip     func(*field) bool
	problems []model.Problem

	out     *model.Route // of calls in the mesh: as it counts
	service string       // that is called
}

// all calls one for each noun that policies are for.
func (t *teller) all(l *Lowering, one func(*teller, *judged)) {
	for i, s := range l.services.list {
		if d := l.services.done[i]; d != nil {
			m := &d.made[0]
			one(t, &judged{reflect.ValueOf(s).Elem(), "service " + s.Name, m.by, serviceFields, serviceHalf, skipOf(s), m.problems, nil, ""})
		}
	}
	for i, r := range l.routes.list {
		if d := l.routes.done[i]; d != nil {
			for k := range d.made {
				if m := &d.made[k]; m.by != nil {
					one(t, &judged{reflect.ValueOf(r).Elem(), "route " + r.Name, m.by, routeFields, routeHalf, nil, m.problems, nil, ""})
				}
			}
		}
	}
	for i, f := range l.flows.list {
		if d := l.flows.done[i]; d != nil {
			noun := reflect.ValueOf(asRoute(f)).Elem()
			for k := range d.made {
				if m := &d.made[k]; m.by != nil {
					one(t, &judged{noun, "flow " + f.Name, m.by, flowFields, routeHalf, nil, nil, nil, ""})
				}
			}
		}
	}
}

// look notes which policies count at a noun.
func (t *teller) look(x *judged) {
	for _, p := range x.problems {
		p.Severity = model.Doubtful // what is used instead serves
		t.tell(p)
	}
	for i := range x.by.given {
		if g := &x.by.given[i]; !t.used[g.policy] && counts(x.noun, &x.fields[g.field], g, x.fields, x.skip) {
			t.used[g.policy] = true
		}
	}
	if t.seen[x.by] {
		return
	}
	t.seen[x.by] = true
	for i := range x.by.steps {
		t.met[x.by.steps[i].aimed] = true
	}
	for _, g := range x.by.mixed {
		t.used[g.policy] = true // or would be
		f := &x.fields[g.field]
		t.tell(model.Problem{
			Origin: g.policy.At(f.group), Code: "mixed-policies",
			Message: fmt.Sprintf("%s says %s for %s, and %s leads to other services too, of which not all say the same: there it does not count", g.policy.Name, f.name, g.policy.Targets[g.target], x.name),
			Hint:    "say it for all of these services, or for the route",
		})
	}
}

// instead notes who is in the way of policies that count nowhere.
func (t *teller) instead(x *judged) {
	for i := range x.by.steps {
		p := x.by.steps[i].policy
		if p == nil || t.used[p] || t.over[p] != "" {
			continue
		}
		for j := range x.fields {
			if _, ok := x.fields[j].get(x.of(p)); !ok {
				continue
			}
			t.over[p] = x.name
			k := slices.IndexFunc(x.by.given, func(g given) bool { return g.field == j && counts(x.noun, &x.fields[j], &g, x.fields, x.skip) })
			if k >= 0 && x.by.given[k].policy != p {
				t.over[p] = x.by.given[k].policy.Name
			}
			break
		}
	}
}

// policy tells of one that is for nothing, or has nothing to say.
func (t *teller) policy(c *model.Config, p *model.TrafficPolicy) {
	met := 0
	for i, target := range p.Targets {
		if t.met[aimed{p, i}] || slices.Contains(p.Targets[:i], target) {
			met++
			continue
		}
		message, hint := missing(c, p, target)
		t.problems = append(t.problems, model.Problem{
			Origin: p.At("target " + target.String()), Severity: model.Doubtful, Code: "unused-policy", Message: p.Name + " is for " + target.String() + ", and " + message, Hint: hint,
			Condition: "Accepted", Reason: "TargetNotFound",
		})
	}
	if by := t.over[p]; met > 0 && by != "" {
		about := ""
		if p.Service == nil && p.Targets[0].Kind == model.TargetService { // one of the short form has endpoints besides
			about = " of requests"
		}
		t.tell(model.Problem{
			Origin: p.Origin, Code: "overridden-policy", Message: "what " + p.Name + " says" + about + " can never apply: all of it is said nearer to what it is for, as by " + by,
			Hint: "leave it out, or leave out there what this is to say",
		})
	}
}

// leadThere is the hint where what a policy is for gets no request.
const leadThere = "let a route lead there, or leave it out"

// missing says why a target meets nothing.
func missing(c *model.Config, p *model.TrafficPolicy, t model.PolicyTarget) (message, hint string) {
	var names []string
	sections := []string{}
	note := func(kind model.TargetKind, namespace, name, section string) {
		if kind != t.Kind {
			return
		}
		if namespace == t.Namespace && name == t.Name {
			sections = append(sections, section)
		}
		if kind == model.TargetNamespace {
			name = namespace
		} else if namespace != t.Namespace {
			return
		}
		names = append(names, name)
	}
	for _, s := range c.Services {
		sub := subjectOf(s)
		note(model.TargetService, sub.Namespace, sub.Name, sub.Section)
		if p.Service != nil {
			note(model.TargetNamespace, sub.Namespace, "", "")
		}
	}
	for _, r := range c.Routes {
		namespace := cmp.Or(r.Subject.Namespace, model.DefaultNamespace)
		note(r.Subject.Kind, namespace, r.Subject.Name, r.Subject.Section)
		if p.Route != nil {
			note(model.TargetNamespace, namespace, "", "")
		}
	}
	for _, f := range c.Flows {
		note(f.Subject.Kind, cmp.Or(f.Subject.Namespace, model.DefaultNamespace), f.Subject.Name, f.Subject.Section)
	}
	for _, x := range c.Listeners {
		if namespace, rest, ok := strings.Cut(x.Name, "/"); ok && x.Mesh == nil {
			name, listener, _ := strings.Cut(rest, "/")
			note(model.TargetGateway, namespace, name, listener)
		}
	}
	wanted := t.Name
	switch {
	case t.Kind == model.TargetMesh:
		return "there is nothing that it could be said of", ""
	case t.Section != "" && len(sections) > 0:
		wanted, names = t.Section, slices.DeleteFunc(sections, func(s string) bool { return s == "" })
		if slices.Contains(names, t.Section) {
			return "no request comes there", leadThere
		}
		message = "that has no such part"
		if len(names) == 0 {
			return message, "its parts have no names"
		}
	case len(sections) > 0:
		return "no request comes there", leadThere
	case t.Kind == model.TargetNamespace:
		wanted, message = t.Namespace, "nothing that is served is there"
	case t.Kind == model.TargetService:
		message = "no route that is served leads to one of that name"
	default:
		message = "nothing that is served has that name"
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if near := model.Nearest(wanted, names); near != "" {
		return message, "did you mean " + near + "?"
	}
	if len(names) > 0 && len(names) <= 5 {
		return message, "there is " + strings.Join(names, ", ")
	}
	return message, ""
}

// rollouts tells of those that move nothing, though their policies count.
func (t *teller) rollouts(l *Lowering, c *model.Config) {
	moves := map[string]bool{}
	for _, d := range l.routes.done {
		if d == nil {
			continue
		}
		for i := range d.made {
			r := d.made[i].noun
			if o := r.Rollout; o != nil && leads(r, func(b *model.Backend) bool { return b.Service == o.To }) &&
				leads(r, func(b *model.Backend) bool { return b.Service != o.To && b.Weight > 0 }) {
				moves[o.Name] = true
			}
		}
	}
	for _, p := range c.Traffic {
		if p.Route == nil || p.Route.Rollout == nil || !t.used[p] || moves[p.Route.Rollout.Name] {
			continue
		}
		t.tell(model.Problem{
			Origin: p.At("rollout"), Code: "unused-rollout",
			Message: "the rollout of " + p.Name + " moves nothing: no rule that it is for leads both to " + p.Route.Rollout.To + " and elsewhere; the requests go where they went",
			Hint:    "name the new version among the rule's backendRefs, with weight 0, beside what serves now",
		})
	}
}

func leads(r *model.Route, to func(*model.Backend) bool) bool {
	for i := range r.Backends {
		if to(&r.Backends[i]) {
			return true
		}
	}
	return false
}

// conflicts tells of fields that two policies say for one target.
func (t *teller) conflicts(of map[model.PolicyTarget][]aimed, fields []field, half half) {
	targets := slices.SortedFunc(maps.Keys(of), func(a, b model.PolicyTarget) int { return strings.Compare(a.String(), b.String()) })
	for _, target := range targets {
		list := of[target]
		for i := range list[1:] {
			p := list[i+1].policy
			for j := range fields {
				f := &fields[j]
				v, ok := f.get(half(p))
				if !ok || weak(v) {
					continue
				}
				for _, one := range list[:i+1] {
					older := one.policy
					w, ok := f.get(half(older))
					if !ok || weak(w) {
						continue
					}
					if !reflect.DeepEqual(v.Interface(), w.Interface()) {
						t.tell(model.Problem{
							Origin: p.At(f.group), Code: "conflict",
							Message:   fmt.Sprintf("%s says %s %s for %s, and %s, which goes before it, says %s: that counts", p.Name, f.name, text(v), target, older.Name, text(w)),
							Hint:      "of two policies the older counts; let one of them say it",
							Condition: "Accepted", Reason: "Conflicted",
						})
					}
					break
				}
			}
		}
	}
}
