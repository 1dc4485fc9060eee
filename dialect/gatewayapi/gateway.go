package gatewayapi

import (
	"maps"
	"net/netip"
	"slices"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// minTLSOption is the key in listeners[].tls.options for the lowest version of
// TLS that the listener accepts, "1.2" (the default) or "1.3".
const minTLSOption = "naru.dev/min-tls-version"

// mostListeners and mostAddresses are the bounds of the CRD.
const (
	mostListeners = 64
	mostAddresses = 16
)

// gatewayClass is a GatewayClass.
type gatewayClass struct {
	object
	controller string
	refusal    refusal
}

// gatewayObject is a Gateway of which only the references are still open.
type gatewayObject struct {
	object
	class string
	// addresses to bind; "" is every address of the machine.
	addresses []string
	listeners []listener
	// refusal is why it cannot be accepted, unusable why not every address
	// can be bound.
	refusal, unusable refusal
}

// listener is a listener of a Gateway as it was written.
type listener struct {
	name     string
	field    string
	hostname string
	port     uint16
	https    bool
	minTLS   string
	secrets  []secretRef
	// kinds says whether HTTPRoutes may attach; strangers that the kinds name
	// something else too.
	kinds, strangers bool
	from             gateway.FromNamespaces
	selector         *selector
	// refusal is why it cannot be accepted.
	refusal refusal
}

// secretRef leads to a Secret, or to something that is none.
type secretRef struct {
	field    string
	secret   key
	stranger string
}

// gatewayClass reads a GatewayClass.
func (r *reader) gatewayClass(k servedKind) *gatewayClass {
	var in gateway.GatewayClass
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	c := &gatewayClass{object: *o, controller: string(in.Spec.ControllerName)}
	switch {
	case c.controller == "" && !r.spoiled("spec"):
		r.broken("spec", "missing-field", "controllerName is missing", "naru is "+ControllerName)
	case c.controller == ControllerName && in.Spec.ParametersRef != nil:
		c.refusal = refusal{string(gateway.GatewayClassReasonInvalidParameters), "naru has no parameters for a GatewayClass"}
		p := r.broken("spec.parametersRef", "not-served", c.refusal.message, "remove parametersRef")
		p.Condition, p.Reason = string(gateway.GatewayClassConditionStatusAccepted), c.refusal.reason
	}
	return c
}

// gateway reads a Gateway.
func (r *reader) gateway(k servedKind) *gatewayObject {
	var in gateway.Gateway
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	g := &gatewayObject{object: *o, class: string(in.Spec.GatewayClassName)}
	if r.spoiledBeside("spec", "listeners") {
		g.refusal = refusal{string(gateway.GatewayReasonInvalid), "the spec is not valid"}
	}
	if g.class == "" && !r.spoiled("spec") {
		g.refuse(r, "spec", "missing-field", gateway.GatewayReasonInvalid, "gatewayClassName is missing", "gatewayClassName: "+DefaultClass)
	}
	r.addresses(g, in.Spec.Addresses)
	if infra := in.Spec.Infrastructure; infra != nil && infra.ParametersRef != nil {
		g.refuse(r, "spec.infrastructure.parametersRef", "not-served", gateway.GatewayReasonInvalidParameters,
			"naru has no parameters for a Gateway", "remove parametersRef")
	}
	if a := in.Spec.AllowedListeners; a != nil && a.Namespaces != nil && or(a.Namespaces.From, gateway.NamespacesFromNone) != gateway.NamespacesFromNone {
		r.doubtful("spec.allowedListeners", "not-served", "ListenerSets are not served by this version", "")
	}
	if in.Spec.DefaultScope != "" && in.Spec.DefaultScope != gateway.GatewayDefaultScopeNone {
		r.doubtful("spec.defaultScope", "not-served", "defaultScope is not served by this version", "")
	}
	if in.Spec.TLS != nil && in.Spec.TLS.Backend != nil {
		r.doubtful("spec.tls.backend", "not-served", "a client certificate for backends is not served by this version", "")
	}
	r.listeners(g, in.Spec.Listeners, in.Spec.TLS)
	return g
}

// refuse notes why a Gateway cannot be accepted.
func (g *gatewayObject) refuse(r *reader, field, code string, reason gateway.GatewayConditionReason, message, hint string) {
	g.refusal = refusal{string(reason), message}
	p := r.broken(field, code, message, hint)
	p.Condition, p.Reason = string(gateway.GatewayConditionAccepted), string(reason)
}

// addresses reads where the Gateway is to be reached.
func (r *reader) addresses(g *gatewayObject, in []gateway.GatewaySpecAddress) {
	if len(in) > mostAddresses {
		r.broken(item("spec.addresses", mostAddresses), "bad-value", "a Gateway has at most 16 addresses", "")
		in = in[:mostAddresses]
	}
	all := len(in) == 0
	for i, a := range in {
		field := item("spec.addresses", i)
		if kind := or(a.Type, gateway.IPAddressType); kind != gateway.IPAddressType {
			g.refuse(r, field, "not-served", gateway.GatewayReasonUnsupportedAddress,
				"an address of type "+string(kind)+" cannot be bound", "naru binds addresses of type IPAddress")
			continue
		}
		if a.Value == "" {
			all = true
			continue
		}
		ip, err := netip.ParseAddr(a.Value)
		switch {
		case err != nil:
			g.unusable = refusal{string(gateway.GatewayReasonAddressNotUsable), a.Value + " is not an IP address"}
			p := r.broken(field+".value", "bad-value", g.unusable.message, "")
			p.Condition, p.Reason = string(gateway.GatewayConditionProgrammed), g.unusable.reason
		case slices.Contains(g.addresses, ip.String()):
			r.broken(field, "duplicate-name", "the Gateway already has the address "+a.Value, "")
		default:
			g.addresses = append(g.addresses, ip.String())
		}
	}
	if all {
		g.addresses = []string{""}
	}
}

// listeners reads the listeners of a Gateway.
func (r *reader) listeners(g *gatewayObject, in []gateway.Listener, tls *gateway.GatewayTLSConfig) {
	if len(in) == 0 && !r.spoiled("spec") {
		g.refuse(r, "spec", "missing-field", gateway.GatewayReasonInvalid, "a Gateway has at least one listener", "")
	}
	if len(in) > mostListeners {
		r.broken(item("spec.listeners", mostListeners), "bad-value", "a Gateway has at most 64 listeners", "")
		in = in[:mostListeners]
	}
	names := make(map[gateway.SectionName]bool)
	for i := range in {
		field := item("spec.listeners", i)
		switch {
		case r.spoiled(field) && in[i].Name == "":
			continue
		case in[i].Name == "":
			r.broken(field, "missing-field", "a listener has a name", "")
			continue
		case !isName(string(in[i].Name)):
			r.broken(field+".name", "bad-value", string(in[i].Name)+" is not a name", "names are of a-z, 0-9, - and .")
			continue
		case names[in[i].Name]:
			r.broken(field+".name", "duplicate-name", "the Gateway already has a listener "+string(in[i].Name), "")
			continue
		}
		names[in[i].Name] = true
		l := r.listener(field, &in[i], tls)
		if r.spoiled(field) {
			l.refusal = refusal{string(gateway.ListenerReasonUnsupportedValue), "the listener is not valid"}
		}
		g.listeners = append(g.listeners, l)
	}
}

// refuse notes why a listener cannot be accepted.
func (l *listener) refuse(r *reader, field, code string, reason gateway.ListenerConditionReason, message, hint string) {
	if l.refusal.reason == "" {
		l.refusal = refusal{string(reason), message}
	}
	p := r.broken(field, code, message, hint)
	p.Condition, p.Reason = string(gateway.ListenerConditionAccepted), string(reason)
}

// listener reads one listener.
func (r *reader) listener(field string, in *gateway.Listener, tls *gateway.GatewayTLSConfig) listener {
	l := listener{name: string(in.Name), field: field}
	switch in.Protocol {
	case gateway.HTTPProtocolType, gateway.HTTPSProtocolType:
		l.https = in.Protocol == gateway.HTTPSProtocolType
		r.allowedRoutes(&l, in.AllowedRoutes)
	case gateway.TLSProtocolType, gateway.TCPProtocolType, gateway.UDPProtocolType:
		l.refuse(r, field+".protocol", "not-served", gateway.ListenerReasonUnsupportedProtocol,
			"listeners with protocol "+string(in.Protocol)+" are not served by this version", "")
		return l
	case "":
		l.refuse(r, field, "missing-field", gateway.ListenerReasonUnsupportedProtocol, "a listener has a protocol", "HTTP or HTTPS")
		return l
	default:
		l.refuse(r, field+".protocol", "bad-value", gateway.ListenerReasonUnsupportedProtocol,
			"naru has no protocol "+string(in.Protocol), didYouMean(string(in.Protocol), []string{"HTTP", "HTTPS"}))
		return l
	}
	if !isPort(in.Port) {
		l.refuse(r, field+".port", "bad-value", gateway.ListenerReasonPortUnavailable, "a port is between 1 and 65535", "")
	}
	l.port = uint16(in.Port)
	if host := string(or(in.Hostname, "")); host != "" {
		if wrong := checkHostname(host, true); wrong != "" {
			l.refuse(r, field+".hostname", "bad-value", gateway.ListenerReasonUnsupportedValue, wrong, lowerHint(host))
		}
		l.hostname = host
	}
	r.listenerTLS(&l, in, tls)
	return l
}

// listenerTLS reads the TLS of a listener.
func (r *reader) listenerTLS(l *listener, in *gateway.Listener, tls *gateway.GatewayTLSConfig) {
	const bad = gateway.ListenerReasonUnsupportedValue
	field := l.field + ".tls"
	if !l.https {
		if in.TLS != nil {
			l.refuse(r, field, "conflict", bad, "a listener with protocol HTTP has no tls", "write protocol: HTTPS")
		}
		return
	}
	switch {
	case in.TLS == nil:
		l.refuse(r, l.field, "missing-field", bad, "a listener with protocol HTTPS has tls",
			"tls: {certificateRefs: [{name: my-secret}]}")
		return
	case or(in.TLS.Mode, gateway.TLSModeTerminate) != gateway.TLSModeTerminate:
		l.refuse(r, field+".mode", "conflict", bad, "a listener with protocol HTTPS has mode Terminate", "")
	case len(in.TLS.CertificateRefs) == 0:
		l.refuse(r, field, "missing-field", bad, "an HTTPS listener has certificateRefs", "")
	}
	for i, ref := range in.TLS.CertificateRefs {
		at := item(field+".certificateRefs", i)
		s := secretRef{field: at, secret: key{string(or(ref.Namespace, gateway.Namespace(r.home))), string(ref.Name)}}
		kind, group := string(or(ref.Kind, "Secret")), string(or(ref.Group, coreGroup))
		if kind != "Secret" || group != coreGroup {
			s.stranger = kind + " of " + quoted(group)
		}
		l.secrets = append(l.secrets, s)
	}
	for _, option := range slices.Sorted(maps.Keys(in.TLS.Options)) {
		value := string(in.TLS.Options[option])
		at := field + `.options["` + string(option) + `"]`
		switch {
		case option != minTLSOption:
			r.doubtful(at, "not-served", "naru has no option "+string(option), "naru has "+minTLSOption)
		case value != "1.2" && value != "1.3":
			l.refuse(r, at, "bad-value", bad, "the lowest version of TLS is 1.2 or 1.3", "")
		default:
			l.minTLS = value
		}
	}
	if where := frontendValidation(tls, in.Port); where != "" {
		// To serve without asking for a certificate would let everybody in.
		l.refuse(r, where, "not-served", bad, "client certificates are not served by this version, so "+l.name+" is not served", "")
	}
}

// frontendValidation gives the field that asks for client certificates on a
// port, or "".
func frontendValidation(tls *gateway.GatewayTLSConfig, port gateway.PortNumber) string {
	if tls == nil || tls.Frontend == nil {
		return ""
	}
	for i := range tls.Frontend.PerPort {
		if p := &tls.Frontend.PerPort[i]; p.Port == port {
			if p.TLS.Validation == nil {
				return ""
			}
			return item("spec.tls.frontend.perPort", i) + ".tls.validation"
		}
	}
	if tls.Frontend.Default.Validation == nil {
		return ""
	}
	return "spec.tls.frontend.default.validation"
}

// allowedRoutes reads which routes may attach.
func (r *reader) allowedRoutes(l *listener, in *gateway.AllowedRoutes) {
	l.from, l.kinds = gateway.NamespacesFromSame, true
	if in == nil {
		return
	}
	field := l.field + ".allowedRoutes"
	if in.Namespaces != nil {
		l.from = or(in.Namespaces.From, gateway.NamespacesFromSame)
		switch l.from {
		case gateway.NamespacesFromAll, gateway.NamespacesFromSame:
		case gateway.NamespacesFromSelector:
			if in.Namespaces.Selector == nil {
				l.refuse(r, field+".namespaces", "missing-field", gateway.ListenerReasonUnsupportedValue,
					"from: Selector has a selector", "")
			}
			l.selector = r.selector(field+".namespaces.selector", in.Namespaces.Selector)
		default:
			l.refuse(r, field+".namespaces.from", "bad-value", gateway.ListenerReasonUnsupportedValue,
				string(l.from)+" is none of All, Selector, Same", didYouMean(string(l.from), []string{"All", "Selector", "Same"}))
		}
	}
	if len(in.Kinds) == 0 {
		return
	}
	l.kinds = false
	for i, k := range in.Kinds {
		if or(k.Group, gatewayGroup) == gatewayGroup && k.Kind == "HTTPRoute" {
			l.kinds = true
			continue
		}
		l.strangers = true
		p := r.broken(item(field+".kinds", i), "bad-value", string(k.Kind)+" cannot attach to this listener",
			"naru serves HTTPRoute of "+gatewayGroup)
		p.Condition, p.Reason = string(gateway.ListenerConditionResolvedRefs), string(gateway.ListenerReasonInvalidRouteKinds)
	}
}
