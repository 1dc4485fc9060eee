package gatewayapi

import (
	"cmp"
	"slices"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// reasonHostTaken is the reason of a route that another of the other kind goes
// before. The specification demands that it is not accepted and names no
// reason; this one is its word for the same between listeners.
const reasonHostTaken = string(gateway.ListenerReasonHostnameConflict)

// contest is what HTTPRoutes and GRPCRoutes claim of a listener: a host can
// only be for one of the two kinds.
type contest struct {
	// claims are those of the HTTPRoutes and those of the GRPCRoutes, also of
	// those that lost.
	claims [2]claims
	// losers are the routes that are not accepted, each with one that goes
	// before it.
	losers map[*routeObject]*routeObject
}

// corner is the place in a contest of a kind of route; false for kinds that
// take part in none.
func corner(kind string) (int, bool) {
	switch kind {
	case httpRoute:
		return 0, true
	case grpcRoute:
		return 1, true
	default:
		return 0, false
	}
}

// contests decides between the HTTPRoutes and the GRPCRoutes of all listeners:
// of two that have a host in common, the older is accepted. Most worlds have
// only one of the kinds.
func (l *linker) contests() {
	var sides [2]int
	var all []*routeObject
	for _, route := range l.routes {
		if at, ok := corner(route.kind); ok {
			sides[at]++
			all = append(all, route)
		}
	}
	l.kinds = sides
	if l.contested = sides[0] > 0 && sides[1] > 0; !l.contested {
		return
	}
	slices.SortStableFunc(all, func(a, b *routeObject) int {
		if byAge := byAge(&a.object, &b.object); byAge != 0 {
			return byAge
		}
		return cmp.Compare(a.kind, b.kind)
	})
	accepted := make(map[*contest]*[2]claims)
	for _, route := range all {
		at, _ := corner(route.kind)
		l.contenders(route, func(s *listenerState, hosts []string) bool {
			if s.contest == nil {
				s.contest = &contest{losers: make(map[*routeObject]*routeObject)}
				accepted[s.contest] = &[2]claims{}
			}
			c := s.contest
			won := accepted[c]
			for _, host := range hosts {
				c.claims[at].add(host, nil, 1)
				if first, taken := won[1-at].meets(host); taken && c.losers[route] == nil {
					c.losers[route] = first.by
				}
			}
			if c.losers[route] == nil {
				for _, host := range hosts {
					won[at].add(host, route, 1)
				}
			}
			return true
		})
	}
}

// contenders calls f with each listener that a route could attach to if it
// were the only one, and with those of its hosts that the listener covers,
// until f says no.
func (l *linker) contenders(route *routeObject, f func(s *listenerState, hosts []string) bool) {
	if route.refusal.reason != "" {
		return
	}
	var seen []*listenerState
	for i := range route.parents {
		ref := &route.parents[i]
		o := l.owner(ref)
		if o == nil || !o.ours {
			continue
		}
		fits, _ := l.fits(route, ref, o)
		for _, s := range fits {
			if slices.Contains(seen, s) {
				continue
			}
			seen = append(seen, s)
			hosts := []string{""}
			if len(route.hostnames) > 0 {
				hosts = hosts[:0]
				for _, host := range route.hostnames {
					if overlap(s.listener.hostname, host) {
						hosts = append(hosts, host)
					}
				}
			}
			if !f(s, hosts) {
				return
			}
		}
	}
}

// recount counts the claims of a route that came (1) or goes (-1). It says no
// when that may change what becomes of other routes.
func (l *linker) recount(route *routeObject, n int) bool {
	at, ok := corner(route.kind)
	if !ok {
		return true
	}
	l.kinds[at] += n
	if !l.contested {
		return l.kinds[0] == 0 || l.kinds[1] == 0
	}
	alone := true
	l.contenders(route, func(s *listenerState, hosts []string) bool {
		if s.contest == nil {
			// Nobody was here yet.
			s.contest = &contest{losers: make(map[*routeObject]*routeObject)}
		}
		for _, host := range hosts {
			if _, other := s.contest.claims[1-at].meets(host); other {
				alone = false
				return false
			}
			s.contest.claims[at].add(host, nil, n)
		}
		return true
	})
	return alone
}
