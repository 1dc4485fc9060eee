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
	services = kind[*model.Service]{"service",
		func(s *model.Service) string { return s.Name }, func(s *model.Service) model.Origin { return s.Origin }}
	certificates = kind[*model.Certificate]{"certificate",
		func(c *model.Certificate) string { return c.Name }, func(c *model.Certificate) model.Origin { return c.Origin }}
)

// merge joins fragments. Of two nouns with one name the first serves: that of
// the earlier source, then of the earlier document, then of the earlier
// dialect; the second gets a Problem. The lists are sorted by name.
func merge(fragments []*model.Fragment, documents []source.Document) (*model.Config, []model.Problem) {
	m := merger{rank: ranks(documents)}
	c := &model.Config{}
	for _, f := range fragments {
		c.Listeners = append(c.Listeners, f.Listeners...)
		c.Routes = append(c.Routes, f.Routes...)
		c.Services = append(c.Services, f.Services...)
		c.Certificates = append(c.Certificates, f.Certificates...)
	}
	c.Listeners = unique(&m, listeners, c.Listeners)
	c.Routes = unique(&m, routes, c.Routes)
	c.Services = unique(&m, services, c.Services)
	c.Certificates = unique(&m, certificates, c.Certificates)
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

// unique sorts list by name and leaves the first of each.
func unique[T any](m *merger, k kind[T], list []T) []T {
	list = byName(k, list)
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

// byName sorts list by name; equal names keep their order. With the position
// as the tie-break an unstable sort does, which takes half the time.
func byName[T any](k kind[T], list []T) []T {
	if slices.IsSortedFunc(list, func(a, b T) int { return cmp.Compare(k.name(a), k.name(b)) }) {
		return list
	}
	type entry struct {
		name string
		at   int
	}
	entries := make([]entry, len(list))
	for i, x := range list {
		entries[i] = entry{k.name(x), i}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(strings.Compare(a.name, b.name), a.at-b.at)
	})
	sorted := make([]T, len(list))
	for i, e := range entries {
		sorted[i] = list[e.at]
	}
	return sorted
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
	}
	return s
}

func (m *merger) take(name string, into *string, value string, at model.Origin) {
	switch {
	case value == "" || value == *into:
	case *into == "":
		*into = value
	default:
		m.problems = append(m.problems, model.Problem{
			Origin:   at,
			Severity: model.Doubtful,
			Code:     "duplicate-setting",
			Message:  name + " is set to " + *into + " elsewhere, and that counts",
			Hint:     "set it in one place",
		})
	}
}
