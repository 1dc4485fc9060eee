package gatewayapi

import (
	"net/netip"
	"slices"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

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
	// allowed says which ListenerSets may add listeners.
	allowed allowance
	// frontend says how clients' certificates are checked by port; where a port
	// has no entry, the one for port 0 counts, and nil is not at all.
	frontend map[uint16]*clientCheck
	// client is the certificate that backends are shown; nil for none.
	client *secretRef
	// refusal is why it cannot be accepted, unusable why not every address
	// can be bound.
	refusal, unusable refusal
}

// gatewayClass reads a GatewayClass.
func (r *reader) gatewayClass(k *servedKind) *gatewayClass {
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
func (r *reader) gateway(k *servedKind) *gatewayObject {
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
	g.allowed = allowance{from: gateway.NamespacesFromNone}
	if a := in.Spec.AllowedListeners; a != nil && a.Namespaces != nil {
		g.allowed = r.allowedListeners(g, a.Namespaces)
	}
	if in.Spec.DefaultScope != "" && in.Spec.DefaultScope != gateway.GatewayDefaultScopeNone {
		r.doubtful("spec.defaultScope", "not-served", "defaultScope is not served by this version", "")
	}
	if tls := in.Spec.TLS; tls != nil {
		r.frontend(g, tls.Frontend)
		if tls.Backend != nil && tls.Backend.ClientCertificateRef != nil {
			ref := r.secretRef("spec.tls.backend.clientCertificateRef", tls.Backend.ClientCertificateRef)
			g.client = &ref
		}
	}
	if len(in.Spec.Listeners) == 0 && !r.spoiled("spec") {
		g.refuse(r, "spec", "missing-field", gateway.GatewayReasonInvalid, "a Gateway has at least one listener", "")
	}
	g.listeners = r.listeners("Gateway", in.Spec.Listeners)
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

// allowedListeners reads which ListenerSets may add listeners to a Gateway.
func (r *reader) allowedListeners(g *gatewayObject, in *gateway.ListenerNamespaces) allowance {
	const field = "spec.allowedListeners.namespaces"
	out := allowance{from: or(in.From, gateway.NamespacesFromNone)}
	switch out.from {
	case gateway.NamespacesFromNone, gateway.NamespacesFromSame, gateway.NamespacesFromAll:
	case gateway.NamespacesFromSelector:
		if in.Selector == nil {
			g.refuse(r, field, "missing-field", gateway.GatewayReasonInvalid, "from: Selector has a selector", "")
		}
		out.selector = r.selector(field+".selector", in.Selector)
	default:
		known := []string{"None", "All", "Selector", "Same"}
		g.refuse(r, field+".from", "bad-value", gateway.GatewayReasonInvalid,
			string(out.from)+" is none of None, All, Selector, Same", didYouMean(string(out.from), known))
		out.from = gateway.NamespacesFromNone
	}
	return out
}
