package observe

import (
	"maps"
	"slices"
	"strings"
)

// Calls counts one loop's gRPC calls of one route by method and status. Only
// that loop may use it; any goroutine may read what it has counted.
//
// A method's name comes from the client, so names are bounded twice: one that
// the service does not know (UNIMPLEMENTED) is not learnt, and neither is one
// beyond the most. Both count as "other".
type Calls struct {
	registry *Registry
	most     int
	known    map[string]*methodCalls // the loop's own
	// learnt is known for readers, under Registry.mu.
	learnt map[string]*methodCalls
}

// methodCalls are the counts of one method.
type methodCalls struct{ statuses [GRPCCodes]Counter }

// otherMethods is what calls are counted under whose method is not learnt.
const otherMethods = "other/other"

// longestMethod bounds what is kept of a name.
const longestMethod = 256

// Calls gives what loop counts for a route, the same each time. It locks and
// allocates: keep the pointer.
func (g *Registry) Calls(route string, loop, most int) *Calls {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.calls[route]
	if loop >= len(list) {
		list = append(list, make([]*Calls, max(loop+1, g.loops)-len(list))...)
		g.calls[route] = list
	}
	if list[loop] == nil {
		list[loop] = &Calls{registry: g, most: most, known: map[string]*methodCalls{}, learnt: map[string]*methodCalls{}}
	}
	return list[loop]
}

// Done counts a finished call. method is "pkg.Service/Method". A method's first
// call allocates.
func (c *Calls) Done(method []byte, status GRPCCode) {
	m := c.known[string(method)]
	if m == nil {
		m = c.learn(string(method), status)
	}
	if status >= GRPCCodes {
		status = GRPCUnknown
	}
	m.statuses[status].Add(1)
}

// learn finds the counts for a method that was not called before.
func (c *Calls) learn(method string, status GRPCCode) *methodCalls {
	if len(c.known) > c.most || status == GRPCUnimplemented || len(method) > longestMethod || strings.Count(method, "/") != 1 {
		if m := c.known[otherMethods]; m != nil {
			return m
		}
		method = otherMethods
	}
	m := &methodCalls{}
	c.known[method] = m
	c.registry.mu.Lock()
	defer c.registry.mu.Unlock()
	c.learnt[method] = m
	return m
}

// KeepCalls forgets the calls of routes that the function does not want, as
// Keep does with Traffic.
func (g *Registry) KeepCalls(routes func(string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.calls, func(route string, _ []*Calls) bool { return !routes(route) })
}

func (g *Registry) callsFamily() Family {
	return Family{
		Name:   "naru_grpc_requests_total",
		Help:   "Finished gRPC calls of a route that counts them, by service, method and status; methods that the service does not know, and those beyond the 500th, are other.",
		Kind:   KindCounter,
		Labels: []string{"route", "grpc_service", "grpc_method", "grpc_status"},
		each: func(emit func(*Sample)) {
			for _, one := range g.allCalls() {
				var counts [GRPCCodes]uint64
				for _, m := range one.loops {
					for code := range m.statuses {
						counts[code] += m.statuses[code].Load()
					}
				}
				service, method, _ := strings.Cut(one.method, "/")
				for code, n := range counts {
					if n > 0 {
						emit(&Sample{Values: []string{one.route, service, method, GRPCCode(code).String()}, Value: float64(n)})
					}
				}
			}
		},
	}
}

// countedCalls are the counts of a method on all loops.
type countedCalls struct {
	route, method string
	loops         []*methodCalls
}

// allCalls copies what is there, sorted, so that it can be read unlocked.
func (g *Registry) allCalls() (all []countedCalls) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, route := range slices.Sorted(maps.Keys(g.calls)) {
		methods := map[string][]*methodCalls{}
		for _, c := range g.calls[route] {
			if c == nil {
				continue
			}
			for method, m := range c.learnt {
				methods[method] = append(methods[method], m)
			}
		}
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			all = append(all, countedCalls{route, method, methods[method]})
		}
	}
	return all
}
