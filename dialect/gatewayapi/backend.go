package gatewayapi

import (
	"bytes"
	"slices"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// serviceState is a Service while it is linked.
type serviceState struct {
	service *service
	ports   []portState
}

// portState is one port of a Service while it is linked.
type portState struct {
	written *servicePort
	policy  *policyState
	// needed is how many references of routes that are served lead here.
	needed int
	// linked is the noun with what it was made of; nil until it is needed.
	linked *linkedService
}

// policyState is a BackendPolicy with its authorities.
type policyState struct {
	policy *backendPolicy
	ca     []byte
	wrong  bool
}

func newServiceState(s *service) *serviceState {
	out := &serviceState{service: s, ports: make([]portState, len(s.ports))}
	for i := range s.ports {
		out.ports[i].written = &s.ports[i]
	}
	return out
}

// port gives a port by its number; the one for TCP where there are two.
func (s *serviceState) port(number int32) *portState {
	var found *portState
	for i := range s.ports {
		if p := &s.ports[i]; p.written.port == number && (found == nil || !p.written.udp) {
			found = p
		}
	}
	return found
}

// protocol names what a port speaks, for people.
func (p *portState) protocol() string {
	if p.written.udp {
		return "UDP or SCTP"
	}
	return p.written.app
}

// unspeakable says whether a port asks for a protocol that naru does not speak
// to it. What asks for TLS needs a BackendPolicy that says how certificates
// are checked. Names that are not known are taken for plain HTTP.
func (p *portState) unspeakable() bool {
	switch app := p.written.app; {
	case p.written.udp:
		return true
	case app == "kubernetes.io/h2c" || app == "grpc" || app == "h2c" || app == "http2":
		return true
	default:
		return overTLS(app) && (p.policy == nil || p.policy.policy.noun.TLS == nil)
	}
}

// overTLS says whether an appProtocol is one over TLS.
func overTLS(app string) bool {
	return app == "https" || app == "wss" || app == "kubernetes.io/wss"
}

// linkPolicies gives each BackendPolicy to its Services. The policies come
// oldest first, and the first for a target counts.
func (l *linker) linkPolicies() {
	for _, ports := range []bool{true, false} {
		for _, p := range l.policies {
			var state *policyState
			for i := range p.targets {
				t := &p.targets[i]
				if (t.port != "") != ports {
					continue
				}
				if state == nil {
					state = l.policy(p)
				}
				l.target(state, t)
			}
		}
	}
}

// policy resolves the authorities of a policy.
func (l *linker) policy(p *backendPolicy) *policyState {
	state := &policyState{policy: p, wrong: p.wrong}
	if p.noun.TLS == nil {
		return state
	}
	var bundles [][]byte
	if len(p.noun.TLS.CA) > 0 {
		bundles = append(bundles, p.noun.TLS.CA)
	}
	for _, ref := range p.cas {
		kind, bundle, found := "ConfigMap", []byte(nil), false
		if ref.secret {
			kind = "Secret"
			if s := l.secrets[ref.object]; s != nil {
				bundle, found = s.ca, true
			}
		} else if c := l.configMaps[ref.object]; c != nil {
			bundle, found = c.ca, true
		}
		message, hint := "", ""
		switch {
		case !found:
			message, hint = "there is no "+kind+" "+ref.object.String(), l.nearest(kind, ref.object)
		case len(bundle) == 0:
			message = kind + " " + ref.object.String() + " has no " + caKey
		default:
			if wrong := checkAuthorities(bundle); wrong != "" {
				message = caKey + " of " + kind + " " + ref.object.String() + " cannot be used: " + wrong
			}
		}
		if message == "" {
			bundles = append(bundles, bundle)
			continue
		}
		state.wrong = true
		l.note(l.problem(&p.object, ref.field, model.Problem{
			Code: "bad-certificate", Message: message, Hint: hint,
			Condition: string(gateway.PolicyConditionAccepted),
			Reason:    string(gateway.BackendTLSPolicyReasonInvalidCACertificateRef),
		}))
	}
	state.ca = join(bundles)
	return state
}

// target attaches a policy to a Service or to one port of it.
func (l *linker) target(state *policyState, t *policyTarget) {
	note := func(code, message, hint string, reason gateway.PolicyConditionReason, severity model.Severity) {
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
		switch {
		case p.policy == nil:
			p.policy = state
		case t.port != "" || !p.policy.forPort(t.service, p.written.name):
			taken = p.policy.policy.about()
		}
	}
	switch {
	case taken != "":
		note("conflict", taken+" is already for "+s.service.about(), "the older policy counts", gateway.PolicyReasonConflicted, model.Broken)
	case !known && t.port != "":
		note("unknown-service", s.service.about()+" has no port "+t.port, "", gateway.PolicyReasonTargetNotFound, model.Doubtful)
	}
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

// linkedService is the noun of a port of a Service with what it was made of.
type linkedService struct {
	service *service
	port    int
	policy  *backendPolicy
	ca      []byte
	slices  []*slice
	noun    *model.Service
	without string // why there are no endpoints
}

// linkServices makes the nouns of the ports that routes need.
func (l *linker) linkServices() {
	for _, s := range l.order {
		for i := range s.ports {
			p := &s.ports[i]
			if p.needed == 0 {
				continue
			}
			if p.linked == nil {
				p.linked = l.linkService(s, i)
				l.now.services[p.written.noun] = p.linked
			}
			if p.linked.without != "" {
				l.note(model.Problem{Origin: s.service.at, Severity: model.Doubtful, Code: "no-endpoints", Message: p.linked.without})
			}
			l.fragment.Services = append(l.fragment.Services, p.linked.noun)
		}
	}
}

// linkService makes the noun of one port, or takes that of the last time.
func (l *linker) linkService(s *serviceState, i int) *linkedService {
	p := &s.ports[i]
	made := linkedService{service: s.service, port: i, slices: l.slices[s.service.key]}
	if p.policy != nil {
		made.policy, made.ca = p.policy.policy, p.policy.ca
	}
	linked := l.was.services[p.written.noun]
	if linked == nil || linked.service != made.service || linked.port != made.port || linked.policy != made.policy ||
		!bytes.Equal(linked.ca, made.ca) || !slices.Equal(linked.slices, made.slices) {
		made.make(p.written)
		return &made
	}
	return linked
}

// make makes the noun.
func (made *linkedService) make(p *servicePort) {
	noun := &model.Service{}
	if made.policy != nil {
		*noun = made.policy.noun
		if noun.TLS != nil {
			tls := *noun.TLS
			tls.CA = made.ca
			noun.TLS = &tls
		}
	}
	noun.Name, noun.Origin = p.noun, made.service.at
	noun.Endpoints, made.without = made.service.endpoints(p, made.slices)
	made.noun = noun
}
