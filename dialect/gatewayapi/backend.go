package gatewayapi

import (
	"bytes"
	"cmp"
	"slices"

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
	// policies are its BackendPolicies, the nearest first, and trust is its
	// BackendTLSPolicy.
	policies []*policyState
	trust    *policyState
	reached  []reachState
}

// reach is how a port is reached. What makes no difference to a port is zero.
type reach struct {
	way
	// grpc: the route says that the port speaks gRPC, and nothing else does.
	grpc bool
}

// reachState is one way in which routes reach a port.
type reachState struct {
	reach
	noun string // name of the model.Service
	// count is how many references of routes that are served lead here.
	count int
	// linked is the noun with what it was made of; nil until it is needed.
	linked *linkedService
}

func newServiceState(s *service) *serviceState {
	out := &serviceState{service: s, ports: make([]portState, len(s.ports))}
	for i := range s.ports {
		out.ports[i].written = &s.ports[i]
	}
	return out
}

// port gives a port by its number: of two, the one that is for datagrams or
// not.
func (s *serviceState) port(number int32, datagrams bool) *portState {
	var found *portState
	for i := range s.ports {
		p := &s.ports[i]
		if p.written.port != number {
			continue
		}
		if p.written.served() && p.written.udp() == datagrams {
			return p
		}
		if found == nil {
			found = p
		}
	}
	return found
}

// secured is the policy that says how the port's certificate is checked; nil
// where connections are plain.
func (p *portState) secured() *policyState {
	switch {
	case p.written.udp():
		return nil
	case p.trust != nil:
		return p.trust
	}
	for _, state := range p.policies {
		if state.policy.noun.TLS != nil {
			return state
		}
	}
	return nil
}

// certificate names what the port's own policy has shown to backends; "" for
// none.
func (p *portState) certificate() string {
	for _, state := range p.policies {
		if state.certificate != "" {
			return state.certificate
		}
	}
	return ""
}

// mistrusted says whether a policy that asks for TLS cannot be used, so that
// the port must not be reached.
func (p *portState) mistrusted() bool {
	switch {
	case p.written.udp():
		return false
	case p.trust != nil && p.trust.wrong:
		return true
	}
	for _, state := range p.policies {
		if state.wrong || state.policy.noun.TLS != nil {
			return state.wrong
		}
	}
	return false
}

// protocol names what a port speaks, for people.
func (p *portState) protocol() string {
	if !p.written.served() || p.written.udp() || p.written.app == "" {
		return string(p.written.transport)
	}
	return p.written.app
}

// unspeakable says whether a port is for a protocol that a route does not
// lead to. What asks for TLS needs a policy that says how certificates are
// checked. Names that are not known are taken for plain HTTP.
func (p *portState) unspeakable(route *routeObject) bool {
	app := p.written.app
	switch {
	case !p.written.served() || p.written.udp() != route.datagrams():
		return true
	case route.streams():
		return false
	case route.kind == grpcRoute && isWebSocket(app):
		return true
	default:
		return overTLS(app) && p.secured() == nil
	}
}

// overTLS says whether an appProtocol is one over TLS.
func overTLS(app string) bool {
	return app == "https" || app == "tls" || app == "wss" || app == "kubernetes.io/wss"
}

// isWebSocket says whether an appProtocol is WebSocket.
func isWebSocket(app string) bool {
	return app == "ws" || app == "wss" || app == "kubernetes.io/ws" || app == "kubernetes.io/wss"
}

// appProtocol is the version of HTTP that an appProtocol stands for, "" where
// it stands for none.
func appProtocol(app string) model.ServiceProtocol {
	switch app {
	case "kubernetes.io/h2c", "h2c", "http2", "h2", "grpc":
		return model.HTTP2
	default:
		return ""
	}
}

// speaks is the version of HTTP that something says the port speaks, "" where
// nothing does.
func (p *portState) speaks() model.ServiceProtocol {
	for _, state := range p.policies {
		if protocol := state.policy.noun.Protocol; protocol != "" {
			return protocol
		}
	}
	return appProtocol(p.written.app)
}

// need gives one way in which the port is reached.
func (p *portState) need(r reach) *reachState {
	r.grpc = r.grpc && p.speaks() == ""
	switch {
	case p.secured() == nil:
		r.way = way{}
	case r.raw || p.certificate() != "":
		r.certificate = ""
	}
	for i := range p.reached {
		if p.reached[i].reach == r {
			return &p.reached[i]
		}
	}
	noun := p.written.noun
	switch {
	case r.raw:
		noun += "/passthrough"
	case r.grpc:
		noun += "/grpc"
	}
	if r.certificate != "" {
		noun += "/as/" + r.certificate
	}
	p.reached = append(p.reached, reachState{reach: r, noun: noun})
	return &p.reached[len(p.reached)-1]
}

// linkedService is the noun of a port of a Service with what it was made of.
type linkedService struct {
	service  *service
	port     int
	reach    reach
	policies []*backendPolicy
	trust    *backendPolicy
	// ca and certificate are what its policies say.
	ca          []byte
	certificate string
	slices      []*slice
	noun        *model.Service
	without     string // why there are no endpoints
}

// linkServices makes the nouns of the ports that routes need.
func (l *linker) linkServices() {
	for _, s := range l.order {
		for i := range s.ports {
			for j := range s.ports[i].reached {
				n := &s.ports[i].reached[j]
				if n.count == 0 {
					continue
				}
				if n.linked == nil {
					n.linked = l.linkService(s, i, n)
					l.now.services[n.noun] = n.linked
				}
				if n.linked.without != "" {
					l.note(model.Problem{Origin: s.service.at, Severity: model.Doubtful, Code: "no-endpoints", Message: n.linked.without})
				}
				l.fragment.Services = append(l.fragment.Services, n.linked.noun)
			}
		}
	}
}

// linkService makes the noun of one port, or takes that of the last time.
func (l *linker) linkService(s *serviceState, i int, n *reachState) *linkedService {
	p := &s.ports[i]
	made := linkedService{service: s.service, port: i, reach: n.reach, slices: l.slices[s.service.key]}
	for _, state := range p.policies {
		made.policies = append(made.policies, state.policy)
	}
	if p.trust != nil {
		made.trust = p.trust.policy
	}
	if tls := p.secured(); tls != nil && !n.raw {
		made.ca, made.certificate = tls.ca, p.certificate()
	}
	linked := l.was.services[n.noun]
	if linked == nil || linked.service != made.service || linked.port != made.port || linked.reach != made.reach ||
		!slices.Equal(linked.policies, made.policies) || linked.trust != made.trust || linked.certificate != made.certificate ||
		!bytes.Equal(linked.ca, made.ca) || !slices.Equal(linked.slices, made.slices) {
		made.make(p, n)
		return &made
	}
	return linked
}

// make makes the noun.
func (made *linkedService) make(p *portState, n *reachState) {
	noun := &model.Service{}
	for _, policy := range made.policies {
		noun.Host = cmp.Or(noun.Host, policy.noun.Host)
		noun.ProxyProtocol = cmp.Or(noun.ProxyProtocol, policy.noun.ProxyProtocol)
	}
	if tls := p.secured(); tls != nil && !n.raw {
		copied := *tls.policy.noun.TLS
		copied.CA, copied.Certificate = made.ca, made.certificate
		if n.certificate != "" {
			copied.Certificate = n.certificate
		}
		noun.TLS = &copied
	} else {
		noun.TLS = nil
	}
	noun.Protocol = p.speaks()
	switch {
	case n.grpc:
		noun.Protocol = model.HTTP2
	case n.raw:
		noun.Protocol = ""
	case p.written.udp():
		noun.Protocol, noun.ProxyProtocol = "", 0
		noun.Health = &model.HealthCheck{Kind: model.HealthOff} // a connection would say nothing
	}
	noun.Name, noun.Origin = n.noun, made.service.at
	noun.Subject = model.Subject{Namespace: made.service.namespace, Name: made.service.name, Section: p.written.name}
	noun.Endpoints, made.without = made.service.endpoints(p.written, made.slices)
	made.noun = noun
}
