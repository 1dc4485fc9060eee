package control

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// retainer keeps the old version of what is broken in service.
//
// A noun that was there in the round before and is missing now is put back
// when a mistake explains it: a Problem that is Broken and stands in the same
// object and the same part of it. The Problem must have come in this round, or
// the noun must have been put back in the last one already: a file may have
// had a mistake for weeks, and what is removed from it on purpose must go.
type retainer struct {
	known map[model.Problem]bool // Broken in the last round, without lines
	kept  map[string]bool        // put back in the last round: kind and name
}

// round puts nouns of old (the round before, nil at first) back into now, and
// says what it kept.
func (r *retainer) round(now, old *model.Config, problems []model.Problem) []model.Problem {
	k := keeper{problems: problems, fresh: make([]bool, len(problems)), known: map[model.Problem]bool{},
		keptBefore: r.kept, kept: map[string]bool{}, why: map[string]int{}, because: map[int][]string{}}
	for i, p := range problems {
		if p.Severity == model.Broken {
			k.known[lasting(p)] = true
			k.fresh[i] = !r.known[lasting(p)]
		}
	}
	r.known, r.kept = k.known, k.kept
	if old == nil || len(k.known) == 0 {
		return nil
	}
	now.Listeners = keepMissing(&k, listeners, now.Listeners, old.Listeners, nil, nil)
	now.Services = keepMissing(&k, services, now.Services, old.Services, nil, nil)
	now.Certificates = keepMissing(&k, certificates, now.Certificates, old.Certificates, nil, nil)
	now.Workloads = keepMissing(&k, workloads, now.Workloads, old.Workloads, nil, nil)
	now.Policies = keepMissing(&k, policies, now.Policies, old.Policies, nil, nil)
	now.Traffic = keepMissing(&k, traffics, now.Traffic, old.Traffic, nil, nil)
	// Names of routes may be positions, which shift when one is inserted: a
	// route that is there under another name is not missing. And a dialect may
	// say nothing of a route whose listener broke.
	now.Routes = keepMissing(&k, routes, now.Routes, old.Routes, elsewhere(now.Routes),
		func(r *model.Route) int { return k.fellWith(routes.word+" "+r.Name, r.Parents) })
	now.Flows = keepMissing(&k, flows, now.Flows, old.Flows, moved(now.Flows),
		func(f *model.Flow) int { return k.fellWith(flows.word+" "+f.Name, f.Parents) })
	complete(now, old, k.kept)
	return k.notes()
}

// complete puts back what the routes and listeners that were kept (kind and
// name) lead to, where only old has it: a dialect may leave out a service that
// nothing but a broken route leads to.
func complete(now, old *model.Config, kept map[string]bool) {
	now.Services = addNamed(services, now.Services, old.Services, func(want func(string)) {
		for _, r := range now.Routes {
			if !kept[routes.word+" "+r.Name] {
				continue
			}
			for _, b := range r.Backends {
				want(b.Service)
			}
			for _, f := range r.Filters {
				if f.Mirror != nil {
					want(f.Mirror.Service)
				}
			}
		}
	})
	now.Services = addNamed(services, now.Services, old.Services, func(want func(string)) {
		for _, f := range now.Flows {
			if kept[flows.word+" "+f.Name] {
				for _, b := range f.Backends {
					want(b.Service)
				}
			}
		}
	})
	now.Certificates = addNamed(certificates, now.Certificates, old.Certificates, func(want func(string)) {
		for _, l := range now.Listeners {
			if !kept[listeners.word+" "+l.Name] {
				continue
			}
			for _, c := range l.Certificates {
				want(c)
			}
		}
	})
}

// addNamed adds to now (sorted by name) the nouns of old that are wanted.
func addNamed[T any](k kind[T], now, old []T, wanted func(want func(name string))) []T {
	missing := map[string]T{}
	i := 0
	for _, x := range old {
		for i < len(now) && k.name(now[i]) < k.name(x) {
			i++
		}
		if i == len(now) || k.name(now[i]) != k.name(x) {
			missing[k.name(x)] = x
		}
	}
	if len(missing) == 0 {
		return now
	}
	var add []T
	wanted(func(name string) {
		if x, ok := missing[name]; ok {
			add = append(add, x)
			delete(missing, name)
		}
	})
	if len(add) == 0 {
		return now
	}
	return byName(k, append(slices.Clone(now), add...))
}

// keeper is the work of one round.
type keeper struct {
	problems   []model.Problem
	fresh      []bool // by the index of the Problem
	known      map[model.Problem]bool
	keptBefore map[string]bool
	kept       map[string]bool
	why        map[string]int   // of what was kept, the index of the Problem
	because    map[int][]string // what was kept, by the index of the Problem
}

// keepMissing merges two lists that are sorted by name: all of now, and those
// of old that are missing by mistake. there says that one is not missing after
// all, fell gives another reason, both unless nil.
func keepMissing[T any](k *keeper, kind kind[T], now, old []T, there func(T) bool, fell func(T) int) []T {
	var kept []T
	i := 0
	for _, x := range old {
		for i < len(now) && kind.name(now[i]) < kind.name(x) {
			i++
		}
		if i < len(now) && kind.name(now[i]) == kind.name(x) {
			continue
		}
		id := kind.word + " " + kind.name(x)
		why := k.explains(kind.origin(x), k.keptBefore[id])
		if why < 0 && fell != nil {
			why = fell(x)
		}
		if why < 0 || there != nil && there(x) {
			continue
		}
		k.kept[id] = true
		k.why[id] = why
		k.because[why] = append(k.because[why], id+" of "+kind.origin(x).String())
		kept = append(kept, x)
	}
	if len(kept) == 0 {
		return now
	}
	return byName(kind, append(slices.Clone(now), kept...))
}

// explains gives the index of the first Problem because of which a noun of
// that Origin may be missing, or -1. again says that the noun was put back in
// the last round too.
func (k *keeper) explains(o model.Origin, again bool) int {
	for i, p := range k.problems {
		if p.Severity == model.Broken && (again || k.fresh[i]) && touches(p, o) {
			return i
		}
	}
	return -1
}

// fellWith gives the index of the Problem because of which a listener of what
// hangs on parents was put back, or -1. Once the listener has been put back
// before, what goes is removed on purpose.
func (k *keeper) fellWith(what string, parents []string) int {
	for _, parent := range parents {
		id := listeners.word + " " + parent
		if k.kept[id] && (!k.keptBefore[id] || k.keptBefore[what]) {
			return k.why[id]
		}
	}
	return -1
}

// touches says whether a mistake may cost the noun of an Origin.
func touches(p model.Problem, noun model.Origin) bool {
	at := p.Origin
	switch {
	case at.Source == "":
		return false
	case at.Source != noun.Source && !strings.HasPrefix(noun.Source, strings.TrimSuffix(at.Source, "/")+"/"):
		return false // neither the file nor the folder that it is in
	case at.Object != "" && noun.Object != "" && at.Object != noun.Object:
		return false
	}
	field := at.Field
	if p.Code == "unknown-field" {
		// "rutes" was meant to be any of the fields beside it.
		field = field[:max(strings.LastIndexByte(field, '.'), 0)]
	}
	return partOf(field, noun.Field) || partOf(noun.Field, field)
}

// partOf says whether field lies in whole: routes[1].match in routes[1], but
// not routes[10] in routes[1].
func partOf(field, whole string) bool {
	rest, ok := strings.CutPrefix(field, whole)
	return ok && (rest == "" || whole == "" || rest[0] == '.' || rest[0] == '[')
}

// elsewhere says whether a route stands in list, be it under another name.
func elsewhere(list []*model.Route) func(*model.Route) bool {
	var known map[string][]*model.Route
	return func(r *model.Route) bool {
		if known == nil {
			known = make(map[string][]*model.Route, len(list))
			for _, x := range list {
				known[outline(x)] = append(known[outline(x)], x)
			}
		}
		return slices.ContainsFunc(known[outline(r)], func(x *model.Route) bool {
			a, b := *x, *r
			a.Name, a.Origin, a.Order = b.Name, b.Origin, b.Order
			return reflect.DeepEqual(a, b)
		})
	}
}

// moved is elsewhere for flows, of which there are few.
func moved(list []*model.Flow) func(*model.Flow) bool {
	return func(f *model.Flow) bool {
		return slices.ContainsFunc(list, func(x *model.Flow) bool {
			a, b := *x, *f
			a.Name, a.Origin, a.Order = b.Name, b.Origin, b.Order
			return reflect.DeepEqual(a, b)
		})
	}
}

// outline is equal for equal routes, and mostly different for others.
func outline(r *model.Route) string {
	var b strings.Builder
	b.WriteString(r.Origin.Source)
	for _, h := range r.Hostnames {
		b.WriteString(" " + h)
	}
	for _, m := range r.Matches {
		b.WriteString(" " + m.Method + m.Path)
	}
	return b.String()
}

// notes says at each Problem what was kept because of it.
func (k *keeper) notes() []model.Problem {
	var notes []model.Problem
	for i, p := range k.problems {
		names := k.because[i]
		if len(names) == 0 {
			continue
		}
		text := strings.Join(names[:min(len(names), 3)], ", ")
		if len(names) > 3 {
			text += fmt.Sprintf(" and %d more", len(names)-3)
		}
		notes = append(notes, model.Problem{
			Origin:   p.Origin,
			Severity: model.Doubtful,
			Code:     "old-serves",
			Message:  "until this is right the version before goes on serving: " + text,
		})
	}
	return notes
}
