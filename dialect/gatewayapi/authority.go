package gatewayapi

import (
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// caRef leads to a ConfigMap or Secret with a bundle of authorities, or to
// something that is neither.
type caRef struct {
	field    string
	object   key
	secret   bool
	stranger string
}

// caRef reads a reference to a bundle.
func (r *reader) caRef(field, group, kind, name, namespace string) caRef {
	ref := caRef{field: field, object: key{namespace, name}, secret: kind == "Secret"}
	if group != coreGroup || kind != "ConfigMap" && kind != "Secret" {
		ref.stranger = kind + " of " + quoted(group)
	}
	return ref
}

// kind is that of what is referred to.
func (c *caRef) kind() string {
	if c.secret {
		return "Secret"
	}
	return "ConfigMap"
}

// faults of a reference to a bundle.
type fault uint8

const (
	noFault     fault = iota
	strangeKind       // it is neither a ConfigMap nor a Secret
	notGranted        // no ReferenceGrant permits it
	notABundle        // it is not there, or holds no authorities
)

// bundle resolves a reference of an object to a bundle of authorities; where
// it cannot be, it says why.
func (l *linker) bundle(from *object, ref *caRef) (ca []byte, why fault, message, hint string) {
	if ref.stranger != "" {
		return nil, strangeKind, ref.stranger + " holds no authorities that naru reads", "authorities are in a ConfigMap or a Secret"
	}
	kind, wrong, found := ref.kind(), "", false
	about := kind + " " + ref.object.String()
	if !l.permitted(from, kind, ref.object) {
		return nil, notGranted, about + " is in another namespace", grantHint(from, kind, ref.object)
	}
	if ref.secret {
		if s := l.secrets[ref.object]; s != nil {
			ca, wrong, found = s.ca, s.caWrong, true
		}
	} else if c := l.configMaps[ref.object]; c != nil {
		ca, wrong, found = c.ca, c.wrong, true
	}
	switch {
	case !found:
		return nil, notABundle, "there is no " + about, l.nearest(kind, ref.object)
	case len(ca) == 0:
		return nil, notABundle, about + " has no " + caKey, ""
	case wrong != "":
		return nil, notABundle, caKey + " of " + about + " cannot be used: " + wrong, ""
	}
	return ca, noFault, "", ""
}

// clientCheck says how clients' certificates are checked.
type clientCheck struct {
	refs     []caRef
	optional bool
}

// frontend reads how clients' certificates are checked. Where something of it
// is not valid, the check that is left lets nobody in.
func (r *reader) frontend(g *gatewayObject, in *gateway.FrontendTLSConfig) {
	if in == nil {
		return
	}
	const field = "spec.tls.frontend"
	g.frontend = map[uint16]*clientCheck{0: r.clientCheck(field+".default.validation", in.Default.Validation)}
	for i := range in.PerPort {
		p, at := &in.PerPort[i], item(field+".perPort", i)
		_, twice := g.frontend[uint16(p.Port)]
		switch {
		case !isPort(p.Port):
			r.broken(at+".port", "bad-value", "a port is between 1 and 65535", "")
		case twice:
			r.broken(at+".port", "duplicate-name", "another item is for this port too", "")
		default:
			g.frontend[uint16(p.Port)] = r.clientCheck(at+".tls.validation", p.TLS.Validation)
		}
	}
}

// clientCheck reads one validation; nil for none.
func (r *reader) clientCheck(field string, in *gateway.FrontendTLSValidation) *clientCheck {
	if in == nil {
		return nil
	}
	c := &clientCheck{optional: in.Mode == gateway.AllowInsecureFallback}
	if in.Mode != "" {
		r.oneOf(field+".mode", string(in.Mode), string(gateway.AllowValidOnly), string(gateway.AllowInsecureFallback))
	}
	if len(in.CACertificateRefs) == 0 && !r.spoiled(field) {
		r.broken(field, "missing-field", "a validation has caCertificateRefs", "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: my-ca}]")
	}
	for i, ref := range in.CACertificateRefs {
		c.refs = append(c.refs, r.caRef(item(field+".caCertificateRefs", i), string(ref.Group), string(ref.Kind), string(ref.Name),
			string(or(ref.Namespace, gateway.Namespace(r.home)))))
	}
	return c
}

// checkState is a clientCheck while it is linked.
type checkState struct {
	auth *model.ClientAuth
	// refused is why no listener may serve with it, unresolved why not all of
	// its references resolve.
	refused, unresolved refusal
}

// clientCheck resolves how a listener checks its clients' certificates; nil
// where it does not. What is found for one listener counts for all of the port.
func (l *linker) clientCheck(s *listenerState) *checkState {
	g, written := s.owner.gateway, s.listener
	check, ok := g.gateway.frontend[written.port]
	if !ok {
		check = g.gateway.frontend[0]
	}
	if check == nil || !written.terminates() {
		return nil
	}
	if written.protocol != gateway.HTTPSProtocolType {
		l.note(l.problem(s.owner.object, written.field, model.Problem{
			Severity: model.Doubtful, Code: "unused",
			Message: "clients' certificates are checked for HTTPS alone, so everybody is let in here",
			Hint:    "see spec.tls.frontend of the Gateway",
		}))
		return nil
	}
	if g.checks == nil {
		g.checks = make(map[*clientCheck]*checkState)
	}
	if state := g.checks[check]; state != nil {
		return state
	}
	state := &checkState{}
	g.checks[check] = state
	var bundles [][]byte
	for i := range check.refs {
		ca, why, message, hint := l.bundle(&g.gateway.object, &check.refs[i])
		reason := gateway.ListenerReasonInvalidCACertificateRef
		switch why {
		case noFault:
			bundles = append(bundles, ca)
			continue
		case strangeKind:
			reason = gateway.ListenerReasonInvalidCACertificateKind
		case notGranted:
			reason = gateway.ListenerReasonRefNotPermitted
		}
		if state.unresolved.reason == "" {
			state.unresolved = refusal{string(reason), message}
		}
		l.note(l.problem(&g.gateway.object, check.refs[i].field, model.Problem{
			Code: "bad-certificate", Message: message, Hint: hint,
			Condition: string(gateway.ListenerConditionResolvedRefs), Reason: string(reason),
		}))
	}
	if len(bundles) == 0 {
		state.refused = refusal{string(gateway.ListenerReasonNoValidCACertificate), "no authority is left to check clients' certificates with"}
		return state
	}
	state.auth = &model.ClientAuth{CA: join(bundles), Optional: check.optional}
	return state
}

// insecure says whether a Gateway lets clients in whose certificates are not
// valid.
func (g *gatewayObject) insecure() bool {
	for _, check := range g.frontend {
		if check != nil && check.optional {
			return true
		}
	}
	return false
}

// clientCertificate resolves what a Gateway shows to backends.
func (l *linker) clientCertificate(g *gatewayState) {
	ref := g.gateway.client
	if ref == nil {
		return
	}
	found, reason, message, hint := l.certificate(&g.gateway.object, ref)
	if found != nil {
		g.certificate = ref.secret.String()
		l.show(found)
		return
	}
	if reason != gateway.ListenerReasonRefNotPermitted {
		reason = gateway.ListenerConditionReason(gateway.GatewayReasonInvalidClientCertificateRef)
	}
	g.unresolved = refusal{string(reason), message}
	l.note(l.problem(&g.gateway.object, ref.field, model.Problem{
		Code: "bad-certificate", Message: message, Hint: hint,
		Condition: string(gateway.GatewayConditionResolvedRefs), Reason: string(reason),
	}))
}

// certificate resolves a reference of an object to a Secret with a
// certificate; where it cannot be, it says why.
func (l *linker) certificate(from *object, ref *secretRef) (found *secret, reason gateway.ListenerConditionReason, message, hint string) {
	reason = gateway.ListenerReasonInvalidCertificateRef
	found = l.secrets[ref.secret]
	switch {
	case ref.stranger != "":
		message = ref.stranger + " is not a Secret"
	case !l.permitted(from, "Secret", ref.secret):
		reason = gateway.ListenerReasonRefNotPermitted
		message = "Secret " + ref.secret.String() + " is in another namespace"
		hint = grantHint(from, "Secret", ref.secret)
	case found == nil:
		message = "there is no Secret " + ref.secret.String()
		hint = l.nearest("Secret", ref.secret)
	case found.wrong != "":
		message = "Secret " + ref.secret.String() + " is not a certificate: " + found.wrong
	default:
		return found, "", "", ""
	}
	return nil, reason, message, hint
}

// show has the certificate of a Secret be a noun.
func (l *linker) show(s *secret) { l.shown = append(l.shown, s) }
