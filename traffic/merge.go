package traffic

import (
	"reflect"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// given is a field that a chain gives.
type given struct {
	field int
	value reflect.Value
	aimed
	level Level
}

// merged is what a chain comes to. It is not written to once it is made.
type merged struct {
	steps []step
	given []given
	// mixed are fields that a service's policy says and that do not count,
	// because another service of the route does not say the same.
	mixed []given
}

// same says whether two chains are of the same steps.
func (m *merged) same(o *merged) bool {
	return m == o || m != nil && o != nil && slices.Equal(m.steps, o.steps)
}

// half gives what a policy says of one kind of noun; not valid: nothing.
type half func(*model.TrafficPolicy) reflect.Value

func routeHalf(p *model.TrafficPolicy) reflect.Value   { return reflect.ValueOf(p.Route).Elem() }
func serviceHalf(p *model.TrafficPolicy) reflect.Value { return reflect.ValueOf(p.Service).Elem() }

// weak says of a value that it counts only where nothing else is said.
func weak(v reflect.Value) bool { return v.Interface() == model.AsRequest }

// merge joins the steps of a chain, which are not kept.
func merge(steps []step, fields []field, of half) *merged {
	m := &merged{steps: slices.Clone(steps)}
	for i := range fields {
		m.merge(i, &fields[i], of)
	}
	m.untangle(fields)
	return m
}

// merge finds who gives a field.
func (m *merged) merge(i int, f *field, of half) {
	var last *given // weak
	for at := 0; at < len(m.steps); {
		to := at + 1
		for to < len(m.steps) && ofService(m.steps[at].level) && ofService(m.steps[to].level) {
			to++
		}
		g, split := together(m.steps[at:to], f, of)
		at = to
		switch {
		case g == nil:
		case split && weak(g.value): // nobody has written it
		case split:
			g.field = i
			m.mixed = append(m.mixed, *g)
		case weak(g.value):
			if g.field = i; last == nil {
				last = g
			}
		default:
			g.field = i
			m.given = append(m.given, *g)
			return
		}
	}
	if last != nil {
		m.given = append(m.given, *last)
	}
}

func ofService(l Level) bool { return l == Port || l == Service }

// together gives what steps say of a field, nil where they say nothing; where
// they are of several backends, what all of these say. split: they do not say the
// same.
func together(steps []step, f *field, of half) (g *given, split bool) {
	for from := 0; from < len(steps); {
		to := from + 1
		for to < len(steps) && steps[to].backend == steps[from].backend {
			to++
		}
		one := nearest(steps[from:to], f, of)
		switch {
		case from == 0:
			g = one
		case one == nil && g == nil:
		case one == nil:
			return g, true
		case g == nil:
			return one, true
		case !reflect.DeepEqual(g.value.Interface(), one.value.Interface()):
			if weak(one.value) {
				return g, true // that is what was written
			}
			return one, true
		}
		from = to
	}
	return g, false
}

func nearest(steps []step, f *field, of half) *given {
	for i := range steps {
		s := &steps[i]
		if s.policy == nil {
			continue
		}
		if v, ok := f.get(of(s.policy)); ok {
			return &given{value: v, aimed: s.aimed, level: s.level}
		}
	}
	return nil
}

// untangle takes out what no longer means anything: that endpoints are not
// ejected, where something nearer says how they are.
func (m *merged) untangle(fields []field) {
	near := levels
	for i := range m.given {
		if g := &m.given[i]; fields[g.field].group == "ejection" && fields[g.field].name != ejectionOff {
			near = min(near, g.level)
		}
	}
	m.given = slices.DeleteFunc(m.given, func(g given) bool { return fields[g.field].name == ejectionOff && near < g.level })
}

// ejectionOff is the field that says that no endpoint is ejected.
const ejectionOff = "ejection.off"

// apply gives noun with what m gives, noun itself where that changes nothing.
func apply[T any](noun *T, m *merged, fields []field, skip func(*field) bool) *T {
	var out *T
	var to reflect.Value
	var own uint64
	from := reflect.ValueOf(noun).Elem()
	for i := range m.given {
		g := &m.given[i]
		f := &fields[g.field]
		if !counts(from, f, g, fields, skip) {
			continue
		}
		if out == nil {
			x := *noun
			out, to = &x, reflect.ValueOf(&x).Elem()
		}
		f.set(to, g.value, &own)
	}
	if out == nil {
		return noun
	}
	return out
}

// counts says whether what a policy gives counts at a noun.
func counts(noun reflect.Value, f *field, g *given, all []field, skip func(*field) bool) bool {
	if skip != nil && skip(f) {
		return false
	}
	if v, ok := f.get(noun); ok && (!weak(v) || weak(g.value)) {
		return false
	}
	if f.name == ejectionOff {
		for i := range all {
			if _, ok := all[i].get(noun); ok && all[i].group == "ejection" {
				return false
			}
		}
	}
	return true
}
