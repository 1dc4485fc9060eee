package model

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// policy must not let through, by a mistake in it, what it is there to refuse:
// a broken rule of an allow goes, which refuses more, and a deny with one
// becomes Closed. What can never match serves, and is told.
func (v *checker) policy(p *Policy) *Policy {
	if p.Refused {
		return closed(p)
	}
	said := len(v.problems)
	switch p.Action {
	case Allow, Deny, Audit:
	default:
		v.broken("bad-value", "the action of policy "+p.Name+" is "+strconv.Quote(string(p.Action)), "write allow, deny or audit")
		return closed(p)
	}
	good := p.Rules
	for i := range p.Rules {
		good = keep(good, p.Rules, i, v.rule(p, i))
	}
	switch {
	case len(v.problems) == said:
	case p.Action == Deny && !p.DryRun:
		return closed(p)
	default:
		p = copied(p)
		p.Rules = good
	}
	v.selected(p)
	if p.Closed {
		return p
	}
	if p.Action != Allow && len(p.Rules) == 0 {
		v.doubtful("never-matches", "policy "+p.Name+" has no rules, and so it never matches", "write rules: [{}] for one that matches everything")
	}
	for i := range p.Rules {
		v.matching(p, i)
	}
	return p
}

// closed gives what stands in the place of a broken policy: a deny of
// everything, an allow of nothing. What refuses nothing matches nothing.
func closed(p *Policy) *Policy {
	c := *p
	c.Rules, c.Closed, c.Refused = nil, true, false
	if c.Action != Allow && c.Action != Audit && !c.DryRun {
		c.Action, c.Rules = Deny, []PolicyRule{{Name: "broken"}}
	}
	if c.Action != Allow && c.Action != Audit {
		c.Action = Deny
	}
	return &c
}

// label is how messages name a rule.
func (r *PolicyRule) label(i int) string { return cmp.Or(r.Name, strconv.Itoa(i+1)) }

// rule says whether a rule is sound.
func (v *checker) rule(p *Policy, i int) bool {
	r := &p.Rules[i]
	said := len(v.problems)
	who := "rule " + r.label(i) + " of policy " + p.Name
	each := func(what string, lists [2][]string, wrong func(string) string) {
		for _, list := range lists {
			for _, s := range list {
				if hint := wrong(s); hint != "" {
					v.broken("bad-value", who+" has the "+what+" "+strconv.Quote(s), hint)
				}
			}
		}
	}
	each("principal", [2][]string{r.Principals, r.NotPrincipals}, WrongPrincipal)
	each("namespace", [2][]string{r.Namespaces, r.NotNamespaces}, func(s string) string {
		if isLabel(s) {
			return ""
		}
		return labelHint
	})
	each("address", [2][]string{r.Addresses, r.NotAddresses}, WrongNetwork)
	each("method", [2][]string{r.Methods, r.NotMethods}, func(s string) string {
		if isToken(s) && s == strings.ToUpper(s) {
			return ""
		}
		return "write GET, or another method as it is sent"
	})
	each("host", [2][]string{r.Hosts, r.NotHosts}, func(s string) string {
		if isHostname(s, true) {
			return ""
		}
		return "write a host in lower case without a port, or \"*.example.com\""
	})
	each("path", [2][]string{r.Paths, r.NotPaths}, WrongPath)
	for _, n := range append(slices.Clip(r.Ports), r.NotPorts...) {
		if n == 0 {
			v.broken("bad-port", who+" has the port 0", "from 1 to 65535")
		}
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		wrong := ""
		switch {
		case !isToken(h.Name):
			wrong = "letters, digits and -"
		case h.Kind == FieldRegex:
			if wrong = v.expression(h.Value); wrong != "" {
				wrong += "; " + reHint
			}
		case h.Kind != FieldExact && h.Kind != FieldPresent && h.Kind != FieldAbsent:
			wrong = "say exact, regex, present or absent"
		}
		if wrong != "" {
			v.broken("bad-value", who+" cannot compare the header "+strconv.Quote(h.Name), wrong)
		}
	}
	for _, c := range r.Claims {
		if c.Name == "" || len(c.Values) == 0 {
			v.broken("bad-value", who+" compares a claim without a name, or with nothing", "for example claims: {sub: alice}")
		}
	}
	return len(v.problems) == said
}

// selected warns of a policy that is for nothing.
func (v *checker) selected(p *Policy) {
	services := make(map[string]*Service, len(p.Services))
	for _, name := range p.Services {
		if _, ok := v.services[name]; !ok {
			v.doubtful("selects-nothing", "policy "+p.Name+" is for service "+strconv.Quote(name)+", which is not there", meant(v, name, v.services))
			continue
		}
		i, _ := slices.BinarySearchFunc(v.valid.Services, name, func(s *Service, n string) int { return strings.Compare(s.Name, n) })
		if s := v.valid.Services[i]; s.Mesh == nil {
			v.doubtful("selects-nothing", "policy "+p.Name+" is for service "+name+", which has no workloads: nobody checks it there", "make it a service of the mesh, or name the listeners that lead to it")
		} else {
			services[name] = s
		}
	}
	for _, name := range p.Listeners {
		if !slices.ContainsFunc(v.valid.Listeners, func(l *Listener) bool { return Covers(name, l.Name) }) {
			v.doubtful("selects-nothing", "policy "+p.Name+" is for listener "+strconv.Quote(name)+", which is not there", meant(v, name, v.listeners))
		}
	}
}

// matching warns of a rule that can never match, or matches too much.
func (v *checker) matching(p *Policy, i int) {
	r := &p.Rules[i]
	who := "rule " + r.label(i) + " of policy " + p.Name
	never := func(why, hint string) { v.doubtful("never-matches", who+" can never match: "+why, hint) }
	for _, pair := range [...]struct {
		what     string
		yes, not []string
	}{
		{"principals", r.Principals, r.NotPrincipals}, {"namespaces", r.Namespaces, r.NotNamespaces}, {"addresses", r.Addresses, r.NotAddresses},
		{"methods", r.Methods, r.NotMethods}, {"hosts", r.Hosts, r.NotHosts}, {"paths", r.Paths, r.NotPaths},
	} {
		if len(pair.yes) > 0 && !slices.ContainsFunc(pair.yes, func(s string) bool { return !slices.Contains(pair.not, s) }) {
			never("all "+pair.what+" that it wants are excluded again", "take one of the two out")
		}
	}
	if len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(n uint16) bool { return !slices.Contains(r.NotPorts, n) }) {
		never("all ports that it wants are excluded again", "take one of the two out")
	}
	foreign, elsewhere := 0, 0
	for _, s := range r.Principals {
		domain, namespace := partsOf(s)
		if domain != "" && !v.believed(domain) {
			foreign++
			v.doubtful("foreign-principal", who+" names "+s+", and nobody of trust domain "+domain+" is believed here",
				"write spiffe://"+v.trustDomain()+"/..., or federate with "+domain)
		}
		if rest, own := strings.CutPrefix(s, "spiffe://"+v.trustDomain()+"/"); own && !strings.Contains(s, "*") && namespace == "" {
			v.doubtful("no-workload", who+" names "+s+", and /"+rest+" is no workload's: nobody calls as that",
				"write spiffe://"+v.trustDomain()+"/ns/NAMESPACE/sa/ACCOUNT")
		}
		if namespace != "" && len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, namespace) {
			elsewhere++
		}
	}
	if n := len(r.Principals); n > 0 && foreign == n {
		never("none of its principals is of a trust domain that is believed", "")
	} else if n > 0 && elsewhere == n {
		never("none of its principals is in the namespaces that it wants", "leave namespaces out")
	}
	v.reachable(p, r, never, who)
}

// reachable compares a rule with the services that its policy is for.
func (v *checker) reachable(p *Policy, r *PolicyRule, never func(why, hint string), who string) {
	if len(p.Services) == 0 || len(p.Listeners) > 0 {
		return
	}
	bytes, ports := true, []uint16(nil)
	for _, name := range p.Services {
		i, ok := slices.BinarySearchFunc(v.valid.Services, name, func(s *Service, n string) int { return strings.Compare(s.Name, n) })
		if !ok || v.valid.Services[i].Mesh == nil {
			return
		}
		bytes = bytes && v.valid.Services[i].Mesh.Protocol == AppTCP
		if len(v.served[name]) == 0 {
			ports = append(ports, r.Ports...) // nobody knows yet
		}
		ports = append(ports, v.served[name]...)
	}
	if bytes && r.HTTP() {
		if p.Action == Allow {
			never("it wants something of HTTP, and its services are tcp", "leave methods, paths, hosts, headers and claims out, or say protocol: http")
		} else {
			v.doubtful("matches-everything", who+" wants something of HTTP, and its services are tcp: there it matches every connection", "leave methods, paths, hosts, headers and claims out, or say protocol: http")
		}
	}
	if len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(n uint16) bool { return slices.Contains(ports, n) }) {
		never("no workload of its services serves a port that it wants", "ports are those of the workloads, not those that clients call")
	}
}

// Covers says whether a name among a Policy's Services or Listeners is for the
// one that is called so: that of a service is for all its ports (PortName).
func Covers(pattern, name string) bool {
	if all, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(name, all+"/")
	}
	rest, ok := strings.CutPrefix(name, pattern)
	return ok && (rest == "" || rest[0] == ':' && pattern != "")
}

// HTTP says whether the rule has an attribute that only a request has.
func (r *PolicyRule) HTTP() bool {
	return len(r.Methods)+len(r.NotMethods)+len(r.Hosts)+len(r.NotHosts)+len(r.Paths)+len(r.NotPaths)+len(r.Headers)+len(r.Claims) > 0
}

func (v *checker) trustDomain() string {
	if v.own == nil {
		return DefaultTrustDomain
	}
	return cmp.Or(v.own.TrustDomain, DefaultTrustDomain)
}

// believed says whether workloads of a trust domain can prove who they are.
func (v *checker) believed(domain string) bool {
	return domain == v.trustDomain() || v.own != nil && slices.ContainsFunc(v.own.Federated, func(f Federation) bool { return f.TrustDomain == domain })
}

// partsOf gives the trust domain and the namespace of a principal's pattern,
// "" where the pattern leaves them open.
func partsOf(s string) (domain, namespace string) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	if namespace, _, own := strings.Cut(s, "/"); !ok && own && isLabel(namespace) {
		return "", namespace
	}
	if !ok {
		return "", ""
	}
	part := strings.Split(rest, "/")
	if len(part) > 1 && !strings.Contains(part[0], "*") {
		domain = part[0]
	}
	if len(part) > 3 && part[1] == "ns" && !strings.Contains(part[2], "*") {
		namespace = part[2]
	}
	return domain, namespace
}

// WrongPrincipal gives a hint where s cannot be a principal of a PolicyRule, ""
// where it can.
func WrongPrincipal(s string) string {
	const hint = `write shop/orders (namespace/account), spiffe://naru.local/ns/shop/sa/orders, with * at the end or the beginning if need be, or "*"`
	if namespace, account, ok := strings.Cut(s, "/"); ok && isLabel(namespace) && (account == "*" || isLabel(account)) {
		return ""
	}
	inner := strings.TrimPrefix(strings.TrimSuffix(s, "*"), "*")
	switch {
	case s == "*":
		return ""
	case inner == "" || strings.Contains(inner, "*") || strings.HasPrefix(s, "*") && strings.HasSuffix(s, "*"):
		return hint
	case strings.HasPrefix(s, "*"):
		if !isPathPart(inner) {
			return hint
		}
	case strings.HasSuffix(s, "*"):
		if rest, ok := strings.CutPrefix(inner, "spiffe://"); !ok || !isPathPart(rest) {
			return hint
		}
	case strings.Contains(s, "/sa/") && !strings.Contains(s, "://"):
		return "write spiffe://" + s
	case !isSPIFFE(s):
		return hint
	}
	return ""
}

// WrongNetwork gives a hint where s is neither a network nor an address, ""
// where it is.
func WrongNetwork(s string) string {
	if _, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "%") {
		return ""
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		if p != p.Masked() {
			return "bits are set behind its length: write " + p.Masked().String()
		}
		return ""
	}
	return "write a network such as 10.0.0.0/8, or an IP address"
}

// WrongPath gives a hint where s cannot be a path of a PolicyRule, "" where it
// can.
func WrongPath(s string) string {
	const hint = `write "/orders", "/orders/*", "*.png" or "/orders/{id}"`
	inner := strings.TrimPrefix(strings.TrimSuffix(s, "*"), "*")
	switch {
	case s == "*":
	case s == "" || s[0] != '/' && s[0] != '*' || hasControl(s) || strings.ContainsAny(s, "?# "):
		return hint
	case strings.Contains(inner, "*") || inner == "" || s[0] == '*' && s[len(s)-1] == '*':
		return hint
	case strings.ContainsAny(s, "{}"):
		if _, wrong := captures(s); wrong != "" || strings.Contains(s, "*") {
			return cmp.Or(wrong, "* and {} do not go together") + ": " + hint
		}
	}
	return ""
}
