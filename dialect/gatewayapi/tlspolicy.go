package gatewayapi

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Bounds of the CRD.
const (
	mostAuthorities = 8
	mostNames       = 5
)

// backendTLSPolicy reads a BackendTLSPolicy. One with a mistake is kept: its
// Services must not be reached, least of all without TLS.
func (r *reader) backendTLSPolicy(k *servedKind) *backendPolicy {
	var in gateway.BackendTLSPolicy
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	p := &backendPolicy{object: *o}
	r.policyTargets(p, in.Spec.TargetRefs)
	v := &in.Spec.Validation
	const field = "spec.validation"
	tls := &model.BackendTLS{ServerName: string(v.Hostname)}
	p.noun.TLS = tls
	if v.Hostname == "" {
		if !r.spoiled(field) {
			r.broken(field, "missing-field", "a validation has a hostname, which the certificate is for", "")
		}
	} else if wrong := checkHostname(string(v.Hostname), false); wrong != "" {
		r.broken(field+".hostname", "bad-value", wrong, lowerHint(string(v.Hostname)))
	}
	r.trusted(p, field, v)
	for i := range v.SubjectAltNames {
		if name := r.altName(item(field+".subjectAltNames", i), &v.SubjectAltNames[i]); name != "" {
			tls.Names = append(tls.Names, name)
		}
	}
	if len(v.SubjectAltNames) > mostNames {
		r.broken(item(field+".subjectAltNames", mostNames), "bad-value", "at most 5 subjectAltNames", "")
	}
	for _, option := range slices.Sorted(maps.Keys(in.Spec.Options)) {
		r.doubtful(optionField("spec.options", string(option)), "not-served", "naru has no option "+string(option)+" for backends", "")
	}
	for i := range r.problems {
		problem := &r.problems[i]
		if problem.Severity != model.Broken || !strings.HasPrefix(problem.Origin.Field, r.full("spec")) {
			continue
		}
		if problem.Condition == "" {
			problem.Condition, problem.Reason = string(gateway.PolicyConditionAccepted), string(gateway.PolicyReasonInvalid)
		}
		if p.refusal.reason == "" {
			p.refusal, p.wrong = refusal{string(gateway.PolicyReasonInvalid), problem.Message}, true
		}
	}
	return p
}

// trusted reads which authorities are believed.
func (r *reader) trusted(p *backendPolicy, field string, v *gateway.BackendTLSPolicyValidation) {
	known := string(or(v.WellKnownCACertificates, ""))
	switch {
	case known != "" && len(v.CACertificateRefs) > 0:
		r.broken(field+".wellKnownCACertificates", "conflict", "caCertificateRefs and wellKnownCACertificates do not go together", "remove one of them")
	case known != "":
		r.oneOf(field+".wellKnownCACertificates", known, string(gateway.WellKnownCACertificatesSystem))
	case len(v.CACertificateRefs) == 0 && !r.spoiled(field):
		r.broken(field, "missing-field", "a validation has caCertificateRefs or wellKnownCACertificates", "wellKnownCACertificates: System")
	}
	refs := v.CACertificateRefs
	if len(refs) > mostAuthorities {
		r.broken(item(field+".caCertificateRefs", mostAuthorities), "bad-value", "at most 8 caCertificateRefs", "")
		refs = refs[:mostAuthorities]
	}
	for i, ref := range refs {
		p.cas = append(p.cas, r.caRef(item(field+".caCertificateRefs", i), string(ref.Group), string(ref.Kind), string(ref.Name), p.namespace))
	}
}

// altName reads a name that the certificate may be for; "" when it is none.
func (r *reader) altName(at string, in *gateway.SubjectAltName) string {
	const host, uri = string(gateway.HostnameSubjectAltNameType), string(gateway.URISubjectAltNameType)
	if !r.oneOf(at+".type", string(in.Type), host, uri) {
		return ""
	}
	isHost := in.Type == gateway.HostnameSubjectAltNameType
	switch {
	case isHost && in.Hostname == "":
		r.broken(at, "missing-field", "type Hostname has hostname", "")
	case isHost && in.URI != "":
		r.broken(at+".uri", "conflict", "uri is for type URI", "")
	case isHost:
		if wrong := checkHostname(string(in.Hostname), true); wrong != "" {
			r.broken(at+".hostname", "bad-value", wrong, lowerHint(string(in.Hostname)))
		}
		return string(in.Hostname)
	case in.URI == "":
		r.broken(at, "missing-field", "type URI has uri", "")
	case in.Hostname != "":
		r.broken(at+".hostname", "conflict", "hostname is for type Hostname", "")
	default:
		if u, err := url.Parse(string(in.URI)); err != nil || u.Scheme == "" {
			r.broken(at+".uri", "bad-value", string(in.URI)+" is not a URI with a scheme", "write for example spiffe://cluster.local/ns/shop/sa/orders")
		}
		return string(in.URI)
	}
	return ""
}
