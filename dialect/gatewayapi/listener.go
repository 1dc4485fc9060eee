package gatewayapi

import (
	"reflect"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// gatewayState is a Gateway while it is linked.
type gatewayState struct {
	gateway *gatewayObject
	// ours: its class is naru's.
	ours      bool
	listeners []*listenerState
}

// listenerState is a listener while it is linked.
type listenerState struct {
	listener *listener
	nouns    []string // names of the model.Listeners; none when not served
	attached int      // accepted routes
	// Reasons why not; zero when all is well.
	refused, conflict, unresolved refusal
	// overlaps: another HTTPS listener of the port covers some of its hosts.
	overlaps     bool
	certificates []string
	allows       map[string]bool // namespaces asked about so far
}

// accepted says whether the listener takes part at all.
func (s *listenerState) accepted() bool {
	return s.refused.reason == "" && s.conflict.reason == ""
}

// linkGateways decides which listeners are served and makes their nouns. The
// Gateways come oldest first.
func (l *linker) linkGateways() {
	doors := make(map[door]*doorState)
	for _, g := range l.now.gateways {
		if g.ours = l.ours(g.gateway); !g.ours {
			continue
		}
		for i := range g.gateway.listeners {
			written := &g.gateway.listeners[i]
			g.listeners = append(g.listeners, &listenerState{listener: written, refused: written.refusal, allows: make(map[string]bool)})
		}
		l.conflicts(g)
		for _, s := range g.listeners {
			l.certificates(g.gateway, s)
			if s.listener.strangers {
				s.unresolved = refusal{string(gateway.ListenerReasonInvalidRouteKinds), "a kind of route is not served"}
			}
		}
		if g.gateway.refusal.reason != "" {
			continue
		}
		for _, s := range g.listeners {
			if s.accepted() && l.free(doors, g.gateway, s) {
				l.serve(g.gateway, s)
			}
		}
	}
}

// ours says whether a Gateway is of a class of naru's.
func (l *linker) ours(g *gatewayObject) bool {
	class, ok := l.classes[g.class]
	switch {
	case g.class == "" || !ok && len(l.classes) == 0 && g.class == DefaultClass:
		return true
	case !ok:
		hint := l.nearest("GatewayClass", key{name: g.class})
		if len(l.classes) == 0 {
			hint = "without a GatewayClass, gatewayClassName is " + DefaultClass
		}
		l.note(l.problem(&g.object, "spec.gatewayClassName", model.Problem{
			Severity: model.Doubtful, Code: "unknown-class", Hint: hint,
			Message: "there is no GatewayClass " + g.class + ", so " + g.about() + " is not served",
		}))
	case class.controller != ControllerName:
		l.note(l.problem(&g.object, "spec.gatewayClassName", model.Problem{
			Severity: model.Doubtful, Code: "unknown-class",
			Message: "GatewayClass " + g.class + " is of controller " + class.controller + ", so " + g.about() + " is not served",
			Hint:    "naru is controller " + ControllerName,
		}))
	case class.refusal.reason != "":
		l.note(l.problem(&g.object, "spec.gatewayClassName", model.Problem{
			Severity: model.Doubtful, Code: "unknown-class",
			Message: "GatewayClass " + g.class + " is not accepted, so " + g.about() + " is not served",
		}))
	default:
		return true
	}
	return false
}

// conflicts finds the listeners of a Gateway that cannot be told apart. None
// of them is served.
func (l *linker) conflicts(g *gatewayState) {
	for i, a := range g.listeners {
		if a.refused.reason != "" {
			continue
		}
		for j, b := range g.listeners {
			if i == j || b.refused.reason != "" || a.listener.port != b.listener.port {
				continue
			}
			switch {
			case a.listener.https != b.listener.https:
				a.conflict = refusal{string(gateway.ListenerReasonProtocolConflict),
					"listener " + b.listener.name + " has another protocol on the same port"}
			case a.conflict.reason == "" && a.listener.hostname == b.listener.hostname:
				a.conflict = refusal{string(gateway.ListenerReasonHostnameConflict),
					"listener " + b.listener.name + " has the same port and hostname"}
			case a.listener.https && overlap(a.listener.hostname, b.listener.hostname):
				a.overlaps = true
			}
		}
		if a.conflict.reason != "" {
			field := ".port"
			if a.conflict.reason == string(gateway.ListenerReasonHostnameConflict) && a.listener.hostname != "" {
				field = ".hostname"
			}
			l.note(l.problem(&g.gateway.object, a.listener.field+field, model.Problem{
				Code: "conflict", Message: a.conflict.message, Hint: "neither is served",
				Condition: string(gateway.ListenerConditionConflicted), Reason: a.conflict.reason,
			}))
		}
	}
}

// door is what can be bound once.
type door struct {
	address string
	port    uint16
}

// doorState says what is behind a door.
type doorState struct {
	https bool
	hosts map[string]*gatewayObject
}

// free says whether a listener can share its doors with the listeners of older
// Gateways, and if so takes its place there.
func (l *linker) free(doors map[door]*doorState, g *gatewayObject, s *listenerState) bool {
	for _, address := range g.addresses {
		d := doors[door{address, s.listener.port}]
		if d == nil {
			continue
		}
		other, taken := d.hosts[s.listener.hostname]
		if d.https == s.listener.https && !taken {
			continue
		}
		message := "the port is already in use with another protocol"
		if taken {
			message = "the port is already in use for the same host by Gateway " + other.String()
		}
		s.refused = refusal{string(gateway.ListenerReasonPortUnavailable), message}
		l.note(l.problem(&g.object, s.listener.field+".port", model.Problem{
			Code: "conflict", Message: message, Hint: "listeners that share a port have one protocol and differ in hostname",
			Condition: string(gateway.ListenerConditionAccepted), Reason: s.refused.reason,
		}))
		return false
	}
	for _, address := range g.addresses {
		at := door{address, s.listener.port}
		if doors[at] == nil {
			doors[at] = &doorState{https: s.listener.https, hosts: make(map[string]*gatewayObject)}
		}
		doors[at].hosts[s.listener.hostname] = g
	}
	return true
}

// certificates resolves what an HTTPS listener shows. One that is valid is
// enough to serve.
func (l *linker) certificates(g *gatewayObject, s *listenerState) {
	if !s.accepted() {
		return
	}
	for _, ref := range s.listener.secrets {
		reason, message, hint := gateway.ListenerReasonInvalidCertificateRef, "", ""
		found := l.secrets[ref.secret]
		switch {
		case ref.stranger != "":
			message = ref.stranger + " is not a Secret"
		case !l.permitted(&g.object, "Secret", ref.secret):
			reason = gateway.ListenerReasonRefNotPermitted
			message = "Secret " + ref.secret.String() + " is in another namespace"
			hint = grantHint(&g.object, "Secret", ref.secret)
		case found == nil:
			message = "there is no Secret " + ref.secret.String()
			hint = l.nearest("Secret", ref.secret)
		case found.wrong != "":
			message = "Secret " + ref.secret.String() + " is not a certificate: " + found.wrong
		default:
			s.certificates = append(s.certificates, ref.secret.String())
			l.shown = append(l.shown, found)
			continue
		}
		if s.unresolved.reason == "" {
			s.unresolved = refusal{string(reason), message}
		}
		l.note(l.problem(&g.object, ref.field, model.Problem{
			Code: "bad-certificate", Message: message, Hint: hint,
			Condition: string(gateway.ListenerConditionResolvedRefs), Reason: string(reason),
		}))
	}
}

// serve makes the nouns of a listener: one for each address of its Gateway.
func (l *linker) serve(g *gatewayObject, s *listenerState) {
	written := s.listener
	if written.https && len(s.certificates) == 0 || !written.kinds {
		return
	}
	for i, address := range g.addresses {
		noun := &model.Listener{
			Name:         g.String() + "/" + written.name,
			Address:      address,
			Port:         written.port,
			Protocol:     model.HTTP,
			Hostname:     written.hostname,
			Certificates: s.certificates,
			MinTLS:       written.minTLS,
			Origin:       l.origin(&g.object, written.field),
		}
		if i > 0 {
			noun.Name += "@" + address
		}
		if written.https {
			noun.Protocol = model.HTTPS
		}
		if before := l.was.listeners[noun.Name]; before != nil && reflect.DeepEqual(before, noun) {
			noun = before
		}
		l.now.listeners[noun.Name] = noun
		l.fragment.Listeners = append(l.fragment.Listeners, noun)
		s.nouns = append(s.nouns, noun.Name)
	}
}

// linkCertificates makes the nouns of the certificates that listeners show.
func (l *linker) linkCertificates() {
	for _, s := range l.shown {
		if l.now.certificates[s] != nil {
			continue
		}
		noun := l.was.certificates[s]
		if noun == nil {
			noun = s.certificate()
		}
		l.now.certificates[s] = noun
		l.fragment.Certificates = append(l.fragment.Certificates, noun)
	}
}
