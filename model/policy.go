package model

// Action is what a Policy does with what it matches.
type Action string

const (
	Allow Action = "allow" // where a target has any, what matches none is refused
	Deny  Action = "deny"  // goes before every allow
	Audit Action = "audit" // is logged and counted, nothing else
)

// Policy says who may speak to whom. Of the policies that apply to a workload
// a deny that matches refuses; otherwise an allow must match if there is any.
type Policy struct {
	// Name is unique in a Config: "shop/only-orders" (namespace/name).
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Services names the Services that it is for; none: every workload of the
	// Namespace, or of the mesh where that is "".
	Services []string `json:"services,omitempty"`
	// Listeners names Listeners of a gateway that it is for; "shop/public/*" is
	// all those of a Gateway.
	Listeners []string `json:"listeners,omitempty"`
	Action    Action   `json:"action"`
	// Rules are alternatives; none matches nothing: an allow without rules
	// refuses everything.
	Rules []PolicyRule `json:"rules,omitempty"`
	// DryRun: what it would refuse is logged and counted, and passes.
	DryRun bool `json:"dryRun,omitempty"`
	// Tell names the policy and rule in the refusal's answer.
	Tell   bool   `json:"tell,omitempty"`
	Origin Origin `json:"origin"`
	// Closed: a mistake in it could let through what it is there to refuse. A
	// deny refuses everything, and an allow lets nobody in. Validate makes such.
	Closed bool `json:"closed,omitempty"`
	// Refused is as that of Service. It comes no further than Validate, which
	// makes it a Closed one.
	Refused bool `json:"-"`
}

// PolicyRule is a conjunction: everything that is set must hold; a list holds
// where one of it does, a Not list where none does. A rule without anything
// matches everything. Where a connection is not HTTP, an HTTP attribute (methods,
// paths, hosts, headers, claims) matches in a deny and does not in an allow.
type PolicyRule struct {
	// Name is for messages; "" is its number, counting from 1.
	Name string `json:"name,omitempty"`
	// Principals are identities, "spiffe://td/ns/shop/sa/orders", with "*" at
	// the end or the beginning, or "*" for every caller that has proved one;
	// "shop/orders" is the account of a namespace of our own trust domain, and
	// "shop/*" all of them.
	Principals    []string `json:"principals,omitempty"`
	NotPrincipals []string `json:"notPrincipals,omitempty"`
	Namespaces    []string `json:"namespaces,omitempty"`
	NotNamespaces []string `json:"notNamespaces,omitempty"`
	// Addresses are networks (CIDR) of the connection's other end.
	Addresses    []string `json:"addresses,omitempty"`
	NotAddresses []string `json:"notAddresses,omitempty"`
	// Ports are those of the workload.
	Ports    []uint16 `json:"ports,omitempty"`
	NotPorts []uint16 `json:"notPorts,omitempty"`
	// Methods, Hosts (exact, or "*." before a domain) and Paths (exact, "*" at
	// the end or beginning, or a template as "/orders/{id}") are HTTP.
	Methods    []string     `json:"methods,omitempty"`
	NotMethods []string     `json:"notMethods,omitempty"`
	Hosts      []string     `json:"hosts,omitempty"`
	NotHosts   []string     `json:"notHosts,omitempty"`
	Paths      []string     `json:"paths,omitempty"`
	NotPaths   []string     `json:"notPaths,omitempty"`
	Headers    []FieldMatch `json:"headers,omitempty"`
	// Claims are of the passport, or of the JWT that was checked.
	Claims []ClaimMatch `json:"claims,omitempty"`
	// CEL is an expression that gives a bool; see docs/reference/policy.md for
	// its variables. An expression that fails at a request does not match in an
	// allow, and matches in a deny.
	CEL string `json:"cel,omitempty"`
}

// ClaimMatch compares a claim: a string, number or bool as text, or one of the
// elements of a list.
type ClaimMatch struct {
	Name   string   `json:"name"` // "sub", or a path as "realm.roles"
	Values []string `json:"values"`
}

func (p *Policy) name() string   { return p.Name }
func (p *Policy) origin() Origin { return p.Origin }

func (p *Policy) write(b *content) {
	b.text(p.Name, p.Namespace, string(p.Action))
	b.strings(p.Services...)
	b.strings(p.Listeners...)
	b.bool(p.DryRun)
	b.bool(p.Tell)
	b.bool(p.Closed)
	b.bool(p.Refused)
	b.number(uint64(len(p.Rules)))
	for i := range p.Rules {
		r := &p.Rules[i]
		b.text(r.Name, r.CEL)
		for _, list := range [...][]string{r.Principals, r.NotPrincipals, r.Namespaces, r.NotNamespaces, r.Addresses, r.NotAddresses,
			r.Methods, r.NotMethods, r.Hosts, r.NotHosts, r.Paths, r.NotPaths} {
			b.strings(list...)
		}
		for _, list := range [...][]uint16{r.Ports, r.NotPorts} {
			b.number(uint64(len(list)))
			for _, n := range list {
				b.number(uint64(n))
			}
		}
		b.number(uint64(len(r.Headers)))
		for j := range r.Headers {
			h := &r.Headers[j]
			b.text(string(h.Kind), h.Name, h.Value)
		}
		b.number(uint64(len(r.Claims)))
		for j := range r.Claims {
			b.text(r.Claims[j].Name)
			b.strings(r.Claims[j].Values...)
		}
	}
	b.place(&p.Origin)
}
