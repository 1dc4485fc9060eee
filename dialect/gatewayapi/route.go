package gatewayapi

import (
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Bounds of a route, as in the CRDs.
const (
	mostHostnames = 16
	mostRules     = 16
	mostMatches   = 128
	mostBackends  = 16
	mostFilters   = 16
	mostParents   = 32
	heaviest      = 1_000_000
)

// routeObject is a route of whatever kind, of which only the references are
// still open.
type routeObject struct {
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
	index   int  // in spec.parentRefs
	set     bool // a ListenerSet, not a Gateway
	parent  key
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

// datagrams says whether the route is for UDP.
func (route *routeObject) datagrams() bool { return route.kind == udpRoute }

// streams says whether the route leads connections or datagrams, unread.
func (route *routeObject) streams() bool { return route.kind != httpRoute && route.kind != grpcRoute }

// prefix begins the names of the nouns: namespace/name/, and then, for what is
// no HTTPRoute, a word for its kind, for two kinds may have one name.
func (route *routeObject) prefix() string {
	name := route.String() + "/"
	switch route.kind {
	case grpcRoute:
		name += "grpc/"
	case tlsRoute:
		name += "tls/"
	case tcpRoute:
		name += "tcp/"
	case udpRoute:
		name += "udp/"
	}
	return name
}

// httpRoute reads an HTTPRoute.
func (r *reader) httpRoute(k *servedKind) *routeObject {
	var in gateway.HTTPRoute
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	route := r.route(o, &in.Spec.CommonRouteSpec)
	r.hostnames(route, in.Spec.Hostnames, mostHostnames)
	rules := in.Spec.Rules
	if len(rules) == 0 && !r.spoiled("spec") {
		// The default of the CRD: one rule that matches everything, and,
		// without a backend, answers 500.
		r.doubtful("spec", "missing-field", "without rules every request is answered 500", "")
		rules = []gateway.HTTPRouteRule{{}}
	}
	r.rules(route, len(rules), func(i int) (gateway.SectionName, int) {
		return or(rules[i].Name, ""), len(rules[i].Matches)
	}, func(i int) (rule, refusal) { return r.httpRule(route, i, &rules[i]) })
	return route
}

// route reads what all kinds of routes have in common.
func (r *reader) route(o *object, in *gateway.CommonRouteSpec) *routeObject {
	route := &routeObject{object: *o}
	if r.spoiledBeside("spec", "parentRefs", "rules") {
		route.refusal = refusal{string(gateway.RouteReasonUnsupportedValue), "the spec is not valid"}
	}
	r.parentRefs(route, in.ParentRefs)
	if in.UseDefaultGateways != "" && in.UseDefaultGateways != gateway.GatewayDefaultScopeNone {
		r.doubtful("spec.useDefaultGateways", "not-served", "useDefaultGateways is not served by this version",
			"name the Gateway in parentRefs")
	}
	return route
}

// parentRefs reads what the route wants to attach to.
func (r *reader) parentRefs(route *routeObject, refs []gateway.ParentReference) {
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
			parent:  key{string(or(ref.Namespace, gateway.Namespace(route.namespace))), string(ref.Name)},
			section: string(or(ref.SectionName, "")),
			port:    or(ref.Port, 0),
		}
		kind, group := string(or(ref.Kind, gatewayKind)), string(or(ref.Group, gatewayGroup))
		p.set = group == gatewayGroup && kind == listenerSetKind
		switch {
		case ref.Name == "":
			r.broken(field, "missing-field", "a parentRef names a Gateway: name is missing", "")
		case group == coreGroup && kind == "Service":
			r.doubtful(field, "not-served", "a "+kind+" as a parent is not served by this version", "")
		case !p.set && (group != gatewayGroup || kind != gatewayKind):
			r.doubtful(field, "not-served", "naru does not know "+kind+" of "+quoted(group)+" as a parent",
				"a parent is a Gateway or a ListenerSet of "+gatewayGroup)
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
		if q.parent == p.parent && q.set == p.set && q.section == p.section && q.port == p.port {
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
func (r *reader) hostnames(route *routeObject, hosts []gateway.Hostname, most int) {
	if len(hosts) > most {
		r.broken(item("spec.hostnames", most), "bad-value", "a route has at most "+strconv.Itoa(most)+" hostnames", "")
		hosts = hosts[:most]
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

// rules reads the rules; one that is not valid is dropped. head gives the name
// and the number of matches of a rule, read the rule itself.
func (r *reader) rules(route *routeObject, n int, head func(i int) (gateway.SectionName, int), read func(i int) (rule, refusal)) {
	if n > mostRules {
		r.broken(item("spec.rules", mostRules), "bad-value", "a route has at most 16 rules", "")
		n = mostRules
	}
	names := make(map[gateway.SectionName]int)
	matches := 0
	var first refusal
	for i := range n {
		field := item("spec.rules", i)
		before := len(r.problems)
		out, why := read(i)
		name, more := head(i)
		if name != "" {
			if j, ok := names[name]; ok {
				r.broken(field+".name", "duplicate-name", "rule "+strconv.Itoa(j)+" has this name too", "")
				why = unsupported("the name is not unique")
			}
			names[name] = i
		}
		if matches += max(1, more); matches > mostMatches && why.reason == "" {
			r.broken(field+".matches", "bad-value", "a route has at most 128 matches", "")
			why = unsupported("the route has too many matches")
		}
		if why.reason == "" {
			out.noun.Subject.Section = string(name)
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
			route.refusal = unsupported("the route has no valid rule")
		}
	}
}
