package control

import (
	"cmp"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// kind is what merging needs to know of a kind of noun.
type kind[T any] struct {
	word   string
	name   func(T) string
	origin func(T) model.Origin
}

var (
	listeners = kind[*model.Listener]{"listener",
		func(l *model.Listener) string { return l.Name }, func(l *model.Listener) model.Origin { return l.Origin }}
	routes = kind[*model.Route]{"route",
		func(r *model.Route) string { return r.Name }, func(r *model.Route) model.Origin { return r.Origin }}
	flows = kind[*model.Flow]{"flow",
		func(f *model.Flow) string { return f.Name }, func(f *model.Flow) model.Origin { return f.Origin }}
	services = kind[*model.Service]{"service",
		func(s *model.Service) string { return s.Name }, func(s *model.Service) model.Origin { return s.Origin }}
	certificates = kind[*model.Certificate]{"certificate",
		func(c *model.Certificate) string { return c.Name }, func(c *model.Certificate) model.Origin { return c.Origin }}
	workloads = kind[*model.Workload]{"workload",
		func(w *model.Workload) string { return w.Name }, func(w *model.Workload) model.Origin { return w.Origin }}
	policies = kind[*model.Policy]{"policy",
		func(p *model.Policy) string { return p.Name }, func(p *model.Policy) model.Origin { return p.Origin }}
	traffics = kind[*model.TrafficPolicy]{"traffic policy",
		func(p *model.TrafficPolicy) string { return p.Name }, func(p *model.TrafficPolicy) model.Origin { return p.Origin }}
)

// merge joins fragments. Of two nouns with one name the first serves: that of
// the earlier source, then of the earlier document, then of the earlier
// dialect; the second gets a Problem. The lists are sorted by name; o is what
// the last merge left, or zero.
func merge(fragments []*model.Fragment, documents []source.Document, o *orders) (*model.Config, []model.Problem) {
	m := merger{rank: ranks(documents)}
	c := &model.Config{}
	for _, f := range fragments {
		c.Listeners = append(c.Listeners, f.Listeners...)
		c.Routes = append(c.Routes, f.Routes...)
		c.Flows = append(c.Flows, f.Flows...)
		c.Services = append(c.Services, f.Services...)
		c.Certificates = append(c.Certificates, f.Certificates...)
		c.Workloads = append(c.Workloads, f.Workloads...)
		c.Policies = append(c.Policies, f.Policies...)
		c.Traffic = append(c.Traffic, f.Traffic...)
		if c.Mesh == nil { // the first that says anything
			c.Mesh = f.Mesh
		}
	}
	c.Listeners = unique(&m, listeners, sortAgain(&o.listeners, listeners, c.Listeners))
	c.Routes = unique(&m, routes, sortAgain(&o.routes, routes, c.Routes))
	c.Flows = unique(&m, flows, sortAgain(&o.flows, flows, c.Flows))
	c.Services = unique(&m, services, sortAgain(&o.services, services, c.Services))
	c.Certificates = unique(&m, certificates, sortAgain(&o.certificates, certificates, c.Certificates))
	c.Workloads = unique(&m, workloads, sortAgain(&o.workloads, workloads, c.Workloads))
	c.Policies = unique(&m, policies, sortAgain(&o.policies, policies, c.Policies))
	c.Traffic = unique(&m, traffics, sortAgain(&o.traffic, traffics, c.Traffic))
	c.Settings = m.settings(fragments)
	return c, m.problems
}

type merger struct {
	rank     func(path string) int
	problems []model.Problem
}

// ranks gives each file its place in the order of precedence; what stands in
// no file comes last.
func ranks(documents []source.Document) func(string) int {
	var rank map[string]int // made when first needed: names seldom meet
	return func(path string) int {
		if rank == nil {
			rank = map[string]int{}
			for i, d := range documents {
				if _, ok := rank[d.Path]; !ok {
					rank[d.Path] = i
				}
			}
		}
		if i, ok := rank[path]; ok {
			return i
		}
		return len(documents)
	}
}

// orders are those of the lists in the last merge.
type orders struct {
	listeners, routes, flows, services, certificates, workloads, policies, traffic order
}

// order is how a list came to be sorted.
type order struct {
	names []string // as they came
	at    []int32  // indexes of names, sorted
}

// sortAgain sorts list by name, as byName does. Mostly the names are those of
// the last time, and so is their order.
func sortAgain[T any](o *order, k kind[T], list []T) []T {
	if !slices.EqualFunc(list, o.names, func(x T, name string) bool { return k.name(x) == name }) {
		o.names = o.names[:0]
		for _, x := range list {
			o.names = append(o.names, k.name(x))
		}
		o.at = sorted(o.at[:0], o.names)
	}
	return arranged(list, o.at)
}

// unique leaves the first of each name in a sorted list.
func unique[T any](m *merger, k kind[T], list []T) []T {
	out := list[:0]
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && k.name(list[to]) == k.name(list[from]) {
			to++
		}
		same := list[from:to]
		if len(same) > 1 {
			slices.SortStableFunc(same, func(a, b T) int {
				return cmp.Compare(m.rank(k.origin(a).Source), m.rank(k.origin(b).Source))
			})
			for _, x := range same[1:] {
				m.problems = append(m.problems, model.Problem{
					Origin:   k.origin(x),
					Severity: model.Broken,
					Code:     "duplicate-name",
					Message:  "there is another " + k.word + " named " + k.name(x) + ", at " + cmp.Or(k.origin(same[0]).String(), "an unknown place") + ", and that one serves",
					Hint:     "give one of them another name",
				})
			}
		}
		out = append(out, same[0])
		from = to
	}
	clear(list[len(out):])
	return out
}

// byName gives list sorted by name; equal names keep their order.
func byName[T any](k kind[T], list []T) []T {
	return sortAgain(&order{}, k, list)
}

// sorted appends the indexes of names to at, in their order; equal names keep
// theirs. With the position as the tie-break an unstable sort does, which takes
// half the time.
func sorted(at []int32, names []string) []int32 {
	for i := range names {
		at = append(at, int32(i))
	}
	if !slices.IsSorted(names) {
		slices.SortFunc(at, func(a, b int32) int {
			return cmp.Or(strings.Compare(names[a], names[b]), cmp.Compare(a, b))
		})
	}
	return at
}

// arranged gives list in the order of the indexes.
func arranged[T any](list []T, at []int32) []T {
	out := make([]T, len(list))
	for i, j := range at {
		out[i] = list[j]
	}
	return out
}

// settings takes each from the first that says it.
func (m *merger) settings(fragments []*model.Fragment) (s model.Settings) {
	var all []*model.Settings
	for _, f := range fragments {
		if f.Settings != nil {
			all = append(all, f.Settings)
		}
	}
	slices.SortStableFunc(all, func(a, b *model.Settings) int {
		return cmp.Compare(m.rank(a.Origin.Source), m.rank(b.Origin.Source))
	})
	for i, one := range all {
		if i == 0 {
			s.Origin = one.Origin
		}
		m.take("admin", &s.Admin, one.Admin, one.Origin)
		m.take("accessLog", &s.AccessLog, one.AccessLog, one.Origin)
		m.take("accessLogFile", &s.AccessLogFile, one.AccessLogFile, one.Origin)
		switch {
		case one.Overload == nil:
		case s.Overload == nil:
			s.Overload = one.Overload
		case *s.Overload != *one.Overload:
			m.twice("overload", "otherwise", one.Origin)
		}
	}
	return s
}

func (m *merger) take(name string, into *string, value string, at model.Origin) {
	switch {
	case value == "" || value == *into:
	case *into == "":
		*into = value
	default:
		m.twice(name, "to "+*into, at)
	}
}

func (m *merger) twice(name, as string, at model.Origin) {
	m.problems = append(m.problems, model.Problem{
		Origin:   at,
		Severity: model.Doubtful,
		Code:     "duplicate-setting",
		Message:  name + " is set " + as + " elsewhere, and that counts",
		Hint:     "set it in one place",
	})
}
