package gatewayapi

import (
	"maps"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// relink translates items when nothing but routes differs from the last
// time: only those that came or changed are linked, and those that are gone
// are no longer counted. That is exact, for what becomes of a route depends on
// its own object and on the world, and the world on no route but for what it
// counts. It gives nil, for all to be linked anew, when the rest
// differs too, when two objects have one name, for which of them counts depends
// on all, or when HTTPRoutes and GRPCRoutes may be in each other's way.
func relink(was *memory, items []any) *linker {
	if was.world == nil || was.torn || was.world.twice {
		return nil
	}
	head, tail, both := 0, 0, min(len(was.items), len(items))
	for head < both && was.items[head] == items[head] {
		head++
	}
	for tail < both-head && was.items[len(was.items)-1-tail] == items[len(items)-1-tail] {
		tail++
	}
	before, same := routesOf(was.items[head : len(was.items)-tail])
	now, rest := routesOf(items[head : len(items)-tail])
	if !slices.Equal(same, rest) {
		return nil
	}
	above, _ := routesOf(was.items[:head])
	from, to := len(above), len(above)+len(before)

	linked := make([]*linkedRoute, len(now))
	gone := byRoute(was.attached[from:to])
	for i, route := range now {
		linked[i] = gone[route]
		delete(gone, route)
	}
	was.torn = true
	l := &linker{world: was.world, was: was, now: was, count: -1}
	for route, last := range gone {
		if !l.recount(route, -1) {
			return nil
		}
		delete(l.named, route.at.Object)
		l.join(route)
		if len(last.problems) > 0 {
			maps.DeleteFunc(was.places, func(at place, _ model.Origin) bool { return at.object == &route.object })
		}
	}
	l.count = 1
	for i, route := range now {
		if linked[i] != nil {
			continue
		}
		if _, taken := l.named[route.at.Object]; taken || !l.recount(route, 1) {
			return nil // all is linked anew
		}
		l.named[route.at.Object] = &route.object
		linked[i] = l.linkRoute(route, nil)
	}
	was.attached = slices.Replace(was.attached, from, to, linked...)
	l.tell()
	was.torn = false
	return l
}

// byRoute finds what became of each route.
func byRoute(list []*linkedRoute) map[*routeObject]*linkedRoute {
	m := make(map[*routeObject]*linkedRoute, len(list))
	for _, linked := range list {
		m[linked.route] = linked
	}
	return m
}

// routesOf gives the routes of items, and their other objects.
func routesOf(items []any) (routes []*routeObject, rest []any) {
	for _, item := range items {
		for _, o := range item.(*parsed).objects {
			if route, ok := o.(*routeObject); ok {
				routes = append(routes, route)
			} else {
				rest = append(rest, o)
			}
		}
	}
	return routes, rest
}
