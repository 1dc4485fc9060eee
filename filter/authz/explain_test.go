package authz

import (
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// agrees says whether an explanation is what d decides of x, and why it is where
// a rule does not match.
func agrees(t *testing.T, d *Decider, x *filter.Exchange) {
	t.Helper()
	is := refused(d, x) != observe.ReasonNone
	asked := x
	if len(x.Request.Method) == 0 {
		asked = nil
	}
	e := d.Explain(x.Peer, 9004, asked)
	if e.Refused != is {
		t.Errorf("%+v, and it is refused: %v", e, is)
	}
	for _, f := range e.Findings {
		if f.Matches != (f.Why == "") || f.Matches != (f.Action == model.Deny) && is || f.Matches != (f.Action == model.Allow) && !is {
			t.Errorf("%+v, and it is refused: %v", f, is)
		}
	}
}

// TestExplain: each finding says what is first in the way.
func TestExplain(t *testing.T) {
	t.Parallel()
	orders := sa("default", "orders")
	for _, c := range []struct {
		rule model.PolicyRule
		x    *filter.Exchange
		want string
	}{
		{model.PolicyRule{}, ask(peer("10.1.2.3:4", orders), "GET h/"), ""},
		{model.PolicyRule{Ports: []uint16{1, 2}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "port 9004 is not 1 or 2"},
		{model.PolicyRule{NotPorts: []uint16{9004}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "port 9004 is excluded"},
		{model.PolicyRule{Addresses: []string{"10.9.0.0/16", "10.8.0.1"}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "address 10.1.2.3 is not in 10.9.0.0/16 or 10.8.0.1/32"},
		{model.PolicyRule{Namespaces: []string{"shop"}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "namespace default is not shop"},
		{model.PolicyRule{Namespaces: []string{"shop"}}, ask(peer("10.1.2.3:4", ""), "GET h/"), "the caller has proved no namespace of ours, and it must be shop"},
		{model.PolicyRule{Principals: []string{"shop/web", "*/sa/ops"}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "the caller is not " + sa("shop", "web") + " or */sa/ops"},
		{model.PolicyRule{Principals: []string{"*"}}, ask(peer("10.1.2.3:4", ""), "GET h/"), "the caller has proved no identity, and it must be anybody with an identity"},
		{model.PolicyRule{NotPrincipals: []string{"default/*"}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "the caller is excluded"},
		{model.PolicyRule{Methods: []string{"POST", "PUT"}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "method GET is not POST or PUT"},
		{model.PolicyRule{Hosts: []string{"*.example.com"}}, ask(peer("10.1.2.3:4", orders), "GET h/"), "host h is not *.example.com"},
		{model.PolicyRule{Paths: []string{"/orders/{id}", "/static/*", "/a/{rest...}"}}, ask(peer("10.1.2.3:4", orders), "GET h/x"), "path /x is not /orders/{} or /static/* or /a/{...}"},
		{model.PolicyRule{NotPaths: []string{"/x"}}, ask(peer("10.1.2.3:4", orders), "GET h/x"), "path /x is excluded"},
		{model.PolicyRule{Headers: []model.FieldMatch{{Kind: model.FieldPresent, Name: "X-Env"}}}, ask(peer("10.1.2.3:4", orders), "GET h/x"), "header x-env is not as it must be"},
		{model.PolicyRule{Claims: []model.ClaimMatch{{Name: "sub", Values: []string{"a"}}}}, ask(peer("10.1.2.3:4", orders), "GET h/x"), "claim sub: the request carries no passport"},
		{model.PolicyRule{CEL: `request.path == "/y"`}, ask(peer("10.1.2.3:4", orders), "GET h/x"), "its cel expression is not true"},
		{model.PolicyRule{Methods: []string{"GET"}}, ask(peer("10.1.2.3:4", orders), ""), "it wants something of HTTP, and this is a connection"},
	} {
		x := c.x
		if len(x.Request.Method) == 0 {
			x = nil
		}
		e := decider(t, policy(model.Allow, c.rule)).Explain(c.x.Peer, 9004, x)
		if len(e.Findings) != 1 || e.Findings[0].Why != c.want || e.Findings[0].Matches != (c.want == "") || e.Refused != (c.want != "") {
			t.Errorf("%+v: %+v, and not %q", c.rule, e, c.want)
		}
	}
	d := decider(t, policy(model.Deny, model.PolicyRule{Methods: []string{"DELETE"}}), policy(model.Allow, model.PolicyRule{Principals: []string{"shop/web"}}, model.PolicyRule{Name: "ours", Principals: []string{"default/orders"}}), policy(model.Allow))
	e := d.Explain(peer("10.1.2.3:4", orders), 9004, ask(nil, "GET h/"))
	if e.Refused || e.Policy != "default/allow" || e.Rule != "ours" || len(e.Findings) != 4 || e.Findings[3].Why != "it has no rules" {
		t.Errorf("%+v", e)
	}
}
