package traffic

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// many gives n routes, each to its own service, and a policy for each hundredth
// service, for the namespace and for everything.
func many(n int) *model.Config {
	c := &model.Config{Listeners: []*model.Listener{{Name: "shop/gw/http", Port: 80, Protocol: model.HTTP}}}
	for i := range n {
		service := fmt.Sprintf("shop/s%05d:80", i)
		name := fmt.Sprintf("r%05d", i)
		c.Routes = append(c.Routes, &model.Route{
			Name: "shop/" + name + "/0", Parents: []string{"shop/gw/http"}, Backends: []model.Backend{{Service: service, Weight: 1}},
			Subject: model.Subject{Kind: model.TargetHTTPRoute, Namespace: "shop", Name: name},
		})
		c.Services = append(c.Services, &model.Service{Name: service, Subject: model.Subject{Namespace: "shop", Name: fmt.Sprintf("s%05d", i)}})
		if i%100 == 0 {
			c.Traffic = append(c.Traffic, policy(fmt.Sprintf("p%05d", i), model.PolicyTarget{Kind: model.TargetService, Namespace: "shop", Name: fmt.Sprintf("s%05d", i)}, time.Second))
		}
	}
	c.Traffic = append(c.Traffic,
		policy("x-mesh", model.PolicyTarget{Kind: model.TargetMesh}, 3*time.Second),
		policy("x-namespace", model.PolicyTarget{Kind: model.TargetNamespace, Namespace: "shop"}, 2*time.Second))
	return c
}

func policy(name string, target model.PolicyTarget, d time.Duration) *model.TrafficPolicy {
	return &model.TrafficPolicy{Name: name, Targets: []model.PolicyTarget{target},
		Route: &model.Route{Timeouts: model.Timeouts{Request: d}}, Service: &model.Service{Connect: d}}
}

// different counts the nouns that are not the same pointers.
func different[T any](a, b []*T) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestWhatDidNotChangeStays(t *testing.T) {
	t.Parallel()
	var l Lowering
	c := many(300)
	first := l.Lower(c)
	if r := first.Routes[100]; r.Timeouts.Request != time.Second || first.Routes[101].Timeouts.Request != 2*time.Second || first.Services[101].Connect != 2*time.Second {
		t.Fatalf("%v %v", r.Timeouts, first.Routes[101].Timeouts)
	}
	if c.Routes[100].Timeouts.Request != 0 {
		t.Fatal("what was given was written to")
	}
	again := l.Lower(c)
	if n := different(first.Routes, again.Routes) + different(first.Services, again.Services); n > 0 {
		t.Errorf("%d nouns are new, and nothing has changed", n)
	}
	next := *c
	next.Routes = slices.Clone(c.Routes)
	copied := *c.Routes[7]
	next.Routes[7] = &copied
	second := l.Lower(&next)
	if n, m := different(again.Routes, second.Routes), different(again.Services, second.Services); n != 1 || m != 0 {
		t.Errorf("%d routes and %d services are new for one route", n, m)
	}
	next.Traffic = slices.Clone(c.Traffic)
	next.Traffic[1] = policy("p00100", c.Traffic[1].Targets[0], 5*time.Second)
	third := l.Lower(&next)
	if n, m := different(second.Routes, third.Routes), different(second.Services, third.Services); n != 1 || m != 1 || third.Routes[100].Timeouts.Request != 5*time.Second {
		t.Errorf("%d routes and %d services are new for one policy", n, m)
	}
	next.Traffic = next.Traffic[:len(next.Traffic)-1] // the namespace's
	fourth := l.Lower(&next)
	if got := fourth.Routes[101].Timeouts.Request; got != 3*time.Second {
		t.Errorf("without the namespace's policy a request has %v", got)
	}
	next.Traffic = nil
	if l.Lower(&next) != &next {
		t.Error("without policies the Config is not given back")
	}
}

// What runs a workload's own ports is not the caller's business.
func TestLastLegHasNoPolicies(t *testing.T) {
	t.Parallel()
	c := &model.Config{
		Services: []*model.Service{{Name: "mesh/in/shop/a:80", Local: true}, {Name: "orders@shop/web", Identity: "spiffe://x/ns/shop/sa/web", Subject: model.Subject{Namespace: "shop", Name: "orders"}}},
		Routes: []*model.Route{
			{Name: "mesh/in/shop/a:80", Parents: []string{"mesh/in/shop/a:80"}, Backends: []model.Backend{{Service: "mesh/in/shop/a:80", Weight: 1}}},
			{Name: "mesh/to/orders@shop/web", Parents: []string{"mesh/out/shop/web"}, Backends: []model.Backend{{Service: "gate@shop/web", Weight: 1}}, Timeouts: model.Timeouts{Backend: model.AsRequest},
				Subject: model.Subject{Kind: model.TargetService, Namespace: "shop", Name: "orders"}},
		},
		Traffic: []*model.TrafficPolicy{
			policy("mesh", model.PolicyTarget{Kind: model.TargetMesh}, time.Second),
			{Name: "orders", Targets: []model.PolicyTarget{{Kind: model.TargetService, Namespace: "shop", Name: "orders"}},
				Route:   &model.Route{Timeouts: model.Timeouts{Backend: 2 * time.Second}},
				Service: &model.Service{Health: &model.HealthCheck{Path: "/up"}}},
		},
	}
	var l Lowering
	out := l.Lower(c)
	if out.Routes[0] != c.Routes[0] || out.Services[0] != c.Services[0] {
		t.Errorf("%+v %+v", out.Routes[0], out.Services[0])
	}
	if got := out.Routes[1].Timeouts; got != (model.Timeouts{Request: time.Second, Backend: 2 * time.Second}) {
		t.Errorf("a call through an egress gateway has %v", got)
	}
	if s := out.Services[1]; s.Health != nil || s.Connect != time.Second {
		t.Errorf("a service of the mesh is %+v: its nodes tell of its health", s)
	}
}

// Of connections the priority counts, that of calls in the mesh too; what did not
// change stays, and what runs a workload's own ports has no policies.
func TestConnectionsStay(t *testing.T) {
	t.Parallel()
	orders := model.PolicyTarget{Kind: model.TargetService, Namespace: "shop", Name: "orders"}
	says := func(name string, target model.PolicyTarget, r *model.Route) *model.TrafficPolicy {
		return &model.TrafficPolicy{Name: name, Targets: []model.PolicyTarget{target}, Route: r}
	}
	to := func(service string) []model.Backend { return []model.Backend{{Service: service, Weight: 1}} }
	c := &model.Config{
		Services: []*model.Service{{Name: "mesh/in/shop/a:80", Local: true}, {Name: "orders@shop/web", Identity: "spiffe://x/ns/shop/sa/web", Subject: model.Subject{Namespace: "shop", Name: "orders"}}, {Name: "queue"}},
		Flows: []*model.Flow{
			{Name: "a", Parents: []string{"listen/tcp://:1"}, Backends: to("queue")},
			{Name: "b", Parents: []string{"listen/tcp://:2"}, Backends: to("queue"), Priority: model.PlainPriority},
			{Name: "mesh/in/shop/a:80", Parents: []string{"mesh/in/shop/a:80"}, Backends: to("mesh/in/shop/a:80")},
			{Name: "mesh/to/orders@shop/web", Parents: []string{"mesh/out/shop/web"}, Backends: to("orders@shop/web"), Subject: model.Subject{Kind: model.TargetService, Namespace: "shop", Name: "orders"}},
		},
		Traffic: []*model.TrafficPolicy{
			says("mesh", model.PolicyTarget{Kind: model.TargetMesh}, &model.Route{Priority: model.PriorityLow}),
			says("orders", orders, &model.Route{Priority: model.PriorityCritical, Timeouts: model.Timeouts{Backend: time.Second}}),
			says("queue", model.PolicyTarget{Kind: model.TargetService, Namespace: "default", Name: "queue"}, &model.Route{Timeouts: model.Timeouts{Backend: time.Second}}),
		},
	}
	var l Lowering
	out := l.Lower(c)
	var got []model.Priority
	for _, f := range out.Flows {
		got = append(got, f.Priority)
	}
	if want := []model.Priority{model.PriorityLow, model.PlainPriority, "", model.PriorityCritical}; !slices.Equal(got, want) {
		t.Errorf("priorities %q, want %q", got, want)
	}
	if out.Flows[1] != c.Flows[1] || out.Flows[2] != c.Flows[2] || c.Flows[0].Priority != "" {
		t.Error("what says it itself, or the last leg, is not what it was, or what was given was written to")
	}
	again := l.Lower(c)
	if n := different(out.Flows, again.Flows); n > 0 {
		t.Errorf("%d flows are new, and nothing has changed", n)
	}
	next := *c
	next.Traffic = slices.Clone(c.Traffic)
	next.Traffic[1] = says("orders", orders, &model.Route{Priority: model.PriorityLow})
	third := l.Lower(&next)
	if n := different(again.Flows, third.Flows); n != 1 || third.Flows[3].Priority != model.PriorityLow {
		t.Errorf("%d flows are new for one policy, %q", n, third.Flows[3].Priority)
	}
	said := FlowDefaults(l.Flow(third.Flows[0]))
	if len(said) != 1 || said[0].Value != "low" || said[0].By != "mesh" {
		t.Errorf("said %+v", said)
	}
	if said := FlowDefaults(l.Flow(third.Flows[2])); len(said) != 1 || said[0].Value != "normal" || said[0].By != byDefault {
		t.Errorf("said of the last leg %+v", said)
	}
}

func BenchmarkLower(b *testing.B) {
	c := many(10_000)
	for name, change := range map[string]func(*model.Config, int){
		"nothing": func(*model.Config, int) {},
		"route": func(c *model.Config, i int) {
			r := *c.Routes[5]
			c.Routes[5] = &r
		},
		"policy for everything": func(c *model.Config, i int) {
			last := len(c.Traffic) - 2
			c.Traffic[last] = policy("x-mesh", c.Traffic[last].Targets[0], time.Duration(i))
		},
		"policy for the namespace": func(c *model.Config, i int) {
			last := len(c.Traffic) - 1
			c.Traffic[last] = policy("x-namespace", c.Traffic[last].Targets[0], time.Duration(i+1)*time.Second)
		},
	} {
		b.Run(name, func(b *testing.B) {
			var l Lowering
			now := *c
			now.Routes, now.Traffic = slices.Clone(c.Routes), slices.Clone(c.Traffic)
			l.Lower(&now)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				next := now
				next.Routes, next.Traffic = slices.Clone(now.Routes), slices.Clone(now.Traffic)
				change(&next, i)
				if out := l.Lower(&next); len(out.Routes) != len(c.Routes) {
					b.Fatal("routes are missing")
				}
			}
		})
	}
}
