package gatewayapi

import (
	"strconv"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// mostNamesOfTLS is how many hostnames a TLSRoute has at most.
const mostNamesOfTLS = 1024

// tlsRoute reads a TLSRoute.
func (r *reader) tlsRoute(k *servedKind) *routeObject {
	var in gateway.TLSRoute
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	route := r.route(o, &in.Spec.CommonRouteSpec)
	if len(in.Spec.Hostnames) == 0 && !r.spoiled("spec") {
		p := r.broken("spec", "missing-field", "a TLSRoute has hostnames", "hostnames: [db.example.com]")
		route.refusal = unsupported(p.Message)
		p.Condition, p.Reason = string(gateway.RouteConditionAccepted), route.refusal.reason
	}
	r.hostnames(route, in.Spec.Hostnames, mostNamesOfTLS)
	r.streamRules(route, len(in.Spec.Rules), func(i int) (gateway.SectionName, []gateway.BackendRef) {
		return or(in.Spec.Rules[i].Name, ""), in.Spec.Rules[i].BackendRefs
	})
	return route
}

// tcpRoute reads a TCPRoute.
func (r *reader) tcpRoute(k *servedKind) *routeObject {
	var in gateway.TCPRoute
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	route := r.route(o, &in.Spec.CommonRouteSpec)
	r.streamRules(route, len(in.Spec.Rules), func(i int) (gateway.SectionName, []gateway.BackendRef) {
		return or(in.Spec.Rules[i].Name, ""), in.Spec.Rules[i].BackendRefs
	})
	return route
}

// udpRoute reads a UDPRoute.
func (r *reader) udpRoute(k *servedKind) *routeObject {
	var in gateway.UDPRoute
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	route := r.route(o, &in.Spec.CommonRouteSpec)
	r.streamRules(route, len(in.Spec.Rules), func(i int) (gateway.SectionName, []gateway.BackendRef) {
		return or(in.Spec.Rules[i].Name, ""), in.Spec.Rules[i].BackendRefs
	})
	return route
}

// streamRules reads the rules of a route that leads connections or datagrams.
// There is nothing to tell two rules apart by, so there is one.
func (r *reader) streamRules(route *routeObject, n int, get func(i int) (gateway.SectionName, []gateway.BackendRef)) {
	if n == 0 && !r.spoiled("spec") {
		p := r.broken("spec", "missing-field", "a "+route.kind+" has one rule", "rules: [{backendRefs: [{name: my-service, port: 5432}]}]")
		p.Condition, p.Reason = string(gateway.RouteConditionAccepted), string(gateway.RouteReasonUnsupportedValue)
	}
	r.rules(route, n, func(i int) (gateway.SectionName, int) {
		name, _ := get(i)
		return name, 0
	}, func(i int) (rule, refusal) {
		field, out := item("spec.rules", i), r.newRule(route, i)
		before := len(r.problems)
		switch _, refs := get(i); {
		case r.spoiled(field):
			return out, unsupported("it could not be read")
		case i > 0:
			r.broken(field, "bad-value", "a "+route.kind+" has one rule, and this is number "+strconv.Itoa(i+1), "make it a "+route.kind+" of its own")
		case len(refs) == 0:
			r.broken(field, "missing-field", "a rule of a "+route.kind+" has backendRefs", "")
		default:
			for j := range refs[:r.fewBackends(field, len(refs))] {
				out.backends = append(out.backends, r.backendRef(item(field+".backendRefs", j), &refs[j]))
			}
		}
		return out, r.finish(&out, filters{}, before)
	})
}
