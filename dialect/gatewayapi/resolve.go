package gatewayapi

import (
	"slices"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// verdict is what became of one reference to a backend.
type verdict struct {
	service string // name of the model.Service; "" when it did not resolve
	why     why
}

// why says why a reference did not resolve.
type why uint8

const (
	resolved    why = iota
	failing         // a filter of the backend cannot be served
	badKind         // it is no Service
	forbidden       // no ReferenceGrant permits it
	noService       // there is no such Service
	noPort          // the Service has no such port
	badProtocol     // the port speaks what naru does not
	noTrust         // its BackendPolicy asks for TLS but is not valid
)

// reason is the reason of the condition ResolvedRefs.
func (w why) reason() string {
	switch w {
	case badKind, failing:
		return string(gateway.RouteReasonInvalidKind)
	case forbidden:
		return string(gateway.RouteReasonRefNotPermitted)
	case noService, noPort:
		return string(gateway.RouteReasonBackendNotFound)
	case badProtocol:
		return string(gateway.RouteReasonUnsupportedProtocol)
	case noTrust:
		return string(gateway.BackendTLSPolicyReasonInvalidCACertificateRef)
	default:
		return string(gateway.RouteReasonResolvedRefs)
	}
}

// linkedRoute is a route with what became of its references. As long as that
// is the same, so are the nouns. It does not change once it is made.
type linkedRoute struct {
	route    *httpRoute
	parents  []string
	states   []parentState
	verdicts []verdict
	nouns    []*model.Route
	problems []model.Problem
}

// join attaches a route and resolves its references, into l.try.
func (l *linker) join(route *httpRoute) {
	t := &l.try
	t.parents, t.states, t.verdicts = t.parents[:0], t.states[:0], t.verdicts[:0]
	l.attach(route)
	if route.refusal.reason == "" {
		l.verdicts(route)
	}
}

// linkRoute joins a route and makes its nouns, or takes those of linked: what
// became of it last time, or nil.
func (l *linker) linkRoute(route *httpRoute, linked *linkedRoute) *linkedRoute {
	t := &l.try
	l.join(route)
	same := linked != nil && slices.Equal(linked.parents, t.parents) &&
		slices.Equal(linked.states, t.states) && slices.Equal(linked.verdicts, t.verdicts)
	if same && len(linked.problems) == 0 {
		return linked
	}
	made := &linkedRoute{route: route, parents: slices.Clone(t.parents), states: slices.Clone(t.states), verdicts: slices.Clone(t.verdicts)}
	// Problems are told anew: a hint depends on more than the verdict.
	l.routeProblems(made)
	switch {
	case same:
		made.nouns = linked.nouns
	case len(made.parents) > 0:
		made.nouns = route.build(made.parents, made.verdicts)
	}
	return made
}

// references calls f with each reference of the route, in the order of the
// verdicts.
func (route *httpRoute) references(f func(ref *reference, failing bool)) {
	for i := range route.rules {
		ru := &route.rules[i]
		for j := range ru.mirrors {
			f(&ru.mirrors[j].reference, false)
		}
		for j := range ru.backends {
			b := &ru.backends[j]
			f(&b.reference, b.failing)
			for k := range b.mirrors {
				f(&b.mirrors[k].reference, false)
			}
		}
	}
}

// verdicts resolves the references of a route.
func (l *linker) verdicts(route *httpRoute) {
	serves := len(l.try.parents) > 0
	route.references(func(ref *reference, fails bool) {
		v := verdict{why: failing}
		if !fails {
			v = l.resolve(route, ref, serves)
		}
		l.try.verdicts = append(l.try.verdicts, v)
	})
}

// resolve finds the port of a Service; serves counts it as needed.
func (l *linker) resolve(route *httpRoute, ref *reference, serves bool) verdict {
	if ref.stranger != "" {
		return verdict{why: badKind}
	}
	// Whether the Service is there is not told to who may not refer to it.
	if !l.permitted(&route.object, "Service", ref.service) {
		return verdict{why: forbidden}
	}
	s := l.services[ref.service]
	if s == nil {
		return verdict{why: noService}
	}
	p := s.port(ref.port)
	switch {
	case p == nil:
		return verdict{why: noPort}
	case p.policy != nil && p.policy.wrong:
		return verdict{why: noTrust}
	case p.unspeakable():
		return verdict{why: badProtocol}
	}
	if serves {
		p.needed += l.count
	}
	return verdict{service: p.written.noun}
}

// build makes the nouns of a route.
func (route *httpRoute) build(parents []string, verdicts []verdict) []*model.Route {
	next := func() string {
		v := verdicts[0]
		verdicts = verdicts[1:]
		return v.service
	}
	nouns := make([]*model.Route, 0, len(route.rules))
	for i := range route.rules {
		ru := &route.rules[i]
		noun := ru.noun
		noun.Parents = parents
		noun.Filters = withMirrors(noun.Filters, ru.mirrors, next)
		for j := range ru.backends {
			b := &ru.backends[j]
			to := model.Backend{Service: next(), Weight: b.weight}
			to.Filters = withMirrors(b.filters, b.mirrors, next)
			if b.failing {
				to.Filters = nil
			}
			noun.Backends = append(noun.Backends, to)
		}
		nouns = append(nouns, &noun)
	}
	return nouns
}

// withMirrors gives the filters with the services of the mirrors; a mirror
// whose service did not resolve is left out.
func withMirrors(filters []model.Filter, mirrors []mirror, next func() string) []model.Filter {
	if len(mirrors) == 0 {
		return filters
	}
	out := make([]model.Filter, 0, len(filters))
	for i, f := range filters {
		if len(mirrors) > 0 && mirrors[0].filter == i {
			mirrors = mirrors[1:]
			m := *f.Mirror
			if m.Service = next(); m.Service == "" {
				continue
			}
			f.Mirror = &m
		}
		out = append(out, f)
	}
	return out
}

// routeProblems tells what did not attach or resolve.
func (l *linker) routeProblems(linked *linkedRoute) {
	route := linked.route
	for i := range linked.states {
		if p, ok := l.parentProblem(route, &linked.states[i]); ok {
			linked.problems = append(linked.problems, p)
		}
	}
	if len(linked.verdicts) == 0 {
		return
	}
	i := 0
	route.references(func(ref *reference, _ bool) {
		v := linked.verdicts[i]
		i++
		if v.service == "" && v.why != failing && v.why != noTrust {
			linked.problems = append(linked.problems, l.referenceProblem(route, ref, v.why))
		}
	})
}

// referenceProblem tells why a reference did not resolve.
func (l *linker) referenceProblem(route *httpRoute, ref *reference, w why) model.Problem {
	p := model.Problem{Code: "unknown-service", Condition: string(gateway.RouteConditionResolvedRefs), Reason: w.reason()}
	field := ref.field
	switch w {
	case badKind:
		p.Code = "bad-value"
		p.Message = ref.stranger + " is no backend that naru serves"
		p.Hint = "a backendRef is a Service"
	case forbidden:
		p.Code = "not-permitted"
		p.Message = "Service " + ref.service.String() + " is in another namespace"
		p.Hint = grantHint(&route.object, "Service", ref.service)
	case noService:
		field += ".name"
		p.Message = "there is no Service " + ref.service.String()
		p.Hint = l.nearest("Service", ref.service)
	case noPort:
		field += ".port"
		p.Message = "Service " + ref.service.String() + " has no port " + strconv.Itoa(int(ref.port))
		p.Hint = l.services[ref.service].portHint()
	default:
		field += ".port"
		p.Code = "not-served"
		protocol := l.services[ref.service].port(ref.port).protocol()
		p.Message = "port " + strconv.Itoa(int(ref.port)) + " of Service " + ref.service.String() + " speaks " + protocol +
			", which naru does not speak to a backend in this version"
		if overTLS(protocol) {
			p.Message = "port " + strconv.Itoa(int(ref.port)) + " of Service " + ref.service.String() + " speaks " + protocol +
				", and no BackendPolicy says how its certificate is checked"
			p.Hint = "a BackendPolicy with tls"
		}
	}
	return l.problem(&route.object, field, p)
}

// portHint tells which ports a Service has.
func (s *serviceState) portHint() string {
	if len(s.ports) == 0 {
		return "it has none"
	}
	var ports []string
	for i := range s.ports {
		ports = append(ports, strconv.Itoa(int(s.ports[i].written.port)))
	}
	return "it has " + strings.Join(ports, ", ")
}
