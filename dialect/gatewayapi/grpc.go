package gatewayapi

import (
	"regexp"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// grpcFilters are the types of filters of a GRPCRoute.
func grpcFilters() []string {
	return []string{
		string(gateway.GRPCRouteFilterRequestHeaderModifier), string(gateway.GRPCRouteFilterResponseHeaderModifier),
		string(gateway.GRPCRouteFilterRequestMirror), string(gateway.GRPCRouteFilterExtensionRef),
	}
}

// grpcRoute reads a GRPCRoute. A call is a POST to /service/method, so its
// rules become those of requests.
func (r *reader) grpcRoute(k *servedKind) *routeObject {
	var in gateway.GRPCRoute
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	route := r.route(o, &in.Spec.CommonRouteSpec)
	r.hostnames(route, in.Spec.Hostnames, mostHostnames)
	rules := in.Spec.Rules
	if len(rules) == 0 && !r.spoiled("spec") {
		r.doubtful("spec", "missing-field", "without rules every call fails", "")
		rules = []gateway.GRPCRouteRule{{}}
	}
	r.rules(route, len(rules), func(i int) (gateway.SectionName, int) {
		return or(rules[i].Name, ""), len(rules[i].Matches)
	}, func(i int) (rule, refusal) { return r.grpcRule(route, i, &rules[i]) })
	return route
}

// grpcRule reads one rule, or says why it cannot be served.
func (r *reader) grpcRule(route *routeObject, i int, in *gateway.GRPCRouteRule) (rule, refusal) {
	field, out := item("spec.rules", i), r.newRule(route, i)
	if r.spoiled(field) {
		return out, unsupported("it could not be read")
	}
	before := len(r.problems)
	out.noun.Matches = r.grpcMatches(field, in.Matches)
	fs := r.filters(field+".filters", likeHTTP(in.Filters), nil, grpcFilters())
	for j := range in.BackendRefs[:r.fewBackends(field, len(in.BackendRefs))] {
		at := item(field+".backendRefs", j)
		b := r.backendRef(at, &in.BackendRefs[j].BackendRef)
		own := r.filters(at+".filters", likeHTTP(in.BackendRefs[j].Filters), nil, grpcFilters())
		b.filters, b.mirrors, b.failing = own.list, own.mirrors, own.failing
		out.backends = append(out.backends, b)
	}
	out.noun.Session = r.session(field, in.SessionPersistence)
	return out, r.finish(&out, fs, before)
}

// likeHTTP gives the filters as those of an HTTPRoute, which has all of them.
func likeHTTP(in []gateway.GRPCRouteFilter) []gateway.HTTPRouteFilter {
	out := make([]gateway.HTTPRouteFilter, len(in))
	for i := range in {
		out[i] = gateway.HTTPRouteFilter{
			Type:                   gateway.HTTPRouteFilterType(in[i].Type),
			RequestHeaderModifier:  in[i].RequestHeaderModifier,
			ResponseHeaderModifier: in[i].ResponseHeaderModifier,
			RequestMirror:          in[i].RequestMirror,
			ExtensionRef:           in[i].ExtensionRef,
		}
	}
	return out
}

// grpcMatches reads the alternatives of a rule; none is every call.
func (r *reader) grpcMatches(field string, in []gateway.GRPCRouteMatch) []model.Match {
	every := model.Match{PathKind: model.PathPrefix, Path: "/", Method: "POST"}
	if len(in) == 0 {
		return []model.Match{every}
	}
	if len(in) > 64 {
		r.broken(item(field+".matches", 64), "bad-value", "a rule has at most 64 matches", "")
		in = in[:64]
	}
	out := make([]model.Match, len(in))
	for i := range in {
		at, m := item(field+".matches", i), every
		if in[i].Method != nil {
			m.PathKind, m.Path = r.grpcMethod(at+".method", in[i].Method)
		}
		for j := range in[i].Headers {
			h := &in[i].Headers[j]
			m.Headers = r.fieldMatch(item(at+".headers", j), "header", m.Headers, string(h.Name), string(or(h.Type, "")), h.Value)
		}
		out[i] = m
	}
	return out
}

// Names in an Exact match, as the CRD has them.
var (
	grpcServiceName = regexp.MustCompile(`^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$`)
	grpcMethodName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*$`)
)

// grpcMethod reads a service and method as a match of the path. A regular
// expression stands for one of the two and knows no slash.
func (r *reader) grpcMethod(field string, in *gateway.GRPCMethodMatch) (model.PathKind, string) {
	service, method := or(in.Service, ""), or(in.Method, "")
	if service == "" && method == "" {
		r.broken(field, "missing-field", "a method match has a service or a method", "")
	}
	if len(service) > 1024 || len(method) > 1024 {
		r.broken(field, "bad-value", "a service or method has at most 1024 characters", "")
	}
	const anyName = "[^/]+"
	switch kind := or(in.Type, gateway.GRPCMethodMatchExact); kind {
	case gateway.GRPCMethodMatchExact:
		if service != "" && !grpcServiceName.MatchString(service) {
			r.broken(field+".service", "bad-value", service+" is not the name of a service", "write for example shop.Orders")
		}
		if method != "" && !grpcMethodName.MatchString(method) {
			r.broken(field+".method", "bad-value", method+" is not the name of a method", "write for example GetOrder")
		}
		switch {
		case method == "":
			return model.PathPrefix, "/" + service
		case service == "":
			return model.PathRegex, "/" + anyName + "/" + method
		default:
			return model.PathExact, "/" + service + "/" + method
		}
	case gateway.GRPCMethodMatchRegularExpression:
		return model.PathRegex, "/" + r.grpcName(field+".service", service, anyName) + "/" + r.grpcName(field+".method", method, anyName)
	default:
		r.unknownValue(field+".type", string(kind), "Exact", "RegularExpression")
		return model.PathPrefix, "/"
	}
}

// grpcName reads the expression for a name, as a part of a longer one.
func (r *reader) grpcName(field, expression, otherwise string) string {
	if expression == "" {
		return otherwise
	}
	if wrong := checkRegex(expression); wrong != "" {
		r.broken(field, "bad-value", wrong, "expressions are RE2 and match the whole name")
	}
	if regexp.QuoteMeta(expression) == expression {
		return expression // there is nothing to hold together
	}
	return "(?:" + expression + ")"
}
