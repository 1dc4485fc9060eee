package authz

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

const own = "naru.local"

var payments = filter.Target{Service: "payments", Namespace: "default", TrustDomain: own}

// peer is somebody at an address, with an identity unless "".
func peer(remote, identity string) *wire.Peer {
	p := &wire.Peer{Remote: netip.MustParseAddrPort(remote)}
	if identity != "" {
		p.TLS = &wire.TLSState{Identity: identity}
	}
	return p
}

func sa(namespace, account string) string {
	return "spiffe://" + own + "/ns/" + namespace + "/sa/" + account
}

// ask is "METHOD HOST/PATH" with header lines; "" is a connection without HTTP.
func ask(p *wire.Peer, line string, headers ...string) *filter.Exchange {
	x := &filter.Exchange{}
	x.Peer = p
	method, rest, _ := strings.Cut(line, " ")
	host, path, _ := strings.Cut(rest, "/")
	x.Request.Method, x.Request.Authority, x.Request.Path = []byte(method), []byte(host), []byte("/"+path)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		x.Request.AddString(wire.KeyOf(name), value)
	}
	return x
}

func decider(t *testing.T, policies ...*model.Policy) *Decider {
	t.Helper()
	d, err := New(policies, payments, NewMetrics(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func policy(action model.Action, rules ...model.PolicyRule) *model.Policy {
	return &model.Policy{Name: "default/" + string(action), Namespace: "default", Services: []string{"payments"}, Action: action, Rules: rules}
}

// TestRules: of each rule, what matches and what does not, in an allow and in
// a deny.
func TestRules(t *testing.T) {
	t.Parallel()
	orders, web, far := sa("default", "orders"), sa("shop", "web"), "spiffe://other.example/ns/shop/sa/web"
	machine, plane := "spiffe://"+own+"/node/web-1", "spiffe://"+own+"/control/plane-1"
	connection := func(identity string) func() *filter.Exchange {
		return func() *filter.Exchange { return ask(peer("10.1.2.3:4", identity), "") }
	}
	request := func(identity, line string, headers ...string) func() *filter.Exchange {
		return func() *filter.Exchange { return ask(peer("10.1.2.3:4", identity), line, headers...) }
	}
	claims := func(json string) func() *filter.Exchange {
		return func() *filter.Exchange {
			x := ask(peer("10.1.2.3:4", orders), "GET h/")
			x.Caller = &filter.Caller{Claims: object(t, json)}
			return x
		}
	}
	for _, c := range []struct {
		rule    model.PolicyRule
		matches []func() *filter.Exchange
		not     []func() *filter.Exchange
		// missing: HTTP that is not there, which a deny takes as a match.
		missing []func() *filter.Exchange
	}{
		{rule: model.PolicyRule{}, matches: []func() *filter.Exchange{connection(""), connection(far), request("", "GET h/")}},
		{rule: model.PolicyRule{Principals: []string{"*"}}, matches: []func() *filter.Exchange{connection(web), connection(far)}, not: []func() *filter.Exchange{connection(""), connection("nonsense")}},
		{rule: model.PolicyRule{NotPrincipals: []string{"*"}}, matches: []func() *filter.Exchange{connection("")}, not: []func() *filter.Exchange{connection(web)}},
		// The link certificates of machines and control planes are nobody's who calls.
		{rule: model.PolicyRule{Principals: []string{"*"}}, not: []func() *filter.Exchange{connection(machine), connection(plane), connection("spiffe://other.example/node/web-1"), request(machine, "GET h/")}},
		{rule: model.PolicyRule{NotPrincipals: []string{"*"}}, matches: []func() *filter.Exchange{connection(machine), connection(plane)}},
		{rule: model.PolicyRule{Principals: []string{machine, "spiffe://" + own + "/*", "*/web-1"}}, not: []func() *filter.Exchange{connection(machine), connection(plane)}},
		{rule: model.PolicyRule{CEL: `source.principal != ""`}, matches: []func() *filter.Exchange{connection(web)}, not: []func() *filter.Exchange{connection(machine)}},
		{rule: model.PolicyRule{Principals: []string{orders}}, matches: []func() *filter.Exchange{connection(orders)}, not: []func() *filter.Exchange{connection(web), connection(orders + "x"), connection("")}},
		{rule: model.PolicyRule{Principals: []string{"shop/web"}}, matches: []func() *filter.Exchange{connection(web)}, not: []func() *filter.Exchange{connection(far), connection(orders), connection(web + "/x")}},
		{rule: model.PolicyRule{Principals: []string{"shop/*"}}, matches: []func() *filter.Exchange{connection(web)}, not: []func() *filter.Exchange{connection(far), connection(orders)}},
		{rule: model.PolicyRule{Principals: []string{"*/sa/web"}}, matches: []func() *filter.Exchange{connection(web), connection(far)}, not: []func() *filter.Exchange{connection(orders)}},
		{rule: model.PolicyRule{Principals: []string{"spiffe://other.example/*"}, NotPrincipals: []string{"*/sa/web"}}, not: []func() *filter.Exchange{connection(far), connection(web)}},
		{rule: model.PolicyRule{Namespaces: []string{"shop"}}, matches: []func() *filter.Exchange{connection(web)}, not: []func() *filter.Exchange{connection(orders), connection(far), connection(""), connection("spiffe://" + own + "/ns/shop")}},
		{rule: model.PolicyRule{NotNamespaces: []string{"shop"}}, matches: []func() *filter.Exchange{connection(orders), connection(far), connection("")}, not: []func() *filter.Exchange{connection(web)}},
		{rule: model.PolicyRule{Addresses: []string{"10.0.0.0/8"}, NotAddresses: []string{"10.9.0.0/16"}}, matches: []func() *filter.Exchange{connection("")},
			not: []func() *filter.Exchange{func() *filter.Exchange { return ask(peer("10.9.0.1:1", ""), "") }, func() *filter.Exchange { return ask(peer("[fd00::1]:1", ""), "") }}},
		{rule: model.PolicyRule{Addresses: []string{"10.1.2.3"}}, matches: []func() *filter.Exchange{connection(""), func() *filter.Exchange { return ask(peer("[::ffff:10.1.2.3]:1", ""), "") }}},
		{rule: model.PolicyRule{Ports: []uint16{9004}}, matches: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{Ports: []uint16{80}}, not: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{NotPorts: []uint16{9004}}, not: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{Methods: []string{"GET", "HEAD"}}, matches: []func() *filter.Exchange{request("", "GET h/")}, not: []func() *filter.Exchange{request("", "POST h/")}, missing: []func() *filter.Exchange{connection(web), request("", "get h/"), request("", "Head h/")}},
		{rule: model.PolicyRule{NotMethods: []string{"GET"}}, matches: []func() *filter.Exchange{request("", "POST h/")}, not: []func() *filter.Exchange{request("", "GET h/")}, missing: []func() *filter.Exchange{connection(web), request("", "get h/")}},
		{rule: model.PolicyRule{Hosts: []string{"pay.example", "*.pay.example"}}, matches: []func() *filter.Exchange{request("", "GET pay.example/"), request("", "GET PAY.example:80/"), request("", "GET a.b.pay.example./")},
			not: []func() *filter.Exchange{request("", "GET xpay.example/"), request("", "GET .pay.example/")}, missing: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{Paths: []string{"/a", "/static/*", "*.png", "/orders/{id}", "/files/{dir}/{rest...}"}},
			matches: []func() *filter.Exchange{request("", "GET h/a"), request("", "GET h/static/"), request("", "GET h/x/y.png"), request("", "GET h/orders/7"), request("", "GET h/files/a"), request("", "GET h/files/a/b/c")},
			not:     []func() *filter.Exchange{request("", "GET h/"), request("", "GET h/a/"), request("", "GET h/static"), request("", "GET h/orders/"), request("", "GET h/orders/7/x"), request("", "GET h/orders/7/"), request("", "GET h/files"), request("", "GET h/files/")}, missing: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{Paths: []string{"*"}, NotPaths: []string{"/admin/*"}}, matches: []func() *filter.Exchange{request("", "GET h/")}, not: []func() *filter.Exchange{request("", "GET h/admin/x")}, missing: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{Headers: []model.FieldMatch{{Kind: model.FieldExact, Name: "X-Env", Value: "a, b"}}}, matches: []func() *filter.Exchange{request("", "GET h/", "x-env: a", "X-Env: b")}, not: []func() *filter.Exchange{request("", "GET h/"), request("", "GET h/", "x-env: a")}, missing: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{Headers: []model.FieldMatch{{Kind: model.FieldRegex, Name: "x-env", Value: "a|b"}, {Kind: model.FieldAbsent, Name: "x-no"}}}, matches: []func() *filter.Exchange{request("", "GET h/", "x-env: b")}, not: []func() *filter.Exchange{request("", "GET h/", "x-env: ab"), request("", "GET h/", "x-env: a", "x-no: ")}},
		{rule: model.PolicyRule{Claims: []model.ClaimMatch{{Name: "realm.roles", Values: []string{"admin"}}, {Name: "level", Values: []string{"3"}}}},
			matches: []func() *filter.Exchange{claims(`{"realm":{"roles":["user","admin"]},"level":3}`), claims(`{"realm.roles":"admin","level":"3"}`)},
			not:     []func() *filter.Exchange{claims(`{"realm":{"roles":["user"]},"level":3}`), claims(`{"realm":"admin","level":3}`), claims(`{"realm":{"roles":"admin"}}`), request(orders, "GET h/")}, missing: []func() *filter.Exchange{connection("")}},
		{rule: model.PolicyRule{CEL: `source.namespace == "shop" && destination.port == 9004 && source.address.startsWith("10.")`}, matches: []func() *filter.Exchange{connection(web), request(web, "GET h/")}, not: []func() *filter.Exchange{connection(orders)}},
		{rule: model.PolicyRule{CEL: `request.method == "GET" && request.headers["x-env"] == "a"`}, matches: []func() *filter.Exchange{request("", "GET h/", "X-Env: a")}, not: []func() *filter.Exchange{request("", "PUT h/")},
			missing: []func() *filter.Exchange{connection(""), request("", "GET h/")}}, // no such header: the expression fails
		{rule: model.PolicyRule{CEL: `"admin" in claims.roles && claims.sub == "alice"`}, matches: []func() *filter.Exchange{claims(`{"roles":["admin"],"sub":"alice"}`)}, not: []func() *filter.Exchange{claims(`{"roles":[],"sub":"alice"}`)}, missing: []func() *filter.Exchange{claims(`{}`), connection("")}},
		{rule: model.PolicyRule{CEL: `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, a+b+c+d > destination.port - 9999))))`}, missing: []func() *filter.Exchange{connection("")}}, // costs too much
	} {
		allow, deny := decider(t, policy(model.Allow, c.rule)), decider(t, policy(model.Deny, c.rule))
		for kind, list := range map[string][]func() *filter.Exchange{"matches": c.matches, "not": c.not, "missing": c.missing} {
			for i, make := range list {
				let := refused(allow, make()) == observe.ReasonNone
				stopped := refused(deny, make()) != observe.ReasonNone
				if let != (kind == "matches") || stopped != (kind != "not") {
					t.Errorf("%+v: %s %d: allow lets in %v, deny refuses %v", c.rule, kind, i, let, stopped)
				}
				agrees(t, allow, make())
				agrees(t, deny, make())
			}
		}
	}
}

// refused asks as the proxy would.
func refused(d *Decider, x *filter.Exchange) observe.Reason {
	if len(x.Request.Method) == 0 {
		return d.Connection(x.Peer, 9004, "").Why
	}
	if f := d.Request(9004); f != nil && f.OnRequest(x) == filter.Answer {
		return x.Why
	}
	return observe.ReasonNone
}

func object(t *testing.T, text string) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOrder: what policies together make of a caller.
func TestOrder(t *testing.T) {
	t.Parallel()
	any := model.PolicyRule{}
	web := model.PolicyRule{Principals: []string{sa("shop", "web")}}
	ops := model.PolicyRule{Principals: []string{sa("shop", "ops")}}
	dry := func(p *model.Policy) *model.Policy { p.DryRun, p.Name = true, p.Name+"-dry"; return p }
	for _, c := range []struct {
		what     string
		policies []*model.Policy
		refused  bool
		counts   string
	}{
		{"nothing applies", nil, false, ""},
		{"an allow that matches", []*model.Policy{policy(model.Allow, ops, web)}, false, "default/allow 2 allowed"},
		{"an allow that does not", []*model.Policy{policy(model.Allow, ops)}, true, "default/allow  refused"},
		{"an allow without rules", []*model.Policy{policy(model.Allow)}, true, "default/allow  refused"},
		{"a deny goes first", []*model.Policy{policy(model.Allow, any), policy(model.Deny, web)}, true, "default/deny 1 refused"},
		{"a deny that does not match", []*model.Policy{policy(model.Deny, ops)}, false, ""},
		{"an audit", []*model.Policy{policy(model.Audit, web)}, false, "default/audit 1 audited"},
		{"a deny rehearsed", []*model.Policy{dry(policy(model.Deny, web))}, false, "default/deny-dry 1 would_refuse"},
		{"an allow rehearsed", []*model.Policy{dry(policy(model.Allow, ops))}, false, "default/allow-dry  would_refuse"},
		{"an allow rehearsed that matches", []*model.Policy{dry(policy(model.Allow, web))}, false, ""},
		{"an allow rehearsed beside one in force", []*model.Policy{dry(policy(model.Allow, ops)), policy(model.Allow, web)}, false, "default/allow 1 allowed"},
		{"one of the mesh", []*model.Policy{{Name: "mesh", Action: model.Deny, Rules: []model.PolicyRule{any}}}, true, "mesh 1 refused"},
		{"one of another namespace", []*model.Policy{{Name: "x/p", Namespace: "x", Action: model.Deny, Rules: []model.PolicyRule{any}}}, false, ""},
		{"one of another service", []*model.Policy{{Name: "p", Namespace: "default", Services: []string{"orders"}, Action: model.Deny, Rules: []model.PolicyRule{any}}}, false, ""},
		{"one of a listener", []*model.Policy{{Name: "p", Listeners: []string{"payments"}, Action: model.Deny, Rules: []model.PolicyRule{any}}}, false, ""},
	} {
		m := NewMetrics(nil, nil)
		d, err := New(c.policies, payments, m)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Connection(peer("10.0.0.1:1", sa("shop", "web")), 9004, ""); got.Refused() != c.refused || got.Refused() != (got.Detail != nil) {
			t.Errorf("%s: %+v", c.what, got)
		}
		var counts []string
		m.collect(func(n float64, labels ...string) {
			counts = append(counts, strings.Join([]string{labels[0], labels[1], labels[3]}, " "))
			if n != 1 {
				t.Errorf("%s: counted %v", c.what, n)
			}
		})
		if slices.Sort(counts); strings.Join(counts, "; ") != c.counts {
			t.Errorf("%s: counts %q, want %q", c.what, counts, c.counts)
		}
		m.Keep(nil)
		m.collect(func(float64, ...string) { t.Errorf("%s: counters of a policy that is gone", c.what) })
	}
}

func TestAPolicyThatDoesNotCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, rule := range []model.PolicyRule{
		{CEL: "nonsense("}, {CEL: "1"}, {Paths: []string{"a"}}, {Principals: []string{"**"}}, {Addresses: []string{"x"}},
		{Headers: []model.FieldMatch{{Kind: model.FieldRegex, Name: "a", Value: "("}}},
	} {
		for _, action := range []model.Action{model.Allow, model.Deny, model.Audit, "nonsense"} {
			p := policy(action, rule)
			d, err := New([]*model.Policy{p}, payments, NewMetrics(nil, nil))
			if err == nil || !strings.Contains(err.Error(), p.Name) {
				t.Errorf("%s %+v: error %v", action, rule, err)
			}
			if got := d.Connection(peer("10.0.0.1:1", sa("a", "b")), 1, ""); !got.Refused() {
				t.Errorf("%s %+v lets in", action, rule)
			}
		}
	}
}

func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := observe.NewRegistry(1)
	m := NewMetrics(g, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	now := time.Second
	m.since = func() time.Duration { return now }
	p := policy(model.Allow, model.PolicyRule{Name: "readers", Methods: []string{"GET"}})
	p.Tell = true
	d, err := New([]*model.Policy{p}, payments, m)
	if err != nil {
		t.Fatal(err)
	}
	x := ask(peer("10.0.0.1:7", sa("shop", "web")), "POST pay/charge")
	if d.Request(9004).OnRequest(x) != filter.Answer || x.Why != observe.PolicyDenied || x.Response.Status != 403 || x.Response.Length != int64(len(x.Body)) {
		t.Fatalf("answer %v %d", x.Why, x.Response.Status)
	}
	if x.Detail.Error() != "policy default/allow: no rule matches" {
		t.Errorf("detail %v", x.Detail)
	}
	if body := object(t, string(x.Body)); body["policy"] != "default/allow" || body["code"] != "policy_denied" || body["rule"] != "" {
		t.Errorf("body %s", x.Body)
	}
	x = ask(peer("10.0.0.1:7", ""), "POST pay/charge")
	x.RPC = wire.GRPC
	d.Request(9004).OnRequest(x)
	status, _ := x.Response.Get(wire.KeyGRPCStatus)
	message, _ := x.Response.Get(wire.KeyGRPCMessage)
	if string(status) != "7" || !strings.Contains(string(message), "policy default/allow") {
		t.Errorf("gRPC %s %s", status, message)
	}
	const line = `level=WARN msg=policy policy=default/allow rule="" action=allow result=refused remote=10.0.0.1:7 port=9004 principal=spiffe://naru.local/ns/shop/sa/web service=payments method=POST path=/charge` + "\n"
	if log.String() != line {
		t.Errorf("the log has\n%swant one line for two refusals in a second:\n%s", log.String(), line)
	}
	log.Reset()
	now += 2 * time.Second
	d.Request(9004).OnRequest(x)
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "omitted=1") {
		t.Errorf("two seconds later the log has %q", log.String())
	}
	found := ""
	g.Collect(func(f observe.Family) {
		if f.Name == "naru_policy_decisions_total" {
			f.Each(func(s *observe.Sample) { found += fmt.Sprint(s.Values, s.Value) })
		}
	})
	if found != "[default/allow  allow refused] 3" {
		t.Errorf("metric %s", found)
	}
}

func TestRecheck(t *testing.T) {
	t.Parallel()
	web, p := peer("10.0.0.1:1", sa("shop", "web")), policy(model.Allow, model.PolicyRule{Namespaces: []string{"shop"}})
	m := NewMetrics(nil, nil)
	before, _ := New([]*model.Policy{p}, payments, m)
	again, _ := New([]*model.Policy{p, {Name: "other", Namespace: "elsewhere"}}, payments, m)
	after, _ := New([]*model.Policy{p, policy(model.Deny, model.PolicyRule{Namespaces: []string{"shop"}})}, payments, m)
	if !before.Same(again) || before.Same(after) || before.Same(nil) {
		t.Error("Same is wrong")
	}
	if d := before.Connection(web, 1, ""); d.Refused() || d.Policy != "default/allow" || d.Rule != "1" {
		t.Errorf("let in by %+v", d)
	}
	if d := again.Recheck(web, 1, "", nil); d.Refused() {
		t.Errorf("refused again by %+v", d)
	}
	if d := after.Recheck(web, 1, "", nil); d.Why != observe.PolicyDenied || d.Policy != "default/deny" || d.Detail.Error() != "policy default/deny, rule 1" {
		t.Errorf("after the change: %+v", d)
	}
	c := m.of(series{"default/allow", "1", model.Allow})
	if n := c.count(Allowed); n != 1 {
		t.Errorf("%d counted as allowed: a second look counts no connection twice", n)
	}
	x := ask(web, "GET h/x")
	if d := before.Recheck(web, 1, "", x); d.Refused() || x.Why != observe.ReasonNone || x.Response.Status != 0 {
		t.Errorf("a request that may go on: %+v, %d", d, x.Response.Status)
	}
	if d := after.Recheck(web, 1, "", x); !d.Refused() || x.Why != observe.PolicyDenied || x.Response.Status != 403 || x.Detail != d.Detail {
		t.Errorf("a request after the change: %+v, %d", d, x.Response.Status)
	}
	if n := c.count(Allowed); n != 1 {
		t.Errorf("%d counted as allowed", n)
	}
	// What a dry run would end is counted, and goes on.
	dry := policy(model.Deny, model.PolicyRule{Paths: []string{"/x"}})
	dry.DryRun, dry.Name = true, "default/dry"
	would, _ := New([]*model.Policy{p, dry}, payments, m)
	x = ask(web, "GET h/x")
	if d := would.Recheck(web, 1, "", x); d.Refused() || x.Why != observe.ReasonNone {
		t.Errorf("ended by a dry run: %+v", d)
	}
	if n := m.of(series{"default/dry", "1", model.Deny}).count(WouldRefuse); n != 1 {
		t.Errorf("a dry run has counted %d", n)
	}
}

// TestBars: whoever could be let in by some request is not barred.
func TestBars(t *testing.T) {
	t.Parallel()
	from := func(r model.PolicyRule) model.PolicyRule {
		r.Principals = []string{"shop/web"}
		return r
	}
	get := model.PolicyRule{Methods: []string{"GET"}}
	claim := model.PolicyRule{Claims: []model.ClaimMatch{{Name: "sub", Values: []string{"a"}}}}
	both := model.PolicyRule{CEL: `request.path == "/x" || source.account == "web"`}
	closed := &model.Policy{Name: "default/closed", Services: []string{"payments"}, Action: model.Allow, Closed: true}
	dry := policy(model.Deny, model.PolicyRule{})
	dry.DryRun = true
	for _, c := range []struct {
		name       string
		policies   []*model.Policy
		web, other bool
	}{
		{"nothing", nil, false, false},
		{"deny everything", []*model.Policy{policy(model.Deny, model.PolicyRule{})}, true, true},
		{"deny an identity", []*model.Policy{policy(model.Deny, from(model.PolicyRule{}))}, true, false},
		{"deny a method of it", []*model.Policy{policy(model.Deny, from(get))}, false, false},
		{"deny by a claim", []*model.Policy{policy(model.Deny, claim)}, false, false},
		{"deny by an expression", []*model.Policy{policy(model.Deny, both)}, true, false},
		{"deny by a dry run", []*model.Policy{dry}, false, false},
		{"allow an identity", []*model.Policy{policy(model.Allow, from(model.PolicyRule{}))}, false, true},
		{"allow a method of it", []*model.Policy{policy(model.Allow, from(get))}, false, true},
		{"allow a method", []*model.Policy{policy(model.Allow, get)}, false, false},
		{"allow by an expression", []*model.Policy{policy(model.Allow, both)}, false, false},
		{"allow nobody", []*model.Policy{closed}, true, true},
		{"allow another port", []*model.Policy{policy(model.Allow, model.PolicyRule{Ports: []uint16{2}})}, true, true},
	} {
		d := decider(t, c.policies...)
		web, other := d.Bars(peer("10.0.0.1:1", sa("shop", "web")), 1), d.Bars(peer("10.0.0.2:1", sa("shop", "other")), 1)
		if web != c.web || other != c.other {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, web, other, c.web, c.other)
		}
	}
	broken, err := New([]*model.Policy{policy(model.Deny, model.PolicyRule{CEL: "no"})}, payments, NewMetrics(nil, nil))
	if err == nil || !broken.Bars(peer("10.0.0.1:1", ""), 1) {
		t.Errorf("a policy that does not compile bars everybody: %v", err)
	}
}

func TestCheckCEL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`source.account == "orders"`:                 "",
		`claims.admin == true && request.host != ""`: "",
		`now > timestamp("2026-01-01T00:00:00Z")`:    "",
		`source.acount == "orders"`:                  "1:7: undeclared reference to 'source.acount' (did you mean 'source.account'?)",
		`destination.port == "80"`:                   "no matching overload",
		`claims.admin`:                               "must give bool",
		`request.path`:                               "it gives string, and must give bool",
		`a b`:                                        "Syntax error",
		``:                                           "Syntax error",
		`"` + strings.Repeat("a", mostCode) + `"=="a"`: "exceeds limit",
	} {
		err := CheckCEL(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

// mixed are policies with every kind of check but CEL.
func mixed() []*model.Policy {
	return []*model.Policy{
		policy(model.Deny, model.PolicyRule{NotPrincipals: []string{"*"}}, model.PolicyRule{Paths: []string{"/admin/*"}}, model.PolicyRule{Addresses: []string{"192.168.0.0/16"}}),
		policy(model.Audit, model.PolicyRule{Methods: []string{"DELETE"}}),
		policy(model.Allow, model.PolicyRule{
			Principals: []string{"*/sa/orders"}, Namespaces: []string{"shop"}, Ports: []uint16{9004}, Methods: []string{"POST"}, Hosts: []string{"pay"}, Paths: []string{"/charge/{id}"},
			Headers: []model.FieldMatch{{Kind: model.FieldRegex, Name: "x-env", Value: "a|b"}}, Claims: []model.ClaimMatch{{Name: "realm.roles", Values: []string{"buyer"}}},
		}, model.PolicyRule{Ports: []uint16{5432}}),
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	d := decider(t, mixed()...)
	p := peer("10.0.0.1:1", sa("shop", "orders"))
	x := ask(p, "POST pay:80/charge/7", "x-env: b")
	x.Caller = &filter.Caller{Claims: object(t, `{"realm":{"roles":["a","buyer"]}}`)}
	f := d.Request(9004)
	if n := testing.AllocsPerRun(100, func() {
		if f.OnRequest(x) != filter.Continue {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("a request that is let in costs %v allocations", n)
	}
	ledger := decider(t, mixed()[2])
	if n := testing.AllocsPerRun(100, func() {
		if d := ledger.Connection(p, 5432, "x"); d.Refused() {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("a connection costs %v allocations", n)
	}
	bad := ask(p, "GET pay:80/charge/7", "x-env: b")
	f.OnRequest(bad) // the log is told once a second
	if n := testing.AllocsPerRun(100, func() { f.OnRequest(bad) }); n != 0 {
		t.Errorf("a refusal costs %v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	d, _ := New(mixed(), payments, NewMetrics(nil, nil))
	x := ask(peer("10.0.0.1:1", sa("shop", "orders")), "POST pay:80/charge/7", "x-env: b")
	x.Caller = &filter.Caller{Claims: map[string]any{"realm": map[string]any{"roles": []any{"buyer"}}}}
	f := d.Request(9004)
	for b.Loop() {
		if f.OnRequest(x) != filter.Continue {
			b.Fatal("refused")
		}
	}
}
