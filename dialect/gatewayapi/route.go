package gatewayapi

import (
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Bounds of an HTTPRoute, as in its CRD.
const (
	mostHostnames = 16
	mostRules     = 16
	mostMatches   = 128
	mostBackends  = 16
	mostFilters   = 16
	mostParents   = 32
	heaviest      = 1_000_000
)

// httpRoute is an HTTPRoute of which only the references are still open.
type httpRoute struct {
	object
	parents   []parentRef
	hostnames []string
	rules     []rule
	// refusal is why no Gateway can accept it; zero when one can.
	refusal refusal
	// dropped are the positions of the rules that are not served.
	dropped []int
}

// refusal is a condition's reason and message.
type refusal struct {
	reason, message string
}

// parentRef is what a route wants to attach to.
type parentRef struct {
	index   int // in spec.parentRefs
	gateway key
	section string
	port    int32
}

// field is the path of the parentRef in its object.
func (p *parentRef) field() string { return item("spec.parentRefs", p.index) }

// rule is one rule: the noun as far as it can be made without other objects.
type rule struct {
	// noun lacks Parents, Backends, and the Services of its mirrors.
	noun     model.Route
	mirrors  []mirror
	backends []backend
}

// backend is one of a rule's backendRefs.
type backend struct {
	reference
	weight  int
	filters []model.Filter
	mirrors []mirror
	// failing is set where a filter cannot be served: requests get 500.
	failing bool
}

// mirror says which service the Mirror at a position of a filter list is for.
type mirror struct {
	filter int
	reference
}

// reference leads to a port of a Service, or to something that is no Service.
type reference struct {
	field   string // path in the object
	service key
	port    int32
	// stranger is "kind of group" where it is no Service, else "".
	stranger string
}

// item is the path of an item of a list.
func item(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// httpRoute reads an HTTPRoute.
func (r *reader) httpRoute(k servedKind) *httpRoute {
	var in gateway.HTTPRoute
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	route := &httpRoute{object: *o}
	if r.spoiledBeside("spec", "parentRefs", "rules") {
		route.refusal = refusal{string(gateway.RouteReasonUnsupportedValue), "the spec is not valid"}
	}
	r.parentRefs(route, in.Spec.ParentRefs)
	r.hostnames(route, in.Spec.Hostnames)
	if in.Spec.UseDefaultGateways != "" && in.Spec.UseDefaultGateways != gateway.GatewayDefaultScopeNone {
		r.doubtful("spec.useDefaultGateways", "not-served", "useDefaultGateways is not served by this version",
			"name the Gateway in parentRefs")
	}
	r.rules(route, in.Spec.Rules)
	return route
}

// parentRefs reads what the route wants to attach to.
func (r *reader) parentRefs(route *httpRoute, refs []gateway.ParentReference) {
	if len(refs) == 0 && !r.spoiled("spec") {
		r.doubtful("spec", "missing-field", "without parentRefs the route is attached to no Gateway", "")
	}
	if len(refs) > mostParents {
		r.broken(item("spec.parentRefs", mostParents), "bad-value", "a route has at most 32 parentRefs", "")
		refs = refs[:mostParents]
	}
	for i, ref := range refs {
		field := item("spec.parentRefs", i)
		if r.spoiled(field) {
			continue
		}
		p := parentRef{
			index:   i,
			gateway: key{string(or(ref.Namespace, gateway.Namespace(route.namespace))), string(ref.Name)},
			section: string(or(ref.SectionName, "")),
			port:    or(ref.Port, 0),
		}
		kind, group := string(or(ref.Kind, "Gateway")), string(or(ref.Group, gatewayGroup))
		switch {
		case ref.Name == "":
			r.broken(field, "missing-field", "a parentRef names a Gateway: name is missing", "")
		case group == coreGroup && kind == "Service", group == gatewayGroup && kind == "ListenerSet":
			r.doubtful(field, "not-served", "a "+kind+" as a parent is not served by this version", "")
		case group != gatewayGroup || kind != "Gateway":
			r.doubtful(field, "not-served", "naru does not know "+kind+" of "+quoted(group)+" as a parent",
				"a parent is a Gateway of "+gatewayGroup)
		case ref.Port != nil && !isPort(p.port):
			r.broken(field+".port", "bad-value", "a port is between 1 and 65535", "")
		case twice(route.parents, p):
			r.broken(field, "duplicate-name", "the route already has this parent",
				"parentRefs to one Gateway differ in sectionName or port")
		default:
			route.parents = append(route.parents, p)
		}
	}
}

// twice says whether a parent is there already.
func twice(parents []parentRef, p parentRef) bool {
	for _, q := range parents {
		if q.gateway == p.gateway && q.section == p.section && q.port == p.port {
			return true
		}
	}
	return false
}

// quoted shows a group, also the empty one.
func quoted(group string) string {
	if group == "" {
		return "the core group"
	}
	return group
}

// hostnames reads for which hosts the route is.
func (r *reader) hostnames(route *httpRoute, hosts []gateway.Hostname) {
	if len(hosts) > mostHostnames {
		r.broken(item("spec.hostnames", mostHostnames), "bad-value", "a route has at most 16 hostnames", "")
		hosts = hosts[:mostHostnames]
	}
	for i, host := range hosts {
		if wrong := checkHostname(string(host), true); wrong != "" {
			r.broken(item("spec.hostnames", i), "bad-value", wrong, lowerHint(string(host)))
			continue
		}
		route.hostnames = append(route.hostnames, string(host))
	}
	if len(hosts) > 0 && len(route.hostnames) == 0 && route.refusal.reason == "" {
		// Without any it would be for every host.
		route.refusal = refusal{string(gateway.RouteReasonUnsupportedValue), "no host name is valid"}
	}
}

// lowerHint proposes a host name in lower case where that would do.
func lowerHint(host string) string {
	if lower := strings.ToLower(host); lower != host && checkHostname(lower, true) == "" {
		return "write " + lower
	}
	return ""
}

// rules reads the rules; one that is not valid is dropped.
func (r *reader) rules(route *httpRoute, rules []gateway.HTTPRouteRule) {
	if len(rules) > mostRules {
		r.broken(item("spec.rules", mostRules), "bad-value", "a route has at most 16 rules", "")
		rules = rules[:mostRules]
	}
	if len(rules) == 0 && !r.spoiled("spec") {
		// The default of the CRD: one rule that matches everything, and,
		// without a backend, answers 500.
		r.doubtful("spec", "missing-field", "without rules every request is answered 500", "")
		rules = []gateway.HTTPRouteRule{{}}
	}
	names := make(map[gateway.SectionName]int)
	matches := 0
	var first refusal
	for i := range rules {
		field := item("spec.rules", i)
		in := &rules[i]
		before := len(r.problems)
		out, why := r.rule(route, i, in)
		if name := or(in.Name, ""); name != "" {
			if j, ok := names[name]; ok {
				r.broken(field+".name", "duplicate-name", "rule "+strconv.Itoa(j)+" has this name too", "")
				why = refusal{string(gateway.RouteReasonUnsupportedValue), "the name is not unique"}
			}
			names[name] = i
		}
		if matches += max(1, len(in.Matches)); matches > mostMatches && why.reason == "" {
			r.broken(field+".matches", "bad-value", "a route has at most 128 matches", "")
			why = refusal{string(gateway.RouteReasonUnsupportedValue), "the route has too many matches"}
		}
		if why.reason == "" {
			route.rules = append(route.rules, out)
			continue
		}
		route.dropped = append(route.dropped, i)
		if first.reason == "" {
			first = why
		}
		for j := before; j < len(r.problems); j++ {
			if p := &r.problems[j]; p.Severity == model.Broken && p.Condition == "" {
				p.Condition, p.Reason = string(gateway.RouteConditionAccepted), why.reason
			}
		}
	}
	if len(route.rules) == 0 && route.refusal.reason == "" {
		route.refusal = first
		if first.reason == "" {
			route.refusal = refusal{string(gateway.RouteReasonUnsupportedValue), "the route has no valid rule"}
		}
	}
}
