package traffic

import (
	"reflect"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// Lowering joins one Config after another with its policies. The zero Lowering
// is ready; it is for one goroutine.
type Lowering struct {
	index    *index
	policies []*model.TrafficPolicy // that index is of
	services last[model.Service]
	routes   last[model.Route]
	flows    last[model.Flow]
	met      *met                      // of the last Problems
	find     map[string]*model.Service // of this call
	steps    []step                    // scratch
	chains   [kinds]map[ends][]*merged // so that nouns share them
}

// Kinds of nouns.
const (
	ofServices = iota
	ofRoutes
	ofFlows

	kinds
)

// last is the list of the last call, sorted by name, and what became of each; nil
// where no policy is for it.
type last[T any] struct {
	list []*T
	done []*done[T]
}

// done is what became of a noun: nearly always one, but for a Route that came in
// through Gateways whose policies differ.
type done[T any] struct {
	from *T
	made []made[T]
}

// made is one noun, and the chain that it was made by; nil: there is none.
type made[T any] struct {
	by   *merged
	noun *T
	// problems are what is wrong because of the policies, and not without.
	problems []model.Problem
}

// Lower gives c with what its policies say in the nouns. c must be valid, its
// lists sorted by name; it is not written to, and is given back where nothing
// changes.
func (l *Lowering) Lower(c *model.Config) *model.Config {
	same := l.index != nil && slices.Equal(l.policies, c.Traffic)
	if !same {
		l.index, l.policies = newIndex(c.Traffic), slices.Clone(c.Traffic)
		l.chains = [kinds]map[ends][]*merged{{}, {}, {}}
	}
	known := same && slices.EqualFunc(l.services.list, c.Services, sameSubject)
	l.find = map[string]*model.Service{}
	if len(l.index.routes) > 0 {
		for _, s := range c.Services {
			l.find[s.Name] = s
		}
	}
	out := *c
	out.Services = lowerAll(c.Services, &l.services, same, func(s *model.Service) string { return s.Name }, l.service)
	out.Routes = lowerAll(c.Routes, &l.routes, known, func(r *model.Route) string { return r.Name }, l.route)
	out.Flows = lowerAll(c.Flows, &l.flows, known, func(f *model.Flow) string { return f.Name }, l.flow)
	l.find = nil
	if len(out.Routes) != len(c.Routes) {
		slices.SortStableFunc(out.Routes, func(a, b *model.Route) int { return strings.Compare(a.Name, b.Name) })
	}
	if len(out.Flows) != len(c.Flows) {
		slices.SortStableFunc(out.Flows, func(a, b *model.Flow) int { return strings.Compare(a.Name, b.Name) })
	}
	if slices.Equal(out.Services, c.Services) && slices.Equal(out.Routes, c.Routes) && slices.Equal(out.Flows, c.Flows) {
		return c
	}
	return &out
}

// sameSubject says whether a Service is the same as far as Routes look at it.
func sameSubject(a, b *model.Service) bool {
	return a == b || a.Name == b.Name && a.Local == b.Local && subjectOf(a) == subjectOf(b)
}

// lowerAll lowers the nouns of a list, both sorted by name. same: what became of
// a noun at the last call would become of it again.
func lowerAll[T any](list []*T, was *last[T], same bool, name func(*T) string, one func(*T, *done[T]) *done[T]) []*T {
	out := make([]*T, 0, len(list))
	now := last[T]{slices.Clone(list), make([]*done[T], len(list))}
	at := 0
	for i, x := range list {
		for at < len(was.list) && was.list[at] != x && name(was.list[at]) < name(x) {
			at++
		}
		var before *done[T]
		kept := false
		if at < len(was.list) && name(was.list[at]) == name(x) {
			before, kept = was.done[at], same && was.list[at] == x
		}
		if kept {
			now.done[i] = before
		} else {
			now.done[i] = one(x, before)
		}
		if now.done[i] == nil {
			out = append(out, x)
			continue
		}
		for j := range now.done[i].made {
			out = append(out, now.done[i].made[j].noun)
		}
	}
	*was = now
	return out
}

// of finds what became of the noun with a name.
func (l *last[T]) of(name string, nameOf func(*T) string) *done[T] {
	i, ok := slices.BinarySearchFunc(l.list, name, func(x *T, n string) int { return strings.Compare(nameOf(x), n) })
	if !ok {
		return nil
	}
	return l.done[i]
}

// service lowers one, or gives before.
func (l *Lowering) service(s *model.Service, before *done[model.Service]) *done[model.Service] {
	l.steps = l.index.ofService(s, l.steps[:0])
	if len(l.steps) == 0 && (s.Health == nil || s.Health.Kind != model.HealthOff) {
		return nil
	}
	by := l.chain(ofServices, serviceFields, serviceHalf)
	if before != nil && before.from == s && before.made[0].by.same(by) {
		return before
	}
	m := made[model.Service]{by: by}
	m.judge(s, serviceFields, skipOf(s), func(x *model.Service) (*model.Service, []model.Problem) {
		return model.CheckService(settledService(s, x))
	}, serviceTold(s.Name))
	m.noun = settledService(s, m.noun)
	return &done[model.Service]{s, []made[model.Service]{m}}
}

// skipOf says which fields of policies are not for a Service: health is not
// asked for where the workload's own node tells of it.
func skipOf(s *model.Service) func(*field) bool {
	if s.Identity == "" {
		return nil
	}
	return func(f *field) bool { return f.group == "health" }
}

// settledService takes out of an effective Service what means nothing there. was
// is the one that was written.
func settledService(was, s *model.Service) *model.Service {
	h := s.Health
	noHash := len(was.Hash) == 0 && len(s.Hash) > 0 && !s.Balance.Hashes()
	noHealth := h != nil && h.Kind == model.HealthOff
	noTLS := h != nil && h.Kind == model.HealthTLS && s.TLS == nil
	noFactor := was.HashBalanceFactor == 0 && s.HashBalanceFactor != 0 && !s.Balance.Hashes()
	noSubset := was.SubsetSize == 0 && s.SubsetSize != 0 && s.Balance.Hashes()
	if !noHash && !noHealth && !noTLS && !noFactor && !noSubset {
		return s
	}
	out := *s
	if noHash {
		out.Hash = nil
	}
	if noFactor {
		out.HashBalanceFactor = 0
	}
	if noSubset {
		out.SubsetSize = 0
	}
	if noHealth {
		out.Health = nil
	}
	if noTLS {
		tcp := *h
		tcp.Kind = model.HealthTCP
		out.Health = &tcp
	}
	return &out
}

// behind groups the parents of a Route by what policies say of what comes by
// them.
func behind[T any](l *Lowering, r *model.Route, kind int, fields []field) (groups []made[T], parents [][]string) {
	find := func(name string) *model.Service { return l.find[name] }
	for i, parent := range r.Parents {
		if i > 0 && !l.index.gateways {
			break // they are all the same
		}
		l.steps = l.index.ofRoute(r, parent, find, l.steps[:0])
		if kind == ofFlows {
			l.steps = ofConnections(l.steps)
		}
		by := (*merged)(nil)
		if len(l.steps) > 0 {
			by = l.chain(kind, fields, routeHalf)
		}
		at := slices.IndexFunc(groups, func(g made[T]) bool { return g.by == by || alike(r, fields, g.by, by) })
		if at < 0 {
			groups, parents = append(groups, made[T]{by: by}), append(parents, nil)
			at = len(groups) - 1
		}
		parents[at] = append(parents[at], parent)
	}
	return groups, parents
}

// route lowers one, or gives before.
func (l *Lowering) route(r *model.Route, before *done[model.Route]) *done[model.Route] {
	groups, parents := behind[model.Route](l, r, ofRoutes, routeFields)
	if len(groups) <= 1 && (len(groups) == 0 || groups[0].by == nil) && !switchedOff(r) {
		return nil
	}
	if before != nil && before.from == r && slices.EqualFunc(groups, before.made, func(a, b made[model.Route]) bool { return a.by.same(b.by) }) {
		return before
	}
	for i := range groups {
		out := r
		if len(groups) > 1 {
			x := *r
			x.Parents, x.Name = parents[i], part(r.Name, i, parents[i])
			out = &x
		}
		groups[i].judge(out, routeFields, nil, func(x *model.Route) (*model.Route, []model.Problem) {
			return model.CheckRoute(settledRoute(r, x))
		}, routeTold(out.Name))
		groups[i].noun = settledRoute(r, groups[i].noun)
	}
	return &done[model.Route]{r, groups}
}

// part is the name of one of several nouns that became of one.
func part(name string, i int, parents []string) string {
	if i > 0 {
		name += "@" + parents[0]
	}
	return name
}

// switchedOff says whether a Route says of something that there is none.
func switchedOff(r *model.Route) bool {
	return r.Hedge != nil && r.Hedge.Off || r.Session != nil && r.Session.Kind == model.SessionOff
}

// alike says whether two chains come to the same at a route.
func alike(r *model.Route, fields []field, a, b *merged) bool {
	noun := reflect.ValueOf(r).Elem()
	counting := func(m *merged) (list []given) {
		if m != nil {
			list = slices.DeleteFunc(slices.Clone(m.given), func(g given) bool { return !counts(noun, &fields[g.field], &g, fields, nil) })
		}
		return list
	}
	return slices.EqualFunc(counting(a), counting(b), func(a, b given) bool { return a.field == b.field && a.policy == b.policy })
}

// settledRoute takes out of an effective Route what means nothing there. was is
// the one that was written.
func settledRoute(was, r *model.Route) *model.Route {
	noHedge := was.Hedge == nil && r.Hedge != nil && r.Retry != nil && r.Retry.Attempts == 0
	if !switchedOff(r) && !noHedge {
		return r
	}
	out := *r
	if out.Hedge != nil && (out.Hedge.Off || noHedge) {
		out.Hedge = nil
	}
	if out.Session != nil && out.Session.Kind == model.SessionOff {
		out.Session = nil
	}
	return &out
}

// ends tell nearly all chains apart.
type ends struct {
	n           int
	first, last step
}

// chain merges l.steps, or gives what has been merged of the same.
func (l *Lowering) chain(kind int, fields []field, of half) *merged {
	var key ends
	if n := len(l.steps); n > 0 {
		key = ends{n, l.steps[0], l.steps[n-1]}
	}
	for _, m := range l.chains[kind][key] {
		if slices.Equal(m.steps, l.steps) {
			return m
		}
	}
	m := merge(l.steps, fields, of)
	l.chains[kind][key] = append(l.chains[kind][key], m)
	return m
}
