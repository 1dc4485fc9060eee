package gatewayapi

import (
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// reasonParentNotProgrammed is the reason of Programmed where that of Accepted
// is ParentNotAccepted; the API has it in words only.
const reasonParentNotProgrammed = "ParentNotProgrammed"

// listenerSet is a ListenerSet: more listeners for a Gateway.
type listenerSet struct {
	object
	parent    key
	listeners []listener
	// refusal is why no Gateway can accept it.
	refusal refusal
}

// listenerSet reads a ListenerSet.
func (r *reader) listenerSet(k *servedKind) *listenerSet {
	var in gateway.ListenerSet
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	ref := &in.Spec.ParentRef
	s := &listenerSet{object: *o, parent: key{string(or(ref.Namespace, gateway.Namespace(o.namespace))), string(ref.Name)}}
	if r.spoiledBeside("spec", "listeners") {
		s.refusal = refusal{string(gateway.ListenerSetReasonInvalid), "the spec is not valid"}
	}
	kind, group := string(or(ref.Kind, gatewayKind)), string(or(ref.Group, gatewayGroup))
	switch {
	case ref.Name == "":
		if !r.spoiled("spec") {
			s.refuse(r, "spec", "missing-field", "a ListenerSet names a Gateway: parentRef is missing", "parentRef: {name: my-gateway}")
		}
		return nil
	case group != gatewayGroup || kind != gatewayKind:
		r.doubtful("spec.parentRef", "not-served", "naru does not know "+kind+" of "+quoted(group)+" as a parent",
			"the parent of a ListenerSet is a Gateway of "+gatewayGroup)
		return nil
	}
	if len(in.Spec.Listeners) == 0 && !r.spoiled("spec") {
		s.refuse(r, "spec", "missing-field", "a ListenerSet has at least one listener", "")
	}
	entries := make([]gateway.Listener, len(in.Spec.Listeners))
	for i := range entries {
		entries[i] = gateway.Listener(in.Spec.Listeners[i])
	}
	s.listeners = r.listeners(listenerSetKind, entries)
	return s
}

// refuse notes why a ListenerSet cannot be accepted.
func (s *listenerSet) refuse(r *reader, field, code, message, hint string) {
	s.refusal = refusal{string(gateway.ListenerSetReasonInvalid), message}
	p := r.broken(field, code, message, hint)
	p.Condition, p.Reason = string(gateway.ListenerSetConditionAccepted), s.refusal.reason
}

// setState is a ListenerSet while it is linked.
type setState struct {
	owner
	set *listenerSet
	// Reasons why not; zero when all is well.
	refused, unprogrammed refusal
}

// linkSets gives the ListenerSets to the Gateways that allow them. One that is
// not allowed has no listeners.
func (l *linker) linkSets() {
	for _, state := range l.now.sets {
		set := state.set
		g := l.gateways[set.parent]
		switch {
		case g == nil:
			l.note(l.problem(&set.object, "spec.parentRef", model.Problem{
				Severity: model.Doubtful, Code: "unknown-parent",
				Message: "there is no Gateway " + set.parent.String() + ", so " + set.about() + " is not served",
				Hint:    l.nearest(gatewayKind, set.parent),
			}))
			continue
		case !g.ours:
			continue
		}
		state.ours, state.gateway = true, g
		switch {
		case set.refusal.reason != "":
			state.refused = set.refusal
		case !l.allowed(&g.gateway.allowed, g.gateway.namespace, set.namespace):
			state.refused = refusal{string(gateway.ListenerSetReasonNotAllowed), "Gateway " + set.parent.String() + " does not allow it"}
			l.note(l.problem(&set.object, "spec.parentRef", model.Problem{
				Code: "not-permitted", Message: "Gateway " + set.parent.String() + " does not allow ListenerSets of namespace " + set.namespace,
				Hint:      "see spec.allowedListeners of the Gateway",
				Condition: string(gateway.ListenerSetConditionAccepted), Reason: state.refused.reason,
			}))
		default:
			state.own(set.listeners)
			g.sets = append(g.sets, state)
			continue
		}
		state.unprogrammed = state.refused
	}
}

// refuseParent refuses a ListenerSet whose Gateway is not accepted.
func (s *setState) refuseParent() {
	s.refused = refusal{string(gateway.ListenerSetReasonParentNotAccepted), "the Gateway is not accepted"}
	s.unprogrammed = refusal{reasonParentNotProgrammed, s.refused.message}
}

// status tells the conditions of a ListenerSet.
func (s *setState) status() ListenerSetStatus {
	out := ListenerSetStatus{Namespace: s.set.namespace, Name: s.set.name}
	served := 0
	for _, listener := range s.listeners {
		if len(listener.nouns) > 0 {
			served++
		}
		out.Listeners = append(out.Listeners, listener.status(s.set.generation))
	}
	cs := conditions{generation: s.set.generation}
	const accepted, programmed = string(gateway.ListenerSetConditionAccepted), string(gateway.ListenerSetConditionProgrammed)
	invalid := refusal{string(gateway.ListenerSetReasonListenersNotValid), "no listener is valid"}
	switch {
	case s.refused.reason != "":
		cs.no(accepted, s.refused.reason, s.refused.message)
		cs.no(programmed, s.unprogrammed.reason, s.unprogrammed.message)
	case served == 0:
		cs.no(accepted, invalid.reason, invalid.message)
		cs.no(programmed, invalid.reason, invalid.message)
	case served < len(s.listeners):
		cs.yes(accepted, invalid.reason, "some listeners are not valid")
		cs.yes(programmed, string(gateway.ListenerSetReasonProgrammed), "")
	default:
		cs.yes(accepted, string(gateway.ListenerSetReasonAccepted), "")
		cs.yes(programmed, string(gateway.ListenerSetReasonProgrammed), "")
	}
	out.Conditions = cs.list
	return out
}

// attachedSets is how many ListenerSets a Gateway has accepted.
func (g *gatewayState) attachedSets() int {
	n := 0
	for _, set := range g.sets {
		if set.refused.reason == "" && hasServed(set.listeners) {
			n++
		}
	}
	return n
}

// hasServed says whether one of the listeners is served.
func hasServed(list []*listenerState) bool {
	for _, s := range list {
		if len(s.nouns) > 0 {
			return true
		}
	}
	return false
}
