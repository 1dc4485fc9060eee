package gatewayapi

import (
	"reflect"
	"slices"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// owner is what has listeners, while it is linked: a Gateway or a ListenerSet.
type owner struct {
	object *object
	// ours: it is of a class of naru's.
	ours      bool
	listeners []*listenerState
	// gateway is itself, or that of the ListenerSet.
	gateway *gatewayState
}

// gatewayState is a Gateway while it is linked.
type gatewayState struct {
	owner
	gateway *gatewayObject
	sets    []*setState // that name it, oldest first
	// certificate is the name of what is shown to backends, unresolved why it
	// is not there.
	certificate string
	unresolved  refusal
	checks      map[*clientCheck]*checkState
}

// listenerState is a listener while it is linked.
type listenerState struct {
	listener *listener
	owner    *owner
	nouns    []string // names of the model.Listeners; none when not served
	attached int      // accepted routes
	// Reasons why not; zero when all is well.
	refused, conflict, unresolved refusal
	// overlaps: another HTTPS listener of the port covers some of its hosts.
	overlaps     bool
	certificates []string
	auth         *model.ClientAuth
	allows       map[string]bool // namespaces asked about so far
	contest      *contest        // nil where only one kind of route is for HTTP
}

// accepted says whether the listener takes part at all.
func (s *listenerState) accepted() bool {
	return s.refused.reason == "" && s.conflict.reason == ""
}

// own gives an owner the states of its listeners.
func (o *owner) own(listeners []listener) {
	for i := range listeners {
		written := &listeners[i]
		o.listeners = append(o.listeners, &listenerState{
			listener: written, owner: o, refused: written.refusal, allows: make(map[string]bool),
		})
	}
}

// linkGateways decides which listeners are served and makes their nouns. The
// Gateways and ListenerSets come oldest first.
func (l *linker) linkGateways() {
	for _, g := range l.now.gateways {
		if g.ours = l.ours(g.gateway); g.ours {
			g.own(g.gateway.listeners)
		}
	}
	l.linkSets()
	doors := make(map[door]*doorState)
	for _, g := range l.now.gateways {
		if !g.ours {
			continue
		}
		l.conflicts(g)
		l.clientCertificate(g)
		l.resolveListeners(&g.owner)
		for _, set := range g.sets {
			l.resolveListeners(&set.owner)
		}
		if g.gateway.refusal.reason != "" || !slices.ContainsFunc(g.listeners, (*listenerState).accepted) {
			for _, set := range g.sets {
				set.refuseParent()
			}
			continue
		}
		l.serveAll(doors, &g.owner)
		for _, set := range g.sets {
			l.serveAll(doors, &set.owner)
		}
	}
}

// resolveListeners resolves the references of listeners.
func (l *linker) resolveListeners(o *owner) {
	for _, s := range o.listeners {
		l.certificates(s)
		if check := l.clientCheck(s); check != nil {
			s.auth = check.auth
			if s.refused.reason == "" {
				s.refused = check.refused
			}
			if s.unresolved.reason == "" {
				s.unresolved = check.unresolved
			}
		}
		if s.listener.strangers {
			s.unresolved = refusal{string(gateway.ListenerReasonInvalidRouteKinds), "a kind of route is not served"}
		}
	}
}

// serveAll serves the listeners that can be.
func (l *linker) serveAll(doors map[door]*doorState, o *owner) {
	for _, s := range o.listeners {
		if s.accepted() && l.free(doors, s) {
			l.serve(s)
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

// certificates resolves what a listener that ends TLS shows. One that is valid
// is enough to serve.
func (l *linker) certificates(s *listenerState) {
	if !s.accepted() {
		return
	}
	for i := range s.listener.secrets {
		ref := &s.listener.secrets[i]
		found, reason, message, hint := l.certificate(s.owner.object, ref)
		if found != nil {
			s.certificates = append(s.certificates, ref.secret.String())
			l.show(found)
			continue
		}
		if s.unresolved.reason == "" {
			s.unresolved = refusal{string(reason), message}
		}
		l.note(l.problem(s.owner.object, ref.field, model.Problem{
			Code: "bad-certificate", Message: message, Hint: hint,
			Condition: string(gateway.ListenerConditionResolvedRefs), Reason: string(reason),
		}))
	}
}

// serve makes the nouns of a listener: one for each address of its Gateway.
func (l *linker) serve(s *listenerState) {
	written, g := s.listener, s.owner.gateway
	if written.terminates() && len(s.certificates) == 0 && written.issuance == nil || len(written.kinds) == 0 {
		return
	}
	for i, address := range g.gateway.addresses {
		noun := &model.Listener{
			Name:         s.owner.prefix() + written.name,
			Address:      address,
			Port:         written.port,
			Protocol:     protocolOf(written.protocol),
			Hostname:     written.hostname,
			Certificates: s.certificates,
			MinTLS:       written.minTLS,
			Passthrough:  written.passthrough,
			ClientAuth:   s.auth,
			Issuance:     written.issuance,
			HTTP3:        written.http3,
			Origin:       l.origin(s.owner.object, written.field),
		}
		if i > 0 {
			noun.Name += "@" + address
		}
		if before := l.was.listeners[noun.Name]; before != nil && reflect.DeepEqual(before, noun) {
			noun = before
		}
		l.now.listeners[noun.Name] = noun
		l.fragment.Listeners = append(l.fragment.Listeners, noun)
		s.nouns = append(s.nouns, noun.Name)
	}
}

// prefix begins the names of an owner's nouns: namespace/gateway/, and then,
// for a ListenerSet, namespace/set/.
func (o *owner) prefix() string {
	name := o.gateway.gateway.String() + "/"
	if o != &o.gateway.owner {
		name += o.object.String() + "/"
	}
	return name
}

// protocolOf is the model's word for a protocol.
func protocolOf(p gateway.ProtocolType) model.Protocol {
	switch p {
	case gateway.HTTPSProtocolType:
		return model.HTTPS
	case gateway.TLSProtocolType:
		return model.TLS
	case gateway.TCPProtocolType:
		return model.TCP
	case gateway.UDPProtocolType:
		return model.UDP
	default:
		return model.HTTP
	}
}

// linkCertificates makes the nouns of the certificates that are shown.
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
