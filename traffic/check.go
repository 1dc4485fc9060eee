package traffic

import (
	"cmp"
	"fmt"
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

// Problems tells what policies say in vain, or what comes of them that cannot be
// meant: of what the last Lower was given.
func (l *Lowering) Problems(c *model.Config) []model.Problem {
	t := &teller{index: l.index, used: map[*model.TrafficPolicy]bool{}, over: map[*model.TrafficPolicy]string{}, said: map[said]int{}}
	if len(c.Traffic) == 0 {
		return nil
	}
	t.index.met = [2]map[model.PolicyTarget]bool{{}, {}}
	defer func() { t.index.met = [2]map[model.PolicyTarget]bool{} }()
	byName := make(map[string]*model.Service, len(c.Services))
	for _, s := range c.Services {
		byName[s.Name] = s
	}
	find := func(name string) *model.Service { return byName[name] }
	for _, s := range c.Services {
		l.steps = l.index.ofService(s, l.steps[:0])
		if d := l.services[s.Name]; d != nil {
			m := &d.made[0]
			t.look(reflect.ValueOf(s).Elem(), "service "+s.Name, m.by, serviceFields, serviceHalf, skipOf(s), m.problems)
		}
	}
	for _, r := range c.Routes {
		for _, parent := range r.Parents {
			l.steps = l.index.ofRoute(r, parent, find, l.steps[:0])
		}
		if d := l.routes[r.Name]; d != nil {
			for i := range d.made {
				m := &d.made[i]
				t.look(reflect.ValueOf(r).Elem(), "route "+r.Name, m.by, routeFields, routeHalf, nil, m.problems)
			}
		}
	}
	for _, p := range c.Traffic {
		t.policy(c, p)
	}
	t.conflicts(l.index.routes, routeFields, routeHalf)
	t.conflicts(l.index.services, serviceFields, serviceHalf)
	return t.problems
}

// teller collects Problems.
type teller struct {
	index    *index
	used     map[*model.TrafficPolicy]bool
	over     map[*model.TrafficPolicy]string // who says what a policy says
	said     map[said]int
	problems []model.Problem
}

// said is a Problem that is told once for all nouns.
type said struct {
	at   model.Origin
	code string
}

func (t *teller) tell(p model.Problem) {
	p.Severity = cmp.Or(p.Severity, model.Doubtful)
	key := said{p.Origin, p.Code}
	if t.said[key]++; t.said[key] == 1 {
		t.problems = append(t.problems, p)
	}
}

// look notes which policies count at a noun, and who is in the way of the others.
func (t *teller) look(noun reflect.Value, name string, by *merged, fields []field, of half, skip func(*field) bool, problems []model.Problem) {
	for _, p := range problems {
		p.Severity = model.Doubtful // what is used instead serves
		t.tell(p)
	}
	if by == nil {
		return
	}
	giver := map[int]*model.TrafficPolicy{}
	for i := range by.given {
		g := &by.given[i]
		if counts(noun, &fields[g.field], g, fields, skip) {
			giver[g.field] = g.policy
			t.used[g.policy] = true
		}
	}
	for _, g := range by.mixed {
		t.used[g.policy] = true // or would be
		t.tell(model.Problem{
			Origin: g.policy.At(fields[g.field].group), Code: "mixed-policies",
			Message: fmt.Sprintf("%s says %s for %s, and %s leads to other services too, of which not all say the same: there it does not count", g.policy.Name, fields[g.field].name, g.target(), name),
			Hint:    "say it for all of these services, or for the route",
		})
	}
	for i := range by.steps {
		p := by.steps[i].policy
		if p == nil || t.used[p] || t.over[p] != "" {
			continue
		}
		for j := range fields {
			if _, ok := fields[j].get(of(p)); !ok {
				continue
			}
			t.over[p] = name
			if q := giver[j]; q != nil {
				t.over[p] = q.Name
			}
			break
		}
	}
}

// policy tells of one that is for nothing, or has nothing to say.
func (t *teller) policy(c *model.Config, p *model.TrafficPolicy) {
	met := 0
	for _, target := range p.Targets {
		if p.Route != nil && t.index.met[0][target] || p.Service != nil && t.index.met[1][target] {
			met++
			continue
		}
		message, hint := missing(c, p, target)
		t.problems = append(t.problems, model.Problem{
			Origin: p.At("target " + target.String()), Severity: model.Doubtful, Code: "unused-policy", Message: p.Name + " is for " + target.String() + ", and " + message, Hint: hint,
			Condition: "Accepted", Reason: "TargetNotFound",
		})
	}
	if met > 0 && !t.used[p] {
		if by := t.over[p]; by != "" {
			t.tell(model.Problem{
				Origin: p.Origin, Code: "overridden-policy", Message: p.Name + " can never apply: all that it says is said nearer to what it is for, as by " + by,
				Hint: "leave it out, or leave out there what this is to say",
			})
		}
	}
}

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
			return "no request comes there", ""
		}
		message = "that has no such part"
		if len(names) == 0 {
			return message, "its parts have no names"
		}
	case len(sections) > 0:
		return "no request comes there", ""
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

// conflicts tells of fields that two policies say for one target.
func (t *teller) conflicts(of map[model.PolicyTarget][]*model.TrafficPolicy, fields []field, half half) {
	for target, list := range of {
		for i, p := range list[1:] {
			for j := range fields {
				f := &fields[j]
				v, ok := f.get(half(p))
				if !ok || weak(v) {
					continue
				}
				for _, older := range list[:i+1] {
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
