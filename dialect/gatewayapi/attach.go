package gatewayapi

import (
	"slices"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// parentState is what became of one parentRef.
type parentState struct {
	index int // in httpRoute.parents
	// ours: the parent is a Gateway of naru's, so that the route has a status
	// with respect to it.
	ours bool
	// refusal is why the parent does not accept the route.
	refusal refusal
}

// attach finds the listeners that a route attaches to. It adds to l.try's
// parents and states, and counts the route at each listener.
func (l *linker) attach(route *httpRoute) {
	for i := range route.parents {
		ref := &route.parents[i]
		state := parentState{index: i}
		g := l.gateways[ref.gateway]
		switch {
		case g == nil:
			state.refusal = refusal{string(gateway.RouteReasonNoMatchingParent), "there is no Gateway " + ref.gateway.String()}
		case g.ours:
			state.ours = true
			state.refusal = l.attachTo(route, ref, g)
		}
		l.try.states = append(l.try.states, state)
	}
}

// attachTo attaches a route to the listeners of one Gateway, or says why not.
func (l *linker) attachTo(route *httpRoute, ref *parentRef, g *gatewayState) refusal {
	selected, allowed := false, false
	var fits []*listenerState
	for _, s := range g.listeners {
		written := s.listener
		if ref.section != "" && ref.section != written.name || ref.port != 0 && ref.port != int32(written.port) {
			continue
		}
		selected = true
		if !l.allows(g, s, route.namespace) {
			continue
		}
		allowed = true
		if coversAny(written.hostname, route.hostnames) {
			fits = append(fits, s)
		}
	}
	switch {
	case !selected:
		return refusal{string(gateway.RouteReasonNoMatchingParent), noSuchListener(ref)}
	case !allowed:
		return refusal{string(gateway.RouteReasonNotAllowedByListeners),
			"no listener of Gateway " + ref.gateway.String() + " allows HTTPRoutes of namespace " + route.namespace}
	case len(fits) == 0:
		return refusal{string(gateway.RouteReasonNoMatchingListenerHostname),
			"no listener of Gateway " + ref.gateway.String() + " is for " + strings.Join(route.hostnames, " or ")}
	case route.refusal.reason != "":
		return route.refusal
	}
	for _, s := range fits {
		s.attached += l.count
		for _, name := range s.nouns {
			if !slices.Contains(l.try.parents, name) {
				l.try.parents = append(l.try.parents, name)
			}
		}
	}
	return refusal{}
}

// noSuchListener says what a parentRef asked for in vain.
func noSuchListener(ref *parentRef) string {
	message := "Gateway " + ref.gateway.String() + " has no listener"
	if ref.section != "" {
		message += " " + ref.section
	}
	if ref.port != 0 {
		message += " on port " + strconv.Itoa(int(ref.port))
	}
	return message
}

// allows says whether a listener allows HTTPRoutes of a namespace.
func (l *linker) allows(g *gatewayState, s *listenerState, name string) bool {
	if !s.listener.kinds {
		return false
	}
	switch s.listener.from {
	case gateway.NamespacesFromAll:
		return true
	case gateway.NamespacesFromSame:
		return name == g.gateway.namespace
	case gateway.NamespacesFromSelector:
		yes, known := s.allows[name]
		if !known {
			var labels map[string]string
			if ns := l.namespaces[name]; ns != nil {
				labels = ns.labels
			}
			yes = s.listener.selector.chooses(name, labels)
			s.allows[name] = yes
		}
		return yes
	default:
		return false
	}
}

// coversAny says whether a listener has hosts in common with a route.
func coversAny(listener string, hosts []string) bool {
	if len(hosts) == 0 {
		return true
	}
	for _, host := range hosts {
		if overlap(listener, host) {
			return true
		}
	}
	return false
}

// overlap says whether there is a host that both names stand for; "" stands
// for all, and a wildcard for one or more labels.
func overlap(a, b string) bool {
	if a == "" || b == "" || a == b {
		return true
	}
	suffixA, wildA := strings.CutPrefix(a, "*")
	suffixB, wildB := strings.CutPrefix(b, "*")
	switch {
	case wildA && wildB:
		return strings.HasSuffix(suffixA, suffixB) || strings.HasSuffix(suffixB, suffixA)
	case wildA:
		return strings.HasSuffix(b, suffixA)
	case wildB:
		return strings.HasSuffix(a, suffixB)
	default:
		return false
	}
}

// parentProblem tells why a parent does not accept a route. What the route
// itself is refused for was told when it was read.
func (l *linker) parentProblem(route *httpRoute, state *parentState) (model.Problem, bool) {
	if state.refusal.reason == "" || state.refusal == route.refusal {
		return model.Problem{}, false
	}
	ref := &route.parents[state.index]
	field, code, hint := ref.field(), "not-attached", ""
	switch gateway.RouteConditionReason(state.refusal.reason) {
	case gateway.RouteReasonNoMatchingListenerHostname:
		field = "spec.hostnames"
	case gateway.RouteReasonNotAllowedByListeners:
		hint = "see allowedRoutes of the listeners"
	case gateway.RouteReasonNoMatchingParent:
		code = "unknown-parent"
		hint = l.parentHint(ref)
	}
	return l.problem(&route.object, field, model.Problem{
		Code: code, Message: state.refusal.message, Hint: hint,
		Condition: string(gateway.RouteConditionAccepted), Reason: state.refusal.reason,
	}), true
}

// parentHint proposes a Gateway or listener that is there.
func (l *linker) parentHint(ref *parentRef) string {
	g := l.gateways[ref.gateway]
	if g == nil {
		return l.nearest("Gateway", ref.gateway)
	}
	var names []string
	for _, s := range g.listeners {
		names = append(names, s.listener.name)
	}
	if slices.Contains(names, ref.section) || ref.section == "" {
		return ""
	}
	return didYouMean(ref.section, names)
}
