package gatewayapi

import (
	"maps"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// relink translates items when nothing but HTTPRoutes differs from the last
// time: only those that came or changed are linked, and those that are gone
// are no longer counted. That is exact, for what becomes of a route depends on
// its own object and on the world, and the world on no route but for what it
// counts. It changes was and gives nil, with nothing done, when the rest
// differs too, or when two objects have one name: which of them counts depends
// on all.
func relink(was *memory, items []any) *linker {
	if was.world == nil || was.torn || was.world.twice {
		return nil
	}
	head, tail := 0, 0
	for head < min(len(was.items), len(items)) && was.items[head] == items[head] {
		head++
	}
	for tail < min(len(was.items), len(items))-head && was.items[len(was.items)-1-tail] == items[len(items)-1-tail] {
		tail++
	}
	before, same := routesOf(was.items[head : len(was.items)-tail])
	now, rest := routesOf(items[head : len(items)-tail])
	if !slices.Equal(same, rest) {
		return nil
	}
	from := countRoutes(was.items[:head])
	to := from + len(before)

	linked := make([]*linkedRoute, len(now))
	stays := make([]bool, len(before))
	old := known{list: was.attached[from:to]}
	for i, route := range now {
		if l, at := old.find(route); l != nil {
			linked[i], stays[at] = l, true
		}
	}
	was.torn = true
	l := &linker{world: was.world, was: was, now: was}
	if !l.rename(before, stays, now, linked) {
		return nil
	}
	l.count = -1
	for i, route := range before {
		if !stays[i] {
			l.join(route)
			l.leave(was.attached[from+i])
		}
	}
	l.count = 1
	for i, route := range now {
		if linked[i] == nil {
			linked[i] = l.linkRoute(route, nil)
		}
	}
	was.attached = slices.Replace(was.attached, from, to, linked...)
	l.tell()
	was.torn = false
	return l
}

// rename takes the names of routes that do not stay and gives them to the new
// ones; false when one is taken, or one route came twice.
func (l *linker) rename(before []*httpRoute, stays []bool, now []*httpRoute, linked []*linkedRoute) bool {
	for i, route := range before {
		if !stays[i] {
			delete(l.named, route.at.Object)
		}
	}
	kept := 0
	for i, route := range now {
		if linked[i] != nil {
			kept++
			continue
		}
		if _, taken := l.named[route.at.Object]; taken {
			return false
		}
		l.named[route.at.Object] = &route.object
	}
	for _, is := range stays {
		if is {
			kept--
		}
	}
	return kept == 0
}

// leave forgets the places of a route's problems.
func (l *linker) leave(linked *linkedRoute) {
	if len(linked.problems) > 0 {
		maps.DeleteFunc(l.now.places, func(at place, _ model.Origin) bool { return at.object == &linked.route.object })
	}
}

// routesOf gives the HTTPRoutes of items, and their other objects.
func routesOf(items []any) (routes []*httpRoute, rest []any) {
	for _, item := range items {
		for _, o := range objects(item) {
			if route, ok := o.(*httpRoute); ok {
				routes = append(routes, route)
			} else {
				rest = append(rest, o)
			}
		}
	}
	return routes, rest
}

// countRoutes gives the number of HTTPRoutes.
func countRoutes(items []any) int {
	n := 0
	for _, item := range items {
		for _, o := range objects(item) {
			if _, ok := o.(*httpRoute); ok {
				n++
			}
		}
	}
	return n
}
