package short

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// policies are the items of the list, not yet decoded.
type policies struct{ items []*yaml.Node }

// ReadNode takes a list.
func (p *policies) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		in.Wrong(n, "a list of policies", "NAME: [{name: only-orders, to: payments, allow: orders}]")
		return
	}
	p.items = n.Content
}

// policy says who may speak to whom.
type policy struct {
	Name    text        `json:"name" doc:"for messages and metrics"`
	To      words       `json:"to" doc:"services that it is for, or \"*\" for every workload of namespace default: one or a list"`
	Listen  words       `json:"listen" doc:"listeners of the gateway that it is for, by their address: one or a list" default:"none"`
	Allow   *callers    `json:"allow" doc:"who may: an account (orders, shop/orders, \"shop/*\"), a SPIFFE ID, \"*\" for whoever has proved an identity, anyone, unproven, or a network; one or a list; [] is nobody. Who is in no allow may not"`
	Deny    *callers    `json:"deny" doc:"who may not, as in allow"`
	Audit   *callers    `json:"audit" doc:"who is logged and counted, as in allow"`
	Methods words       `json:"methods" empty:"wrong" doc:"HTTP methods: one or a list" default:"every method"`
	Paths   words       `json:"paths" empty:"wrong" doc:"\"/orders\", \"/orders/*\", \"*.png\" or \"/orders/{id}\": one or a list" default:"every path"`
	Hosts   words       `json:"hosts" empty:"wrong" doc:"exact or \"*.example.com\": one or a list" default:"every host"`
	Ports   portNumbers `json:"ports" empty:"wrong" doc:"ports of the workload: one or a list" default:"every port"`
	Headers conditions  `json:"headers" empty:"wrong" doc:"all must hold: a value, \"~regex\", \"*\" for any value, or an object"`
	Claims  claims      `json:"claims" empty:"wrong" doc:"all must hold: of the passport or token, by name or path (realm.roles); one value or a list"`
	CEL     text        `json:"cel" empty:"wrong" doc:"an expression that gives true or false"`
	DryRun  bool        `json:"dryRun" doc:"only log and count what it would refuse" default:"false"`
	Tell    bool        `json:"tell" doc:"the answer to who is refused names the policy" default:"false"`
	_       struct{}    `also:"service,services,target,targets,targetRefs,selector,destination" hint:"did you mean to?"`
	_       struct{}    `also:"from,source,sources,principals,accounts,serviceAccounts,callers" hint:"callers stand under what becomes of them: for example allow: [orders]"`
	_       struct{}    `also:"action,rules,rule" hint:"a policy is one line: allow: [orders], or deny, or audit; write several policies for several rules"`
	_       struct{}    `also:"method,operation" hint:"did you mean methods?"`
	_       struct{}    `also:"path" hint:"did you mean paths?"`
	_       struct{}    `also:"when,condition,conditions,expression" hint:"did you mean claims, headers or cel?"`
}

// callers are words for who calls; nil where nothing is said.
type callers []caller

type caller struct {
	word string
	at   *yaml.Node
}

// ReadNode takes a word or a list, which may be empty.
func (c *callers) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	*c = callers{}
	if n.Kind != yaml.SequenceNode {
		var t text
		in.Into(n, &t)
		*c = callers{{string(t), n}}
		return
	}
	for i, item := range n.Content {
		var t text
		in.Item(i, item, &t)
		*c = append(*c, caller{string(t), item})
	}
}

// portNumbers are one or a list.
type portNumbers []uint16

// ReadNode takes a port or a list.
func (p *portNumbers) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	read := func(n *yaml.Node) {
		var port int
		before := in.Broken()
		if in.Into(n, &port); (port < 1 || port > 65535) && in.Broken() == before {
			in.Problem(n, "bad-value", "no port is numbered "+strconv.Itoa(port), "from 1 to 65535")
		}
		*p = append(*p, uint16(port))
	}
	if n.Kind != yaml.SequenceNode {
		read(n)
		return
	}
	for i, c := range n.Content {
		in.EnterItem(i)
		read(c)
		in.Leave()
	}
}

// claims are names and what they may be.
type claims []model.ClaimMatch

// ReadNode takes a mapping.
func (c *claims) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	in.Pairs(n, "NAME: {sub: alice}", func(key, value *yaml.Node) {
		var w words
		before := in.Broken()
		if in.Into(value, &w); len(w) == 0 && in.Broken() == before {
			in.Wrong(value, "a value or a list of values", "NAME: alice")
		}
		*c = append(*c, model.ClaimMatch{Name: key.Value, Values: w})
	})
}

// access is a policy's noun, whose listeners are still as they were written.
type access struct {
	noun   *model.Policy
	listen []string
}

// access reads the item with a number. One with a mistake is there all the
// same, and refuses: left out it would let everybody in.
func (d *Dialect) access(in *dialect.Decoder, n *yaml.Node, i int) access {
	in.EnterItem(i)
	defer in.Leave()
	var p policy
	before := in.Broken()
	in.Into(n, &p)
	m := &model.Policy{Name: string(p.Name), Namespace: model.DefaultNamespace, DryRun: p.DryRun, Tell: p.Tell, Origin: in.Origin(n)}
	if n.Kind != yaml.MappingNode && in.Broken() == before {
		in.Wrong(n, "a policy", "NAME: {name: only-orders, to: payments, allow: orders}")
	}
	if n.Kind != yaml.MappingNode {
		m.Name, m.Action, m.Refused = model.DefaultNamespace+"/"+in.Path(), model.Deny, true
		return access{m, nil}
	}
	if m.Name == "" {
		m.Name = in.Path()
		in.Problem(n, "missing-field", "a policy has a name", "for example name: only-orders")
	} else if strings.ContainsAny(m.Name, "/ ") {
		in.Problem(field(n, "name"), "bad-value", "a policy has a name without spaces and /: "+strconv.Quote(m.Name), "for example only-orders")
	}
	m.Name = model.DefaultNamespace + "/" + m.Name
	if !slices.Contains(p.To, "*") {
		m.Services = p.To
	}
	switch {
	case len(p.To) == 0 && len(p.Listen) == 0:
		in.Problem(n, "missing-field", "nothing says what this policy is for", `for example to: payments, or to: "*" for every workload`)
	case slices.Contains(p.To, "*") && (len(p.To) > 1 || len(p.Listen) > 0):
		in.Problem(field(n, "to"), "bad-value", `"*" is every workload, and stands alone`, "leave the others out, or write a policy of their own")
	}
	var who *callers
	said := 0
	for _, way := range []struct {
		action model.Action
		list   *callers
	}{{model.Allow, p.Allow}, {model.Deny, p.Deny}, {model.Audit, p.Audit}} {
		if way.list != nil {
			m.Action, who = way.action, way.list
			said++
		}
	}
	if said != 1 {
		m.Action = model.Deny
		in.Problem(n, "bad-value", "a policy has one of allow, deny and audit", "for example allow: [orders]")
	} else {
		in.Enter(string(m.Action))
		m.Rules = p.rules(in, *who)
		in.Leave()
	}
	p.check(in, n)
	if p.CEL != "" && d.CEL != nil {
		if err := d.CEL(string(p.CEL)); err != nil {
			in.Enter("cel")
			in.Problem(field(n, "cel"), "bad-expression", "the expression can not be used: "+err.Error(), "docs/reference/policy.md has its variables")
			in.Leave()
		}
	}
	m.Refused = in.Broken() > before
	return access{m, p.Listen}
}

// field gives the value of a field of n, or n.
func field(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return n
}

// rules makes one rule for accounts, and one for each other kind of caller.
func (p *policy) rules(in *dialect.Decoder, who callers) (rules []model.PolicyRule) {
	like := model.PolicyRule{
		Methods: p.Methods, Paths: p.Paths, Hosts: p.Hosts, Ports: p.Ports, Headers: p.Headers, Claims: p.Claims, CEL: string(p.CEL),
	}
	accounts, networks := like, like
	add := func(change func(*model.PolicyRule)) {
		r := like
		change(&r)
		rules = append(rules, r)
	}
	for i, c := range who {
		principal := c.word
		_, network := netip.ParsePrefix(c.word)
		_, address := netip.ParseAddr(c.word)
		switch {
		case c.word == "anyone":
			add(func(*model.PolicyRule) {})
			continue
		case c.word == "unproven":
			add(func(r *model.PolicyRule) { r.NotPrincipals = []string{"*"} })
			continue
		case network == nil || address == nil:
			if hint := model.WrongNetwork(c.word); hint != "" {
				in.EnterItem(i)
				in.Problem(c.at, "bad-value", "this is no network: "+c.word, hint)
				in.Leave()
			}
			networks.Addresses = append(networks.Addresses, c.word)
			continue
		case c.word != "*" && !strings.ContainsAny(c.word, "/*"):
			principal = model.DefaultNamespace + "/" + c.word
		}
		if hint := model.WrongPrincipal(principal); hint != "" {
			in.EnterItem(i)
			in.Problem(c.at, "bad-value", "nobody is called "+strconv.Quote(c.word), "write orders (an account), shop/orders, spiffe://TRUSTDOMAIN/ns/shop/sa/orders, \"*\", anyone, unproven or a network")
			in.Leave()
		}
		accounts.Principals = append(accounts.Principals, principal)
	}
	if len(networks.Addresses) > 0 {
		rules = append([]model.PolicyRule{networks}, rules...)
	}
	if len(accounts.Principals) > 0 {
		rules = append([]model.PolicyRule{accounts}, rules...)
	}
	return rules
}

// check says what is wrong with the rest.
func (p *policy) check(in *dialect.Decoder, n *yaml.Node) {
	each := func(name string, list words, wrong func(string) string) {
		at := field(n, name)
		for i, w := range list {
			hint := wrong(w)
			if hint == "" {
				continue
			}
			where := at
			if at.Kind == yaml.SequenceNode && i < len(at.Content) {
				where = at.Content[i]
			}
			in.Enter(name)
			in.Problem(where, "bad-value", name+" can not be "+strconv.Quote(w), hint)
			in.Leave()
		}
	}
	each("methods", p.Methods, func(w string) string {
		if !isFieldName(w) || w != strings.ToUpper(w) {
			return "write a method as it is sent, for example " + strings.ToUpper(strings.Trim(w, " "))
		}
		return ""
	})
	each("paths", p.Paths, model.WrongPath)
	each("hosts", p.Hosts, func(w string) string {
		host, wrong, hint := cleanHost(w)
		if wrong == "" && host != w {
			return "write " + host
		}
		if wrong != "" && hint == "" {
			hint = wrong
		}
		return hint
	})
}

// admit takes policies over, and finds their listeners.
func (j *joint) admit(list []access) {
	for _, a := range list {
		m := a.noun
		if len(a.listen) > 0 {
			m = copied(m)
			for _, word := range a.listen {
				found := false
				for _, l := range j.doors {
					if l.is(word) {
						found = true
						m.Listeners = append(m.Listeners, l.name)
					}
				}
				if !found { // model says so
					m.Listeners = append(m.Listeners, "listen/"+word)
				}
			}
		}
		j.out.Policies = append(j.out.Policies, m)
	}
}

func copied[T any](p *T) *T {
	c := *p
	return &c
}
