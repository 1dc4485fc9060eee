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

// way is how Services are reached, as far as that depends on the listener. Most
// listeners have the zero way.
type way struct {
	// certificate names what the Gateway shows to backends over TLS.
	certificate string
	// raw: what comes is TLS already, that of the client.
	raw bool
}

// linkedRoute is a route with what became of its references. As long as that
// is the same, so are the nouns. It does not change once it is made.
type linkedRoute struct {
	route   *routeObject
	parents []string
	// ways has one for each of parents; none where all are zero.
	ways   []way
	states []parentState
	// verdicts are those of all references, for each distinct way.
	verdicts []verdict
	nouns    []*model.Route
	flows    []*model.Flow
	problems []model.Problem
}

// through adds a parent, which leads one way.
func (t *linkedRoute) through(parent string, w way) {
	if !slices.Contains(t.parents, parent) {
		t.parents, t.ways = append(t.parents, parent), append(t.ways, w)
	}
}

// distinct calls f with each distinct way and those of the parents that lead
// it; once with all where the ways are all zero.
func (t *linkedRoute) distinct(f func(w way, parents []string)) {
	if len(t.ways) == 0 {
		f(way{}, t.parents)
		return
	}
	for i, w := range t.ways {
		if slices.Index(t.ways, w) < i {
			continue
		}
		var parents []string
		for j := range t.ways {
			if t.ways[j] == w {
				parents = append(parents, t.parents[j])
			}
		}
		f(w, parents)
	}
}

// join attaches a route and resolves its references, into l.try.
func (l *linker) join(route *routeObject) {
	t := &l.try
	t.parents, t.ways, t.states, t.verdicts = t.parents[:0], t.ways[:0], t.states[:0], t.verdicts[:0]
	l.attach(route)
	if !slices.ContainsFunc(t.ways, func(w way) bool { return w != way{} }) {
		t.ways = t.ways[:0]
	}
	if route.refusal.reason == "" {
		t.distinct(func(w way, _ []string) { l.verdicts(route, w) })
	}
}

// linkRoute joins a route and makes its nouns, or takes those of linked: what
// became of it last time, or nil.
func (l *linker) linkRoute(route *routeObject, linked *linkedRoute) *linkedRoute {
	t := &l.try
	l.join(route)
	same := linked != nil && slices.Equal(linked.parents, t.parents) && slices.Equal(linked.ways, t.ways) &&
		slices.Equal(linked.states, t.states) && slices.Equal(linked.verdicts, t.verdicts)
	if same && len(linked.problems) == 0 {
		return linked
	}
	made := &linkedRoute{route: route, parents: slices.Clone(t.parents), ways: slices.Clone(t.ways),
		states: slices.Clone(t.states), verdicts: slices.Clone(t.verdicts)}
	// Problems are told anew: a hint depends on more than the verdict.
	l.routeProblems(made)
	switch {
	case same:
		made.nouns, made.flows = linked.nouns, linked.flows
	case len(made.parents) > 0:
		made.build()
	}
	return made
}

// references calls f with each reference of the route, in the order of the
// verdicts.
func (route *routeObject) references(f func(ref *reference, failing bool)) {
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

// verdicts resolves the references of a route, one way.
func (l *linker) verdicts(route *routeObject, w way) {
	serves := len(l.try.parents) > 0
	route.references(func(ref *reference, fails bool) {
		v := verdict{why: failing}
		if !fails {
			v = l.resolve(route, ref, w, serves)
		}
		l.try.verdicts = append(l.try.verdicts, v)
	})
}

// resolve finds the port of a Service; serves counts it as needed.
func (l *linker) resolve(route *routeObject, ref *reference, w way, serves bool) verdict {
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
	p := s.port(ref.port, route.datagrams())
	switch {
	case p == nil:
		return verdict{why: noPort}
	case p.unspeakable(route):
		return verdict{why: badProtocol}
	case p.mistrusted() && !w.raw:
		return verdict{why: noTrust}
	}
	n := p.need(reach{way: w, grpc: route.kind == grpcRoute})
	if serves {
		n.count += l.count
	}
	return verdict{service: n.noun}
}

// build makes the nouns of a route: one for each rule, unless the Services are
// reached in several ways.
func (made *linkedRoute) build() {
	if len(made.ways) == 0 {
		made.rules(made.parents, made.verdicts, "")
		return
	}
	n := 0
	made.route.references(func(*reference, bool) { n++ })
	first, same := made.verdicts[:n], true
	for rest := made.verdicts[n:]; len(rest) > 0; rest = rest[n:] {
		same = same && slices.Equal(first, rest[:n])
	}
	if same {
		made.rules(made.parents, first, "")
		return
	}
	rest, i := made.verdicts, 0
	made.distinct(func(w way, parents []string) {
		suffix := ""
		if i > 0 {
			suffix = "@" + strconv.Itoa(i)
		}
		made.rules(parents, rest[:n], suffix)
		rest, i = rest[n:], i+1
	})
}

// rules makes the nouns of the rules.
func (made *linkedRoute) rules(parents []string, verdicts []verdict, suffix string) {
	route := made.route
	next := func() string {
		v := verdicts[0]
		verdicts = verdicts[1:]
		return v.service
	}
	if made.nouns == nil && !route.streams() {
		made.nouns = make([]*model.Route, 0, len(route.rules))
	}
	for i := range route.rules {
		ru := &route.rules[i]
		noun := ru.noun
		noun.Name += suffix
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
		if route.streams() {
			made.flows = append(made.flows, &model.Flow{
				Name: noun.Name, Parents: noun.Parents, Hostnames: noun.Hostnames, Backends: noun.Backends,
				Order: noun.Order, Origin: noun.Origin, Subject: noun.Subject,
			})
			continue
		}
		made.nouns = append(made.nouns, &noun)
	}
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
func (l *linker) referenceProblem(route *routeObject, ref *reference, w why) model.Problem {
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
		port := l.services[ref.service].port(ref.port, route.datagrams())
		p.Message = "port " + strconv.Itoa(int(ref.port)) + " of Service " + ref.service.String() + " is for " + port.protocol()
		if overTLS(port.written.app) && port.secured() == nil && !port.written.udp() && !route.datagrams() {
			p.Message += ", and no policy says how its certificate is checked"
			p.Hint = "a BackendTLSPolicy, or a BackendPolicy with tls"
		} else {
			p.Message += ", which no " + route.kind + " leads to"
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
