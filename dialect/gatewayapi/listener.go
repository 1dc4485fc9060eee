package gatewayapi

import (
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// listener is a listener of a Gateway or ListenerSet as it was written.
type listener struct {
	name     string
	field    string
	hostname string
	port     uint16
	protocol gateway.ProtocolType
	// passthrough: the TLS of clients is not ended here.
	passthrough bool
	minTLS      string
	http3       bool
	issuance    *model.Issuance
	secrets     []secretRef
	// kinds are those of the routes that may attach; strangers says that
	// others were asked for too.
	kinds     []string
	strangers bool
	allowance
	// refusal is why it cannot be accepted.
	refusal refusal
}

// allowance says of which namespaces something may attach.
type allowance struct {
	from     gateway.FromNamespaces
	selector *selector
}

// secretRef leads to a Secret, or to something that is none.
type secretRef struct {
	field    string
	secret   key
	stranger string
}

// secretRef reads a reference to a Secret.
func (r *reader) secretRef(field string, in *gateway.SecretObjectReference) secretRef {
	s := secretRef{field: field, secret: key{string(or(in.Namespace, gateway.Namespace(r.home))), string(in.Name)}}
	kind, group := string(or(in.Kind, "Secret")), string(or(in.Group, coreGroup))
	if kind != "Secret" || group != coreGroup {
		s.stranger = kind + " of " + quoted(group)
	}
	return s
}

// terminates says whether the listener ends the TLS of clients.
func (l *listener) terminates() bool {
	return l.protocol == gateway.HTTPSProtocolType || l.protocol == gateway.TLSProtocolType && !l.passthrough
}

// datagrams says whether the listener has a port of its own, apart from those
// of TCP.
func (l *listener) datagrams() bool { return l.protocol == gateway.UDPProtocolType }

// routeKinds are the kinds of routes that a listener can serve.
func (l *listener) routeKinds() []string {
	switch l.protocol {
	case gateway.HTTPProtocolType, gateway.HTTPSProtocolType:
		return []string{httpRoute, grpcRoute}
	case gateway.TLSProtocolType:
		if l.passthrough {
			return []string{tlsRoute}
		}
		return []string{tlsRoute, tcpRoute}
	case gateway.TCPProtocolType:
		return []string{tcpRoute}
	case gateway.UDPProtocolType:
		return []string{udpRoute}
	default:
		return nil
	}
}

// listeners reads the listeners of an object of a kind.
func (r *reader) listeners(kind string, in []gateway.Listener) []listener {
	if len(in) > mostListeners {
		r.broken(item("spec.listeners", mostListeners), "bad-value", "a "+kind+" has at most 64 listeners", "")
		in = in[:mostListeners]
	}
	var out []listener
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
			r.broken(field+".name", "duplicate-name", "the "+kind+" already has a listener "+string(in[i].Name), "")
			continue
		}
		names[in[i].Name] = true
		l := r.listener(field, &in[i])
		if r.spoiled(field) {
			l.refusal = refusal{string(gateway.ListenerReasonUnsupportedValue), "the listener is not valid"}
		}
		out = append(out, l)
	}
	return out
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
func (r *reader) listener(field string, in *gateway.Listener) listener {
	l := listener{name: string(in.Name), field: field, protocol: in.Protocol}
	known := []string{"HTTP", "HTTPS", "TLS", "TCP", "UDP"}
	switch {
	case in.Protocol == "":
		l.refuse(r, field, "missing-field", gateway.ListenerReasonUnsupportedProtocol, "a listener has a protocol", strings.Join(known, ", "))
		return l
	case !slices.Contains(known, string(in.Protocol)):
		l.refuse(r, field+".protocol", "bad-value", gateway.ListenerReasonUnsupportedProtocol,
			"naru has no protocol "+string(in.Protocol), didYouMean(string(in.Protocol), known))
		return l
	}
	if in.TLS != nil && in.Protocol == gateway.TLSProtocolType {
		l.passthrough = or(in.TLS.Mode, gateway.TLSModeTerminate) == gateway.TLSModePassthrough
	}
	r.allowedRoutes(&l, in.AllowedRoutes)
	if !isPort(in.Port) {
		l.refuse(r, field+".port", "bad-value", gateway.ListenerReasonPortUnavailable, "a port is between 1 and 65535", "")
	}
	l.port = uint16(in.Port)
	if host := string(or(in.Hostname, "")); host != "" {
		if in.Protocol == gateway.TCPProtocolType || in.Protocol == gateway.UDPProtocolType {
			l.refuse(r, field+".hostname", "conflict", gateway.ListenerReasonUnsupportedValue,
				"a listener with protocol "+string(in.Protocol)+" has no hostname", "names are known of HTTP, HTTPS and TLS")
		} else if wrong := checkHostname(host, true); wrong != "" {
			l.refuse(r, field+".hostname", "bad-value", gateway.ListenerReasonUnsupportedValue, wrong, lowerHint(host))
		}
		l.hostname = host
	}
	r.listenerTLS(&l, in)
	return l
}

// listenerTLS reads the TLS of a listener.
func (r *reader) listenerTLS(l *listener, in *gateway.Listener) {
	const bad = gateway.ListenerReasonUnsupportedValue
	field, protocol := l.field+".tls", string(l.protocol)
	if l.protocol != gateway.HTTPSProtocolType && l.protocol != gateway.TLSProtocolType {
		if in.TLS != nil {
			hint := ""
			if l.protocol != gateway.UDPProtocolType {
				hint = "write protocol: " + map[bool]string{true: "HTTPS", false: "TLS"}[l.protocol == gateway.HTTPProtocolType]
			}
			l.refuse(r, field, "conflict", bad, "a listener with protocol "+protocol+" has no tls", hint)
		}
		return
	}
	if in.TLS == nil {
		l.refuse(r, l.field, "missing-field", bad, "a listener with protocol "+protocol+" has tls",
			"tls: {certificateRefs: [{name: my-secret}]}")
		return
	}
	switch mode := or(in.TLS.Mode, gateway.TLSModeTerminate); {
	case mode == gateway.TLSModePassthrough && l.protocol == gateway.HTTPSProtocolType:
		l.refuse(r, field+".mode", "conflict", bad, "a listener with protocol HTTPS has mode Terminate", "write protocol: TLS")
	case mode != gateway.TLSModeTerminate && mode != gateway.TLSModePassthrough:
		known := []string{"Terminate", "Passthrough"}
		l.refuse(r, field+".mode", "bad-value", bad, string(mode)+" is none of Terminate, Passthrough", didYouMean(string(mode), known))
	}
	if l.passthrough {
		if len(in.TLS.CertificateRefs) > 0 {
			r.doubtful(field+".certificateRefs", "unused", "with mode Passthrough no certificate is shown here", "remove certificateRefs")
		}
	} else {
		for i := range in.TLS.CertificateRefs {
			l.secrets = append(l.secrets, r.secretRef(item(field+".certificateRefs", i), &in.TLS.CertificateRefs[i]))
		}
	}
	r.options(l, field+".options", in.TLS.Options)
	if l.terminates() && len(l.secrets) == 0 && l.issuance == nil && l.refusal.reason == "" {
		l.refuse(r, field, "missing-field", bad, "a listener that ends TLS has certificateRefs",
			"or options with "+issuerOption+", which gets certificates by itself")
	}
}

// allowedRoutes reads which routes may attach.
func (r *reader) allowedRoutes(l *listener, in *gateway.AllowedRoutes) {
	can := l.routeKinds()
	l.from, l.kinds = gateway.NamespacesFromSame, can
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
	l.kinds = nil
	for i, k := range in.Kinds {
		if or(k.Group, gatewayGroup) == gatewayGroup && slices.Contains(can, string(k.Kind)) {
			if !slices.Contains(l.kinds, string(k.Kind)) {
				l.kinds = append(l.kinds, string(k.Kind))
			}
			continue
		}
		l.strangers = true
		p := r.broken(item(field+".kinds", i), "bad-value", string(k.Kind)+" cannot attach to this listener",
			"a listener with protocol "+string(l.protocol)+" serves "+strings.Join(can, " and ")+" of "+gatewayGroup)
		p.Condition, p.Reason = string(gateway.ListenerConditionResolvedRefs), string(gateway.ListenerReasonInvalidRouteKinds)
	}
}
