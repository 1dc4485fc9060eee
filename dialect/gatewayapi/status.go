package gatewayapi

import (
	"slices"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// Status is what Gateway API wants written into the status of its objects,
// without the times of transition, which whoever writes it knows.
type Status struct {
	GatewayClasses     []ClassStatus       `json:"gatewayClasses"`
	Gateways           []GatewayStatus     `json:"gateways"`
	ListenerSets       []ListenerSetStatus `json:"listenerSets"`
	HTTPRoutes         []RouteStatus       `json:"httpRoutes"`
	GRPCRoutes         []RouteStatus       `json:"grpcRoutes"`
	TLSRoutes          []RouteStatus       `json:"tlsRoutes"`
	TCPRoutes          []RouteStatus       `json:"tcpRoutes"`
	UDPRoutes          []RouteStatus       `json:"udpRoutes"`
	BackendTLSPolicies []PolicyStatus      `json:"backendTLSPolicies"`
}

// ClassStatus is the status of a GatewayClass of naru's.
type ClassStatus struct {
	Name       string      `json:"name"`
	Conditions []Condition `json:"conditions"`
}

// GatewayStatus is the status of a Gateway of naru's.
type GatewayStatus struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Addresses are those of the spec that can be bound; none where the
	// Gateway is bound to all addresses of the machine.
	Addresses  []string         `json:"addresses,omitempty"`
	Conditions []Condition      `json:"conditions"`
	Listeners  []ListenerStatus `json:"listeners"`
	// AttachedListenerSets counts those that are accepted.
	AttachedListenerSets int `json:"attachedListenerSets,omitempty"`
}

// ListenerSetStatus is the status of a ListenerSet of a Gateway of naru's.
type ListenerSetStatus struct {
	Namespace  string           `json:"namespace"`
	Name       string           `json:"name"`
	Conditions []Condition      `json:"conditions"`
	Listeners  []ListenerStatus `json:"listeners"`
}

// ListenerStatus is the status of one listener.
type ListenerStatus struct {
	Name string `json:"name"`
	// SupportedKinds are kinds of gateway.networking.k8s.io.
	SupportedKinds []string    `json:"supportedKinds"`
	AttachedRoutes int         `json:"attachedRoutes"`
	Conditions     []Condition `json:"conditions"`
}

// RouteStatus is the status of a route that names a Gateway or ListenerSet of
// naru's.
type RouteStatus struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Parents   []ParentStatus `json:"parents"`
}

// ParentStatus is the status of a route with respect to one parentRef.
type ParentStatus struct {
	// Index is the position in spec.parentRefs.
	Index int `json:"index"`
	// Kind is ListenerSet, or "" for Gateway.
	Kind        string      `json:"kind,omitempty"`
	Namespace   string      `json:"namespace"`
	Name        string      `json:"name"`
	SectionName string      `json:"sectionName,omitempty"`
	Port        int32       `json:"port,omitempty"`
	Conditions  []Condition `json:"conditions"`
}

// Condition is one condition.
type Condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"` // "True" or "False"
	Reason             string `json:"reason"`
	Message            string `json:"message,omitempty"`
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
}

// Status tells the conditions of the last Translate.
func (d *Dialect) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out Status
	for _, c := range d.last.classes {
		if c.controller == ControllerName {
			out.GatewayClasses = append(out.GatewayClasses, c.status())
		}
	}
	for _, g := range d.last.gateways {
		if g.ours {
			out.Gateways = append(out.Gateways, g.status())
		}
	}
	for _, set := range d.last.sets {
		if set.ours {
			out.ListenerSets = append(out.ListenerSets, set.status())
		}
	}
	lists := map[string]*[]RouteStatus{
		httpRoute: &out.HTTPRoutes, grpcRoute: &out.GRPCRoutes,
		tlsRoute: &out.TLSRoutes, tcpRoute: &out.TCPRoutes, udpRoute: &out.UDPRoutes,
	}
	for _, r := range d.last.attached {
		if s := r.status(); len(s.Parents) > 0 {
			list := lists[r.route.kind]
			*list = append(*list, s)
		}
	}
	out.BackendTLSPolicies = d.last.policyStatus()
	return out
}

// conditions collects the conditions of an object.
type conditions struct {
	generation int64
	list       []Condition
}

// yes adds a condition that holds.
func (c *conditions) yes(kind, reason, message string) {
	c.list = append(c.list, Condition{kind, "True", reason, message, c.generation})
}

// no adds a condition that does not hold.
func (c *conditions) no(kind, reason, message string) {
	c.list = append(c.list, Condition{kind, "False", reason, message, c.generation})
}

// judge adds a condition that holds unless there is a refusal.
func (c *conditions) judge(kind, good string, bad refusal) {
	if bad.reason != "" {
		c.no(kind, bad.reason, bad.message)
		return
	}
	c.yes(kind, good, "")
}

func (c *gatewayClass) status() ClassStatus {
	cs := conditions{generation: c.generation}
	cs.judge(string(gateway.GatewayClassConditionStatusAccepted), string(gateway.GatewayClassReasonAccepted), c.refusal)
	return ClassStatus{Name: c.name, Conditions: cs.list}
}

func (g *gatewayState) status() GatewayStatus {
	out := GatewayStatus{Namespace: g.gateway.namespace, Name: g.gateway.name}
	for _, a := range g.gateway.addresses {
		if a != "" {
			out.Addresses = append(out.Addresses, a)
		}
	}
	var good, bad, served int
	var unresolved []string
	for _, s := range g.listeners {
		if s.accepted() {
			good++
		} else {
			bad++
		}
		if len(s.nouns) > 0 {
			served++
		}
		if s.unresolved.reason != "" {
			unresolved = append(unresolved, s.listener.name)
		}
		out.Listeners = append(out.Listeners, s.status(g.gateway.generation))
	}
	const accepted, programmed = string(gateway.GatewayConditionAccepted), string(gateway.GatewayConditionProgrammed)
	cs := conditions{generation: g.gateway.generation}
	refused := g.gateway.refusal
	if refused.reason == "" && good == 0 {
		refused = refusal{string(gateway.GatewayReasonListenersNotValid), "no listener is valid"}
	}
	switch {
	case refused.reason != "":
		cs.no(accepted, refused.reason, refused.message)
	case bad > 0:
		cs.yes(accepted, string(gateway.GatewayReasonListenersNotValid), strconv.Itoa(bad)+" of the listeners are not valid")
	default:
		cs.yes(accepted, string(gateway.GatewayReasonAccepted), "")
	}
	switch {
	case refused.reason == "" && g.gateway.unusable.reason != "":
		cs.no(programmed, g.gateway.unusable.reason, g.gateway.unusable.message)
	case served == 0:
		cs.no(programmed, string(gateway.GatewayReasonInvalid), "no listener is served")
	default:
		cs.yes(programmed, string(gateway.GatewayReasonProgrammed), "")
	}
	bound := g.unresolved
	if bound.reason == "" && len(unresolved) > 0 {
		bound = refusal{string(gateway.GatewayReasonListenersNotResolved), "see " + strings.Join(unresolved, ", ")}
	}
	cs.judge(string(gateway.GatewayConditionResolvedRefs), string(gateway.GatewayReasonResolvedRefs), bound)
	if g.gateway.insecure() {
		cs.yes(string(gateway.GatewayConditionInsecureFrontendValidationMode), string(gateway.GatewayReasonConfigurationChanged),
			"clients are let in whose certificates are not valid")
	}
	out.Conditions, out.AttachedListenerSets = cs.list, g.attachedSets()
	return out
}

func (s *listenerState) status(generation int64) ListenerStatus {
	cs := conditions{generation: generation}
	refused := s.refused
	if refused.reason == "" {
		refused = s.conflict
	}
	cs.judge(string(gateway.ListenerConditionAccepted), string(gateway.ListenerReasonAccepted), refused)
	switch {
	case len(s.nouns) > 0:
		cs.yes(string(gateway.ListenerConditionProgrammed), string(gateway.ListenerReasonProgrammed), "")
	case s.conflict.reason != "":
		cs.no(string(gateway.ListenerConditionProgrammed), s.conflict.reason, s.conflict.message)
	default:
		cs.no(string(gateway.ListenerConditionProgrammed), string(gateway.ListenerReasonInvalid), "the listener is not served")
	}
	cs.judge(string(gateway.ListenerConditionResolvedRefs), string(gateway.ListenerReasonResolvedRefs), s.unresolved)
	if s.conflict.reason != "" {
		cs.yes(string(gateway.ListenerConditionConflicted), s.conflict.reason, s.conflict.message)
	} else {
		cs.no(string(gateway.ListenerConditionConflicted), string(gateway.ListenerReasonNoConflicts), "")
	}
	if s.overlaps && s.accepted() {
		cs.yes(string(gateway.ListenerConditionOverlappingTLSConfig), string(gateway.ListenerReasonOverlappingHostnames),
			"another HTTPS listener of the port covers some of the hosts")
	}
	return ListenerStatus{
		Name:           s.listener.name,
		SupportedKinds: append([]string{}, s.listener.kinds...),
		AttachedRoutes: s.attached,
		Conditions:     cs.list,
	}
}

func (r *linkedRoute) status() RouteStatus {
	out := RouteStatus{Namespace: r.route.namespace, Name: r.route.name}
	for i := range r.states {
		s := &r.states[i]
		if !s.ours {
			continue
		}
		ref := &r.route.parents[s.index]
		cs := conditions{generation: r.route.generation}
		cs.judge(string(gateway.RouteConditionAccepted), string(gateway.RouteReasonAccepted), s.refusal)
		cs.judge(string(gateway.RouteConditionResolvedRefs), string(gateway.RouteReasonResolvedRefs), r.unresolved())
		if s.refusal.reason == "" && len(r.route.dropped) > 0 {
			var rules []string
			for _, i := range r.route.dropped {
				rules = append(rules, strconv.Itoa(i))
			}
			cs.yes(string(gateway.RouteConditionPartiallyInvalid), string(gateway.RouteReasonUnsupportedValue),
				"Dropped Rule "+strings.Join(rules, ", "))
		}
		parent := ParentStatus{
			Index: ref.index, Namespace: ref.parent.namespace, Name: ref.parent.name,
			SectionName: ref.section, Port: ref.port, Conditions: cs.list,
		}
		if ref.set {
			parent.Kind = listenerSetKind
		}
		out.Parents = append(out.Parents, parent)
	}
	return out
}

// unresolved is why not all references of a route resolve; zero when they do.
func (r *linkedRoute) unresolved() refusal {
	i := slices.IndexFunc(r.verdicts, func(v verdict) bool { return v.service == "" })
	if i < 0 {
		return refusal{}
	}
	v := r.verdicts[i]
	for _, p := range r.problems {
		if p.Condition == string(gateway.RouteConditionResolvedRefs) && p.Reason == v.why.reason() {
			return refusal{p.Reason, p.Message}
		}
	}
	return refusal{v.why.reason(), "a filter or policy cannot be served"}
}
