package traffic

import (
	"reflect"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// Setting is a field that counts at a noun, and who gives it.
type Setting struct {
	Field string `json:"field"`
	Value string `json:"value"`
	// By is "route NAME" or "service NAME" where the noun says it itself, else the
	// policy and what that is for: "TrafficPolicy shop/patient for namespace shop";
	// "default" where nobody does (RouteDefaults).
	By     string       `json:"by"`
	Own    bool         `json:"own,omitempty"` // the noun says it itself
	Origin model.Origin `json:"origin"`
}

// Route tells what is said of a Route of the last Lower, be it what came out or
// what went in: what is not said has its default.
func (l *Lowering) Route(r *model.Route) []Setting {
	d, by := found(&l.routes, r, r.Name, func(r *model.Route) string { return r.Name })
	from := r
	if d != nil {
		from = d.from
	}
	return settings(reflect.ValueOf(from).Elem(), reflect.ValueOf(r).Elem(), by, routeFields, "route "+from.Name, from.Origin)
}

// found gives what became of a noun's origin, and the chain that it was made by.
// One of several is called after a listener, too. nil: the noun is as it was
// written.
func found[T any](of *last[T], noun *T, name string, nameOf func(*T) string) (*done[T], *merged) {
	d := of.of(name, nameOf)
	for i := len(name) - 1; i > 0 && d == nil; i-- {
		if name[i] == '@' {
			d = of.of(name[:i], nameOf)
		}
	}
	if d != nil {
		for i := range d.made {
			if d.made[i].noun == noun {
				return d, d.made[i].by
			}
		}
	}
	return nil, nil
}

// Service is Route for a Service.
func (l *Lowering) Service(s *model.Service) []Setting {
	var by *merged
	from := s
	if d := l.services.of(s.Name, func(s *model.Service) string { return s.Name }); d != nil && d.made[0].noun == s {
		by, from = d.made[0].by, d.from
	}
	return settings(reflect.ValueOf(from).Elem(), reflect.ValueOf(s).Elem(), by, serviceFields, "service "+from.Name, from.Origin)
}

// settings compares what was written with what came of it.
func settings(written, noun reflect.Value, by *merged, fields []field, self string, at model.Origin) (all []Setting) {
	for i := range fields {
		f := &fields[i]
		v, ok := f.get(noun)
		if !ok || weak(v) {
			continue
		}
		s := Setting{Field: f.name, Value: f.said(v), By: self, Own: true, Origin: at}
		if own, ok := f.get(written); (!ok || weak(own)) && by != nil {
			if j := slices.IndexFunc(by.given, func(g given) bool { return g.field == i }); j >= 0 {
				g := &by.given[j]
				s.Own, s.By, s.Origin = false, g.policy.Name, g.policy.At(f.group)
				if g.policy.Origin.Object != "" { // else the name says it
					s.By += " for " + g.policy.Targets[g.target].String()
				}
			}
		}
		all = append(all, s)
	}
	return all
}
