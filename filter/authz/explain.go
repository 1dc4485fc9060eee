package authz

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// Finding is what one rule makes of a connection or request.
type Finding struct {
	Policy string       `json:"policy"`
	Rule   string       `json:"rule,omitempty"` // "": the policy has none
	Action model.Action `json:"action"`
	DryRun bool         `json:"dryRun,omitempty"`
	// Matches; or Why it does not: the first thing that is not as the rule wants
	// it. Both unset: the rule does not compile, and refuses everything.
	Matches bool         `json:"matches"`
	Why     string       `json:"why,omitempty"`
	Origin  model.Origin `json:"origin"`
}

// Explanation is a decision with what every rule says.
type Explanation struct {
	Refused bool `json:"refused"`
	// Policy and Rule are those that refuse or let in. Where no allow matches,
	// Policy is the first of them and Rule "".
	Policy string `json:"policy,omitempty"`
	Rule   string `json:"rule,omitempty"`
	// Detail says so in words; "" where no policy had to.
	Detail   string    `json:"detail,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
}

// Explain says what would be decided about a connection, or about a request x
// on it, and what each rule makes of it. It counts, and so it is for a Decider that
// nobody else asks. port and peer are as of Connection.
func (d *Decider) Explain(peer *wire.Peer, port uint16, x *filter.Exchange) Explanation {
	in := input{x: x}
	d.fill(&in, peer, port)
	var out Explanation
	refused, by := d.decide(&in, true)
	switch v := cmp.Or(refused, by); {
	case v == nil:
	case refused != nil:
		out.Refused, out.Policy, out.Rule, out.Detail = true, v.policy, v.rule, v.detail.Error()
	default:
		out.Policy, out.Rule, out.Detail = v.policy, v.rule, v.detail.Error()
	}
	for _, p := range d.policies {
		if len(p.Rules) == 0 {
			out.Findings = append(out.Findings, Finding{Policy: p.Name, Action: p.Action, DryRun: p.DryRun, Why: "it has no rules", Origin: p.Origin})
		}
		for i := range p.Rules {
			f := Finding{Policy: p.Name, Rule: cmp.Or(p.Rules[i].Name, strconv.Itoa(i+1)), Action: p.Action, DryRun: p.DryRun, Origin: p.Origin}
			if r, err := compile(p, i, d.target.TrustDomain); err == nil {
				r.verdict = newVerdict(d.metrics, p, r.name)
				f.Why = r.why(d, &in, p.Action == model.Deny)
				f.Matches = f.Why == ""
			}
			out.Findings = append(out.Findings, f)
		}
	}
	return out
}

// why says what keeps the rule from matching, "" where it matches. It goes in
// the order of matches, and decides as that does.
func (r *rule) why(d *Decider, in *input, missing bool) string {
	one := func(part func(*rule)) bool { // whether a rule of that part alone matches
		alone := rule{verdict: r.verdict}
		part(&alone)
		return alone.matches(d, in, missing)
	}
	port := strconv.Itoa(int(in.port))
	switch {
	case !one(func(a *rule) { a.ports = r.ports }):
		return "port " + port + " is not " + numbers(r.ports)
	case !one(func(a *rule) { a.notPorts = r.notPorts }):
		return "port " + port + " is excluded"
	case !one(func(a *rule) { a.addresses = r.addresses }):
		if !in.remote.IsValid() {
			return "the caller's address is not known here, and must be in " + inWords(r.addresses)
		}
		return "address " + in.remote.Addr().Unmap().String() + " is not in " + inWords(r.addresses)
	case !one(func(a *rule) { a.notAddresses = r.notAddresses }):
		return "address " + in.remote.Addr().Unmap().String() + " is excluded"
	case !one(func(a *rule) { a.namespaces = r.namespaces }):
		if in.namespace == "" {
			return "the caller has proved no namespace of ours, and it must be " + strings.Join(r.namespaces, " or ")
		}
		return "namespace " + in.namespace + " is not " + strings.Join(r.namespaces, " or ")
	case !one(func(a *rule) { a.notNamespaces = r.notNamespaces }):
		return "namespace " + in.namespace + " is excluded"
	case !one(func(a *rule) { a.principals = r.principals }):
		if in.identity == "" {
			return "the caller has proved no identity, and it must be " + inWords(r.principals)
		}
		return "the caller is not " + inWords(r.principals)
	case !one(func(a *rule) { a.notPrincipals = r.notPrincipals }):
		return "the caller is excluded"
	case r.http && in.x == nil && !missing:
		return "it wants something of HTTP, and this is a connection"
	}
	why := r.whyContent(d, in, missing)
	if in.other != nil && (why == "") != missing {
		in.turn()
		why = r.whyContent(d, in, missing)
		in.turn()
	}
	return why
}

// whyContent is why for what is asked for.
func (r *rule) whyContent(d *Decider, in *input, missing bool) string {
	if r.http && in.x != nil {
		if why := r.whyNotAsked(in, missing); why != "" {
			return why
		}
	}
	if r.cel != nil && !r.cel.holds(d, r, in, missing) {
		return "its cel expression is not true"
	}
	return ""
}

// whyNotAsked is why for what a request has.
func (r *rule) whyNotAsked(in *input, missing bool) string {
	h := &in.x.Request
	method := string(h.Method)
	switch {
	case len(r.methods) > 0 && !named(r.methods, h.Method, missing):
		return "method " + method + " is not " + strings.Join(r.methods, " or ")
	case named(r.notMethods, h.Method, !missing):
		return "method " + method + " is excluded"
	case len(r.hosts) > 0 && !anyHost(r.hosts, h.Authority):
		return "host " + string(h.Authority) + " is not " + inWords(r.hosts)
	case anyHost(r.notHosts, h.Authority):
		return "host " + string(h.Authority) + " is excluded"
	case len(r.paths) > 0 && !anyPath(r.paths, in):
		return "path " + string(in.path) + " is not " + inWords(r.paths)
	case anyPath(r.notPaths, in):
		return "path " + string(in.path) + " is excluded"
	}
	for i := range r.headers {
		if k := &r.headers[i]; !k.holds(h) {
			return "header " + string(bytes.ToLower([]byte(k.key.Name))) + " is not as it must be"
		}
	}
	for i := range r.claims {
		switch c := &r.claims[i]; {
		case in.x.Caller == nil:
			return "claim " + c.name + ": the request carries no passport"
		case !c.holds(in.x.Caller.Claims):
			return "claim " + c.name + " is not " + strings.Join(c.values, " or ")
		}
	}
	return ""
}

func numbers(list []uint16) string {
	var all []string
	for _, n := range list {
		all = append(all, strconv.Itoa(int(n)))
	}
	return strings.Join(all, " or ")
}

// inWords writes a list as it was configured, but for templates of paths.
func inWords[T fmt.Stringer](list []T) string {
	var all []string
	for _, x := range list {
		all = append(all, x.String())
	}
	return strings.Join(slices.Compact(all), " or ")
}

// String is how it is written.
func (p pattern) String() string {
	switch p.kind {
	case prefix:
		return p.text + "*"
	case suffix:
		return "*" + p.text
	case present:
		return "anybody with an identity"
	}
	return p.text
}

// String is how it is written; the names of a template are not known any more.
func (p path) String() string {
	if p.segments == nil && !p.rest {
		if p.kind == present {
			return "*"
		}
		return p.pattern.String()
	}
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteString("/" + cmp.Or(s, "{}"))
	}
	if p.rest {
		b.WriteString("/{...}")
	}
	return b.String()
}
