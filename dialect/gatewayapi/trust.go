package gatewayapi

import (
	"slices"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// policyState is a policy with what became of its references.
type policyState struct {
	policy *backendPolicy
	ca     []byte
	// certificate names what is shown to backends; "" for none.
	certificate string
	// wrong says that its Services must not be reached.
	wrong bool
	// refused is why it is not accepted, unresolved why not all its references
	// resolve; zero when all is well.
	refused, unresolved refusal
}

// linkPolicies gives each policy to its Services. The policies come oldest
// first. Of BackendTLSPolicies the first for a target counts, and one for a port
// before one for all of a Service. BackendPolicies are in the order in which they
// count: those for a port, the Service, its namespace, the mesh.
func (l *linker) linkPolicies() {
	for _, p := range l.policies {
		l.now.policies = append(l.now.policies, l.policy(p))
	}
	for _, ports := range []bool{true, false} {
		for _, state := range l.now.policies {
			for i := range state.policy.targets {
				if t := &state.policy.targets[i]; t.kind == model.TargetService && (t.port != "") == ports {
					l.target(state, t)
				}
			}
		}
	}
	for _, kind := range []model.TargetKind{model.TargetNamespace, model.TargetMesh} {
		for _, state := range l.now.policies {
			for i := range state.policy.targets {
				if t := &state.policy.targets[i]; t.kind == kind {
					l.around(state, t)
				}
			}
		}
	}
	for _, state := range l.now.policies {
		if noun := l.known(state.policy.treatment); noun != nil {
			l.fragment.Traffic = append(l.fragment.Traffic, noun)
		}
	}
	for _, p := range l.traffic {
		l.fragment.Traffic = append(l.fragment.Traffic, p.noun)
	}
}

// known gives a policy without the Services that are not there, nil where nothing
// is left: target has told of them.
func (l *linker) known(p *model.TrafficPolicy) *model.TrafficPolicy {
	if p == nil {
		return nil
	}
	unknown := func(t model.PolicyTarget) bool {
		if t.Kind != model.TargetService {
			return false
		}
		s := l.services[key{t.Namespace, t.Name}]
		return s == nil || t.Section != "" && !s.service.byName(t.Section)
	}
	if !slices.ContainsFunc(p.Targets, unknown) {
		return p
	}
	out := *p
	if out.Targets = slices.DeleteFunc(slices.Clone(p.Targets), unknown); len(out.Targets) == 0 {
		return nil
	}
	return &out
}

// around attaches a policy to all Services of a namespace, or to all.
func (l *linker) around(state *policyState, t *policyTarget) {
	for _, s := range l.order {
		if t.kind == model.TargetNamespace && s.service.namespace != t.service.namespace {
			continue
		}
		for i := range s.ports {
			s.ports[i].policies = append(s.ports[i].policies, state)
		}
	}
}

// policy resolves the references of a policy.
func (l *linker) policy(p *backendPolicy) *policyState {
	state := &policyState{policy: p, wrong: p.wrong, refused: p.refusal}
	if p.noun.TLS == nil {
		return state
	}
	var bundles [][]byte
	if len(p.noun.TLS.CA) > 0 {
		bundles = append(bundles, p.noun.TLS.CA)
	}
	for i := range p.cas {
		ca, why, message, hint := l.bundle(&p.object, &p.cas[i])
		if why == noFault {
			bundles = append(bundles, ca)
			continue
		}
		condition, reason := string(gateway.BackendTLSPolicyConditionResolvedRefs), gateway.BackendTLSPolicyReasonInvalidCACertificateRef
		switch {
		case p.kind != tlsPolicyKind:
			// Naru's own has one condition, and no half measures.
			condition, state.wrong = string(gateway.PolicyConditionAccepted), true
		case why == strangeKind:
			reason = gateway.BackendTLSPolicyReasonInvalidKind
		}
		if state.unresolved.reason == "" {
			state.unresolved = refusal{string(reason), message}
		}
		l.note(l.problem(&p.object, p.cas[i].field, model.Problem{
			Code: "bad-certificate", Message: message, Hint: hint, Condition: condition, Reason: string(reason),
		}))
	}
	if len(p.cas) > 0 && len(bundles) == 0 {
		state.wrong = true
		if state.refused.reason == "" {
			state.refused = refusal{string(gateway.BackendTLSPolicyReasonNoValidCACertificate), "no authority is left to check certificates with"}
		}
	}
	state.ca = join(bundles)
	if p.client != nil {
		l.policyCertificate(state)
	}
	return state
}

// policyCertificate resolves what is shown to backends.
func (l *linker) policyCertificate(state *policyState) {
	p := state.policy
	found, _, message, hint := l.certificate(&p.object, p.client)
	if found != nil {
		state.certificate = p.client.secret.String()
		l.show(found)
		return
	}
	state.wrong = true
	l.note(l.problem(&p.object, p.client.field, model.Problem{
		Code: "bad-certificate", Message: message, Hint: hint,
		Condition: string(gateway.PolicyConditionAccepted), Reason: string(gateway.GatewayReasonInvalidClientCertificateRef),
	}))
}

// target attaches a policy to a Service or to one port of it.
func (l *linker) target(state *policyState, t *policyTarget) {
	note := func(code, message, hint string, reason gateway.PolicyConditionReason, severity model.Severity) {
		if state.refused.reason == "" {
			state.refused = refusal{string(reason), message}
		}
		l.note(l.problem(&state.policy.object, t.field, model.Problem{
			Severity: severity, Code: code, Message: message, Hint: hint,
			Condition: string(gateway.PolicyConditionAccepted), Reason: string(reason),
		}))
	}
	s := l.services[t.service]
	if s == nil {
		note("unknown-service", "there is no Service "+t.service.String(), l.nearest("Service", t.service),
			gateway.PolicyReasonTargetNotFound, model.Doubtful)
		return
	}
	known, taken := false, ""
	for i := range s.ports {
		p := &s.ports[i]
		if t.port != "" && p.written.name != t.port {
			continue
		}
		known = true
		if state.policy.kind != tlsPolicyKind {
			for _, other := range p.policies {
				if other != state && other.forPort(t.service, p.written.name) == (t.port != "") && state.contradicts(other) {
					taken = other.policy.about()
				}
			}
			p.policies = append(p.policies, state)
			continue
		}
		switch {
		case p.trust == nil:
			p.trust = state
		case t.port != "" || !p.trust.forPort(t.service, p.written.name):
			taken = p.trust.policy.about()
		}
	}
	switch {
	case taken != "":
		note("conflict", taken+" is already for "+s.service.about(), "the older policy counts", gateway.PolicyReasonConflicted, model.Broken)
	case !known && t.port != "":
		note("unknown-service", s.service.about()+" has no port "+t.port, "", gateway.PolicyReasonTargetNotFound, model.Doubtful)
	}
}

// contradicts says whether two policies say the same of what a Service is.
func (state *policyState) contradicts(other *policyState) bool {
	a, b := &state.policy.noun, &other.policy.noun
	return a.TLS != nil && b.TLS != nil || a.Host != "" && b.Host != "" && a.Host != b.Host ||
		a.Protocol != "" && b.Protocol != "" && a.Protocol != b.Protocol || a.ProxyProtocol != 0 && b.ProxyProtocol != 0 && a.ProxyProtocol != b.ProxyProtocol
}

// forPort says whether a policy names a port of a Service rather than all.
func (state *policyState) forPort(service key, port string) bool {
	for _, t := range state.policy.targets {
		if t.service == service && t.port == port && port != "" {
			return true
		}
	}
	return false
}
