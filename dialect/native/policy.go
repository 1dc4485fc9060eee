package native

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

const rulesField = "spec.authorization.rules"

// authorizes says whether a TrafficPolicy says who may speak, or was meant to, or
// says nothing.
func authorizes(doc *dialect.Document) bool {
	spec := doc.Get("spec")
	if spec == nil || spec.Kind != yaml.MappingNode {
		return true
	}
	others := false
	for i := 0; i+1 < len(spec.Content); i += 2 {
		switch key := spec.Content[i].Value; key {
		case "targetRefs", "targetRef", "target", "selector":
		case "authorization", "action", "rules":
			return true
		default:
			if dialect.Nearest(key, []string{"authorization"}) != "" {
				return true
			}
			others = true
		}
	}
	return !others
}

// policy makes the noun. One with a mistake is there all the same.
func (r *reader) policy() any {
	var in policyObject
	r.decode(&in, &in.object, false)
	p := &model.Policy{Name: r.namespace + "/" + cmp.Or(r.name, "line "+strconv.Itoa(r.at.Line)), Namespace: r.namespace, Origin: r.at, Action: model.Allow}
	r.targets(p, in.Spec.TargetRefs)
	a := in.Spec.Authorization
	if a == nil {
		p.Action = model.Deny
		if !r.wrong("spec") {
			r.broken("spec", "missing-field", "the policy says nothing", "for example authorization: {action: allow, rules: [{from: {accounts: [orders]}}]}, or timeouts: {request: 3s}")
		}
		p.Refused = true
		return p
	}
	r.word("spec.authorization.action", a.Action, "allow", "deny", "audit")
	p.Action, p.DryRun, p.Tell = model.Action(cmp.Or(a.Action, "allow")), a.DryRun, a.Tell
	for i := range a.Rules {
		field := rulesField + "[" + strconv.Itoa(i) + "]"
		m := r.rule(&a.Rules[i], field)
		if r.wrong(field) {
			// Of an allow the rest lets in less than was meant.
			p.Refused = p.Refused || p.Action == model.Deny && !p.DryRun
			continue
		}
		if m.Name == "" && len(p.Rules) < i {
			m.Name = strconv.Itoa(i + 1) // as it is written
		}
		p.Rules = append(p.Rules, m)
	}
	p.Refused = p.Refused || slices.ContainsFunc(r.problems, func(x model.Problem) bool {
		return x.Severity == model.Broken && !strings.HasPrefix(x.Origin.Field, rulesField+"[")
	})
	return p
}

// targets says what a policy is for.
func (r *reader) targets(p *model.Policy, list []targetRef) {
	if len(list) == 0 && !r.wrong("spec") {
		r.broken("spec", "missing-field", "nothing says what the policy is for", "for example targetRefs: [{kind: Service, name: payments}]")
	}
	for i, t := range list {
		field := "spec.targetRefs[" + strconv.Itoa(i) + "]"
		all := t.Kind == "Mesh" || t.Kind == "Namespace"
		switch {
		case r.wrong(field):
			continue
		case !slices.Contains([]string{"Mesh", "Namespace", "Service", "Gateway"}, t.Kind):
			r.broken(field+".kind", "bad-value", "a policy can not be for "+strconv.Quote(t.Kind), dialect.DidYouMean(t.Kind, []string{"Mesh", "Namespace", "Service", "Gateway"}, "kinds"))
		case all && len(list) > 1:
			r.broken(field, "bad-value", "a "+t.Kind+" is every workload, and stands alone", "write a policy of its own for the others")
		case t.SectionName != "" && t.Kind != "Gateway":
			r.broken(field+".sectionName", "bad-value", "a "+t.Kind+" has no listeners", "leave sectionName out; ports are compared in a rule: to: {ports: [9002]}")
		case t.Kind == "Namespace" && t.Name != "" && t.Name != r.namespace:
			r.broken(field+".name", "bad-value", "the policy is in namespace "+r.namespace+", and can not be for "+t.Name, "write metadata: {namespace: "+t.Name+"}")
		case !all && t.Name == "":
			r.broken(field, "missing-field", "a "+t.Kind+" has a name", "for example {kind: "+t.Kind+", name: payments}")
		case t.Kind == "Mesh":
			p.Namespace = ""
		case t.Kind == "Service":
			p.Services = append(p.Services, serviceName(t.Name, r.namespace))
		case t.Kind == "Gateway":
			p.Listeners = append(p.Listeners, r.namespace+"/"+t.Name+"/"+cmp.Or(t.SectionName, "*"))
		}
	}
}

// rule makes one rule.
func (r *reader) rule(in *rule, field string) model.PolicyRule {
	m := model.PolicyRule{Name: in.Name}
	each := func(name string, list []string, wrong func(string) string) []string {
		for i, s := range list {
			if hint := wrong(s); hint != "" {
				at := field + "." + name + "[" + strconv.Itoa(i) + "]"
				r.broken(at, "bad-value", name[strings.LastIndexByte(name, '.')+1:]+" can not be "+strconv.Quote(s), hint)
			}
		}
		return list
	}
	if f := in.From; f != nil {
		m.Principals = each("from.principals", f.Principals, identity)
		m.NotPrincipals = each("from.notPrincipals", f.NotPrincipals, identity)
		m.Principals = append(slices.Clip(m.Principals), r.accounts(field+".from.accounts", f.Accounts)...)
		m.NotPrincipals = append(slices.Clip(m.NotPrincipals), r.accounts(field+".from.notAccounts", f.NotAccounts)...)
		m.Namespaces = each("from.namespaces", f.Namespaces, namespace)
		m.NotNamespaces = each("from.notNamespaces", f.NotNamespaces, namespace)
		m.Addresses = each("from.addresses", f.Addresses, model.WrongNetwork)
		m.NotAddresses = each("from.notAddresses", f.NotAddresses, model.WrongNetwork)
	}
	if t := in.To; t != nil {
		m.Methods, m.NotMethods = each("to.methods", t.Methods, method), each("to.notMethods", t.NotMethods, method)
		m.Hosts, m.NotHosts = each("to.hosts", t.Hosts, host), each("to.notHosts", t.NotHosts, host)
		m.Paths, m.NotPaths = each("to.paths", t.Paths, model.WrongPath), each("to.notPaths", t.NotPaths, model.WrongPath)
		for i, n := range t.Ports {
			m.Ports = append(m.Ports, r.port(field+".to.ports["+strconv.Itoa(i)+"]", n, false))
		}
		for i, n := range t.NotPorts {
			m.NotPorts = append(m.NotPorts, r.port(field+".to.notPorts["+strconv.Itoa(i)+"]", n, false))
		}
	}
	if w := in.When; w != nil {
		r.when(&m, w, field+".when")
	}
	return m
}

func (r *reader) when(m *model.PolicyRule, w *when, field string) {
	for i, h := range w.Headers {
		at := field + ".headers[" + strconv.Itoa(i) + "]"
		r.word(at+".type", h.Type, "exact", "regex", "present", "absent")
		if h.Name == "" && !r.wrong(at) {
			r.broken(at, "missing-field", "a header has a name", "for example {name: x-env, value: test}")
		}
		m.Headers = append(m.Headers, model.FieldMatch{Kind: model.FieldKind(cmp.Or(h.Type, "exact")), Name: h.Name, Value: h.Value})
	}
	for _, name := range slices.Sorted(maps.Keys(w.Claims)) {
		if len(w.Claims[name]) == 0 {
			r.broken(field+".claims", "bad-value", "claim "+name+" is compared with nothing", "for example {"+name+": [alice]}")
		}
		m.Claims = append(m.Claims, model.ClaimMatch{Name: name, Values: w.Claims[name]})
	}
	if m.CEL = w.CEL; w.CEL != "" && r.cel != nil {
		if err := r.cel(w.CEL); err != nil {
			r.broken(field+".cel", "bad-expression", "the expression can not be used: "+err.Error(), "docs/reference/policy.md has its variables")
		}
	}
}

// accounts are principals of our own trust domain.
func (r *reader) accounts(field string, list []string) (all []string) {
	for i, s := range list {
		if !strings.Contains(s, "/") {
			s = r.namespace + "/" + s
		}
		if hint := model.WrongPrincipal(s); hint != "" || strings.Contains(s, "://") || strings.HasPrefix(s, "*") {
			r.broken(field+"["+strconv.Itoa(i)+"]", "bad-value", "no account is called "+strconv.Quote(list[i]), "write orders, shop/orders or \"shop/*\"; SPIFFE IDs stand under principals")
		}
		all = append(all, s)
	}
	return all
}

func identity(s string) string {
	hint := model.WrongPrincipal(s)
	if hint == "" && s != "*" && !strings.HasPrefix(s, "*") && !strings.Contains(s, "://") {
		return "write spiffe://TRUSTDOMAIN/ns/shop/sa/orders, or name it under accounts"
	}
	return hint
}

func namespace(s string) string {
	if isName(s, false) {
		return ""
	}
	return "names are of a-z, 0-9 and -"
}

func method(s string) string {
	if s == "" || strings.ToUpper(s) != s || strings.ContainsAny(s, " \t/") {
		return "write a method as it is sent, for example GET"
	}
	return ""
}

func host(s string) string {
	if isName(strings.TrimPrefix(s, "*."), true) || strings.HasPrefix(s, "[") {
		return ""
	}
	return "write a host in lower case without a port, or \"*.example.com\""
}
