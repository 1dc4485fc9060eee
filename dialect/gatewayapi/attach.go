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
	index int // in routeObject.parents
	// ours: the parent is of naru's, so that the route has a status
	// with respect to it.
	ours bool
	// refusal is why the parent does not accept the route.
	refusal refusal
}

// owner gives what a parentRef names; nil where it is not there.
func (w *world) owner(ref *parentRef) *owner {
	if ref.set {
		if set := w.sets[ref.parent]; set != nil {
			return &set.owner
		}
	} else if g := w.gateways[ref.parent]; g != nil {
		return &g.owner
	}
	return nil
}

// attach finds the listeners that a route attaches to. It adds to l.try's
// parents and states, and counts the route at each listener.
func (l *linker) attach(route *routeObject) {
	for i := range route.parents {
		ref := &route.parents[i]
		state := parentState{index: i}
		switch o := l.owner(ref); {
		case o == nil:
			state.refusal = refusal{string(gateway.RouteReasonNoMatchingParent), "there is no " + ref.about()}
		case o.ours:
			state.ours = true
			state.refusal = l.attachTo(route, ref, o)
		}
		l.try.states = append(l.try.states, state)
	}
}

// fits finds the listeners of a parent that a route fits, or says why there
// are none. The list is good until the next call.
func (l *linker) fits(route *routeObject, ref *parentRef, o *owner) ([]*listenerState, refusal) {
	selected, allowed := false, false
	l.fitting = l.fitting[:0]
	for _, s := range o.listeners {
		written := s.listener
		if ref.section != "" && ref.section != written.name || ref.port != 0 && ref.port != int32(written.port) {
			continue
		}
		selected = true
		if !l.allows(s, route) {
			continue
		}
		allowed = true
		if coversAny(written.hostname, route.hostnames) {
			l.fitting = append(l.fitting, s)
		}
	}
	switch {
	case !selected:
		return nil, refusal{string(gateway.RouteReasonNoMatchingParent), noSuchListener(ref)}
	case !allowed:
		return nil, refusal{string(gateway.RouteReasonNotAllowedByListeners),
			"no listener of " + ref.about() + " allows " + route.kind + "s of namespace " + route.namespace}
	case len(l.fitting) == 0:
		return nil, refusal{string(gateway.RouteReasonNoMatchingListenerHostname),
			"no listener of " + ref.about() + " is for " + strings.Join(route.hostnames, " or ")}
	}
	return l.fitting, refusal{}
}

// attachTo attaches a route to the listeners of one parent, or says why not.
func (l *linker) attachTo(route *routeObject, ref *parentRef, o *owner) refusal {
	fits, none := l.fits(route, ref, o)
	switch {
	case none.reason != "":
		return none
	case route.refusal.reason != "":
		return route.refusal
	}
	var winner *routeObject
	accepted := false
	for _, s := range fits {
		if s.contest != nil {
			if w := s.contest.losers[route]; w != nil {
				winner = w
				continue
			}
		}
		accepted = true
		s.attached += l.count
		for _, name := range s.nouns {
			l.try.through(name, way{certificate: s.owner.gateway.certificate, raw: s.listener.passthrough})
		}
	}
	if !accepted {
		return refusal{reasonHostTaken, winner.about() + " goes before it: the same host cannot be for HTTPRoutes and GRPCRoutes"}
	}
	return refusal{}
}

// about names the parent for people.
func (p *parentRef) about() string {
	if p.set {
		return listenerSetKind + " " + p.parent.String()
	}
	return gatewayKind + " " + p.parent.String()
}

// noSuchListener says what a parentRef asked for in vain.
func noSuchListener(ref *parentRef) string {
	message := ref.about() + " has no listener"
	if ref.section != "" {
		message += " " + ref.section
	}
	if ref.port != 0 {
		message += " on port " + strconv.Itoa(int(ref.port))
	}
	return message
}

// allows says whether a listener allows a route.
func (l *linker) allows(s *listenerState, route *routeObject) bool {
	if !slices.Contains(s.listener.kinds, route.kind) {
		return false
	}
	if s.listener.from != gateway.NamespacesFromSelector {
		return l.allowed(&s.listener.allowance, s.owner.object.namespace, route.namespace)
	}
	yes, known := s.allows[route.namespace]
	if !known {
		yes = l.allowed(&s.listener.allowance, s.owner.object.namespace, route.namespace)
		s.allows[route.namespace] = yes
	}
	return yes
}

// allowed says whether what is in namespace home allows what is in namespace
// from.
func (l *linker) allowed(a *allowance, home, from string) bool {
	switch a.from {
	case gateway.NamespacesFromAll:
		return true
	case gateway.NamespacesFromSame:
		return from == home
	case gateway.NamespacesFromSelector:
		var labels map[string]string
		if ns := l.namespaces[from]; ns != nil {
			labels = ns.labels
		}
		return a.selector.chooses(from, labels)
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
func (l *linker) parentProblem(route *routeObject, state *parentState) (model.Problem, bool) {
	if state.refusal.reason == "" || state.refusal == route.refusal {
		return model.Problem{}, false
	}
	ref := &route.parents[state.index]
	field, code, hint := ref.field(), "not-attached", ""
	switch gateway.RouteConditionReason(state.refusal.reason) {
	case gateway.RouteReasonNoMatchingListenerHostname, gateway.RouteConditionReason(reasonHostTaken):
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

// parentHint proposes a parent or listener that is there.
func (l *linker) parentHint(ref *parentRef) string {
	o := l.owner(ref)
	if o == nil {
		if ref.set {
			return l.nearest(listenerSetKind, ref.parent)
		}
		return l.nearest(gatewayKind, ref.parent)
	}
	var names []string
	for _, s := range o.listeners {
		names = append(names, s.listener.name)
	}
	if slices.Contains(names, ref.section) || ref.section == "" {
		return ""
	}
	return didYouMean(ref.section, names)
}
