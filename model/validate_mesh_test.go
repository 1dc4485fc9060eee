package model

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// village is a valid Config of a mesh with something of everything.
func village() *Config {
	return &Config{
		Mesh: &Mesh{TrustDomain: "shop.example", Federated: []Federation{{TrustDomain: "partner.example", URL: "https://partner.example/bundle"}}},
		Listeners: []*Listener{
			{Name: "public", Port: 80, Protocol: HTTP},
		},
		Services: []*Service{
			{Name: "ledger", Mesh: &MeshService{Namespace: "default", Host: "ledger", Port: 5432, Protocol: AppTCP}},
			{Name: "orders", Mesh: &MeshService{Namespace: "default", Host: "orders", Port: 80, Names: []string{"orders.example.com"}}},
			{Name: "static", Endpoints: []*Endpoint{{Host: "10.0.0.9", Port: 80}}},
		},
		Workloads: []*Workload{
			{Name: "default/orders-1", Namespace: "default", Account: "orders", Address: "10.0.0.1", MeshPort: MeshPort, Ports: []WorkloadPort{{Service: "orders", Port: 9002}, {Service: "shop/audit", Port: 9003}, {Service: "ledger", Port: 5432}}},
		},
		Policies: []*Policy{
			{Name: "default/a", Namespace: "default", Services: []string{"orders"}, Action: Allow, Rules: []PolicyRule{
				{Principals: []string{"spiffe://shop.example/ns/default/sa/web", "spiffe://partner.example/*", "*/sa/ops"}, Methods: []string{"GET"}, Paths: []string{"/orders/{id}", "/static/*"}},
				{Namespaces: []string{"shop"}, Ports: []uint16{9002}, Addresses: []string{"10.0.0.0/8"}},
			}},
			{Name: "default/d", Namespace: "default", Services: []string{"ledger"}, Action: Deny, Rules: []PolicyRule{{NotPrincipals: []string{"*"}}}},
		},
	}
}

func TestAServiceThatAWorkloadNamesIsThere(t *testing.T) {
	t.Parallel()
	out, problems := Validate(village())
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	i := slices.IndexFunc(out.Services, func(s *Service) bool { return s.Name == "shop/audit" })
	if i < 0 || !reflect.DeepEqual(out.Services[i].Mesh, &MeshService{Namespace: "shop", Host: "audit", Port: 9003}) {
		t.Errorf("services %+v", out.Services)
	}
	c := village()
	c.Workloads[0].Ports[0].Service = "static"
	out, problems = Validate(c)
	if m := out.Services[3].Mesh; len(out.Services) != 4 || out.Services[3].Name != "static" || m == nil || m.Port != 9002 || len(out.Services[3].Endpoints) != 1 {
		t.Errorf("services %+v, %v", out.Services[3], problems)
	}
}

func TestMistakesOfTheMesh(t *testing.T) {
	t.Parallel()
	allow := func(c *Config) *PolicyRule { return &c.Policies[0].Rules[0] }
	deny := func(c *Config) *PolicyRule { return &c.Policies[1].Rules[0] }
	for _, c := range []struct {
		change func(*Config)
		want   string // of the first Problem: "SEVERITY CODE: MESSAGE"
		then   func(*Config) bool
	}{
		{func(c *Config) { c.Mesh.TrustDomain = "Shop" }, `error bad-value: no trust domain can be named "Shop"`, nil},
		{func(c *Config) { c.Mesh.MTLS = "loose" }, `error bad-value: mtls of the mesh is "loose"`, func(c *Config) bool { return c.Mesh.MTLS == Strict }},
		{func(c *Config) { c.Mesh.Outbound = "all" }, `error bad-value: outbound of the mesh is "all"`, func(c *Config) bool { return c.Mesh.Outbound == RegisteredOnly }},
		{func(c *Config) { c.Mesh.MaxConnectionAge = 21 * time.Hour }, `error bad-value: maxConnectionAge of the mesh is 21h0m0s`, func(c *Config) bool { return c.Mesh.MaxConnectionAge == MostMeshConnectionAge }},
		{func(c *Config) { c.Mesh.Federated[0].URL = "http://x" }, `error bad-value: the bundle of partner.example comes from "http://x"`, func(c *Config) bool { return len(c.Mesh.Federated) == 0 }},
		{func(c *Config) { c.Mesh.Federated[0].TrustDomain = "shop.example" }, "error duplicate-name: trust domain shop.example is federated twice, or our own", nil},
		{func(c *Config) { c.Mesh.Federated[0].EndpointID = "x" }, `error bad-value: the bundle endpoint of partner.example is to be "x"`, nil},
		{func(c *Config) { c.Workloads[0].Address = "orders" }, `error bad-address: workload default/orders-1 is at "orders"`, func(c *Config) bool { return len(c.Workloads) == 0 }},
		{func(c *Config) { c.Workloads[0].Account = "a/b" }, `error bad-value: workload default/orders-1 has the account "a/b"`, nil},
		{func(c *Config) { c.Workloads[0].Ports[0].Port = 0 }, "error bad-port: workload default/orders-1 serves orders on no port", func(c *Config) bool { return len(c.Workloads[0].Ports) == 2 }},
		{func(c *Config) { c.Workloads[0].State = "ill" }, `error bad-value: workload default/orders-1 is "ill"`, func(c *Config) bool { return c.Workloads[0].State == Unhealthy }},
		{func(c *Config) { c.Services[1].Mesh.Protocol = "smtp" }, `error bad-value: clients speak "smtp" to service orders`, nil},
		{func(c *Config) { c.Services[1].Mesh.Forward = true }, `error bad-value: service orders is told who calls it by a header, and is not declared to speak HTTP`, nil},
		{func(c *Config) { c.Services[0].Mesh.Forward = true }, `error bad-value: service ledger is told who calls it by a header, and is not declared to speak HTTP`, nil},
		{func(c *Config) {
			*c.Services[1].Mesh = MeshService{Namespace: "default", Host: "orders", Port: 80, Protocol: AppHTTP, Forward: true, External: true}
		}, `error bad-value: service orders is external: nobody is told who calls it`, nil},
		{func(c *Config) {
			*c.Services[1].Mesh = MeshService{Namespace: "default", Host: "orders", Port: 80, Protocol: AppHTTP, Forward: true, MTLS: Off}
		}, `warning unused: service orders is to be told who calls it, but nobody proves that (mtls: off)`, nil},
		{func(c *Config) { c.Services[1].Mesh.Via = "nobody" }, `error unknown-service: service orders is reached through "nobody", which is no other service of the mesh`, nil},
		{func(c *Config) {
			c.Services[0].Mesh.Names, c.Services[0].Mesh.Port = []string{"orders.example.com"}, 80
		}, "warning duplicate-name: services ledger and orders are both called orders.example.com:80", nil},

		{func(c *Config) { c.Policies[0].Action = "permit" }, `error bad-value: the action of policy default/a is "permit"`, func(c *Config) bool { return c.Policies[0].Closed }},
		{func(c *Config) { allow(c).Principals[0] = "shop.example/ns/default/sa/web" }, `error bad-value: rule 1 of policy default/a has the principal "shop.example/ns/default/sa/web"`, func(c *Config) bool { return len(c.Policies[0].Rules) == 1 && !c.Policies[0].Closed }},
		{func(c *Config) { deny(c).NotPrincipals[0] = "**" }, `error bad-value: rule 1 of policy default/d has the principal "**"`, func(c *Config) bool {
			return c.Policies[1].Closed && c.Policies[1].Action == Deny && len(c.Policies[1].Rules) == 1
		}},
		{func(c *Config) { c.Policies[1].DryRun = true; deny(c).NotPrincipals[0] = "**" }, `error bad-value: rule 1 of policy default/d has the principal "**"`, func(c *Config) bool { return !c.Policies[1].Closed && len(c.Policies[1].Rules) == 0 }},
		{func(c *Config) { allow(c).Methods[0] = "get" }, `error bad-value: rule 1 of policy default/a has the method "get"`, nil},
		{func(c *Config) { allow(c).Paths[0] = "orders" }, `error bad-value: rule 1 of policy default/a has the path "orders"`, nil},
		{func(c *Config) { allow(c).Addresses = []string{"10.0.0.1/8"} }, `error bad-value: rule 1 of policy default/a has the address "10.0.0.1/8"`, nil},
		{func(c *Config) { allow(c).Claims = []ClaimMatch{{Name: "sub"}} }, "error bad-value: rule 1 of policy default/a compares a claim without a name, or with nothing", nil},

		{func(c *Config) { c.Policies[0].Services[0] = "odrers" }, `warning selects-nothing: policy default/a is for service "odrers", which is not there`, func(c *Config) bool { return c.Policies[0].Services[0] == "odrers" }},
		{func(c *Config) { c.Policies[0].Services[0] = "static" }, "warning selects-nothing: policy default/a is for service static, which has no workloads: nobody checks it there", nil},
		{func(c *Config) { c.Policies[0].Services, c.Policies[0].Listeners = nil, []string{"pubic"} }, `warning selects-nothing: policy default/a is for listener "pubic", which is not there`, nil},
		{func(c *Config) { c.Policies[1].Rules = nil }, "warning never-matches: policy default/d has no rules, and so it never matches", nil},
		{func(c *Config) { c.Policies[0].Services[0] = "ledger" }, "warning never-matches: rule 1 of policy default/a can never match: it wants something of HTTP, and its services are tcp", nil},
		{func(c *Config) { deny(c).Methods = []string{"PUT"} }, "warning matches-everything: rule 1 of policy default/d wants something of HTTP, and its services are tcp: there it matches every connection", nil},
		{func(c *Config) { allow(c).Principals = []string{"spiffe://other.example/ns/x/sa/y"} }, "warning foreign-principal: rule 1 of policy default/a names spiffe://other.example/ns/x/sa/y, and nobody of trust domain other.example is believed here", nil},
		{func(c *Config) { allow(c).Principals = []string{"spiffe://shop.example/node/web-1"} }, "warning no-workload: rule 1 of policy default/a names spiffe://shop.example/node/web-1, and /node/web-1 is no workload's: nobody calls as that", nil},
		{func(c *Config) {
			allow(c).Principals, allow(c).Namespaces = []string{"spiffe://shop.example/ns/default/sa/web"}, []string{"shop"}
		}, "warning never-matches: rule 1 of policy default/a can never match: none of its principals is in the namespaces that it wants", nil},
		{func(c *Config) { c.Policies[0].Rules[1].Ports[0] = 80 }, "warning never-matches: rule 2 of policy default/a can never match: no workload of its services serves a port that it wants", nil},
		{func(c *Config) { allow(c).NotMethods = []string{"GET"} }, "warning never-matches: rule 1 of policy default/a can never match: all methods that it wants are excluded again", nil},
	} {
		in := village()
		c.change(in)
		out, problems := Validate(in)
		if len(problems) == 0 {
			t.Errorf("no Problem, want %s", c.want)
			continue
		}
		if got := string(problems[0].Severity) + " " + problems[0].Code + ": " + problems[0].Message; got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if c.then != nil && !c.then(out) {
			t.Errorf("%s: left is %+v", c.want, out)
		}
	}
}

// TestABrokenPolicyNeverOpens: whatever is wrong in a deny, it refuses more.
func TestABrokenPolicyNeverOpens(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		c := village()
		for range 1 + random.IntN(5) {
			spoil(random, reflect.ValueOf(c).Elem())
		}
		before := Freeze(c).Version
		written := map[string]*Policy{}
		for _, p := range c.Policies {
			if written[p.Name] == nil {
				written[p.Name] = p
			}
		}
		out, problems := Validate(c)
		if Freeze(c).Version != before {
			t.Fatal("the Config was written to")
		}
		again, more := Validate(out)
		if Freeze(again).Version != Freeze(out).Version || slices.ContainsFunc(more, func(p Problem) bool { return p.Severity == Broken }) {
			t.Fatalf("not valid: %v\nof %v", more, problems)
		}
		for _, p := range out.Policies {
			w := written[p.Name]
			if w.Action == Deny && !w.DryRun && !p.Closed && len(p.Rules) < len(w.Rules) {
				t.Fatalf("%s lost a rule: %v", p.Name, problems)
			}
			if !slices.Equal(p.Services, w.Services) || !slices.Equal(p.Listeners, w.Listeners) {
				t.Fatalf("%s is for others now", p.Name)
			}
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wrong     func(string) string
		good, bad string
	}{
		{WrongPrincipal, "* shop/orders shop/* spiffe://a/ns/b/sa/c spiffe://a/* */sa/x spiffe://*", "** *a* a a* a/b/c Shop/a spiffe://A/b spiffe://a spiffe://a/../b a/ns/b/sa/c spiffe://a/b*c"},
		{WrongNetwork, "10.0.0.0/8 10.1.2.3 fd00::/8 ::1", "10.0.0.1/8 x 10.0.0.0/33 fe80::1%eth0"},
		{WrongPath, "* / /a /a/* *.png /a/{id} /a/{rest...}", "a /a*b *a* ** /{a /{a}* /a?b /a\x01"},
	} {
		for s := range strings.SplitSeq(c.good, " ") {
			if hint := c.wrong(s); hint != "" {
				t.Errorf("%q: %s", s, hint)
			}
		}
		for s := range strings.SplitSeq(c.bad, " ") {
			if c.wrong(s) == "" {
				t.Errorf("%q was taken", s)
			}
		}
	}
}
