package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

func policed(c *model.Config, list ...*model.TrafficPolicy) *model.Config {
	c.Traffic = list
	return c
}

// timeoutPolicy gives a request so much time, everywhere.
func timeoutPolicy(d time.Duration) *model.TrafficPolicy {
	return &model.TrafficPolicy{
		Name: "defaults", Targets: []model.PolicyTarget{{Kind: model.TargetMesh}}, Origin: model.Origin{Source: "naru.yaml", Line: 1},
		Route: &model.Route{Timeouts: model.Timeouts{Request: d}, Retry: &model.Retry{Attempts: 0}}, Service: &model.Service{MaxStreams: 7},
	}
}

// What a policy says holds for the requests that begin after it came, and not for
// those that began before.
func TestPolicyServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(policed(shop(1), timeoutPolicy(5*time.Second)))
	first := w.get("/")
	w.apply(policed(shop(1), timeoutPolicy(time.Second)))
	second := w.get("/")
	w.loops[0].pass(2 * time.Second)
	if !second.ended || first.ended {
		t.Fatalf("after two seconds the request with one has ended: %v, that with five: %v", second.ended, first.ended)
	}
	w.expect(second, 504, "", observe.RequestTimeout)
	w.conn(0).respond(200, "late", true)
	w.expect(first, 200, "late", observe.ReasonNone)
	w.apply(shop(1))
	third := w.get("/")
	w.loops[0].pass(30 * time.Second)
	if third.ended {
		t.Error("the policy is gone, and a request has its time")
	}
	for _, c := range w.codec.conns {
		if c.x != nil {
			c.respond(200, "", true)
		}
	}
	w.settled(3)
}

// A Snapshot keeps its Version when policies are joined with its nouns.
func TestPolicyKeepsVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.freezer.Freeze(policed(shop(1), timeoutPolicy(time.Second)))
	if err := w.proxy.Apply(s); err != nil {
		t.Fatal(err)
	}
	p := w.proxy.Program()
	if p.Snapshot.Version != s.Version || s.Routes[0].Timeouts.Request != 0 || p.Snapshot.Routes[0].Timeouts.Request != time.Second || p.Snapshot.Services[0].MaxStreams != 7 {
		t.Errorf("%+v", p.Snapshot.Routes[0])
	}
}

func TestExplainNamesPolicies(t *testing.T) {
	t.Parallel()
	e, err := Explain(model.Freeze(policed(shop(1), timeoutPolicy(time.Second))), testFamilies, Question{Method: "GET", URL: "http://a.example:8080/"})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Settings) != 2 || e.Settings[0].Value != "1s" || e.Settings[0].By != "defaults" || e.Settings[0].Origin.String() != "naru.yaml:1" || e.Settings[1].Value != "off" {
		t.Errorf("%+v", e.Settings)
	}
	if b := e.Backends[0]; len(b.Settings) != 1 || b.Settings[0].Field != "maxStreams" || b.Settings[0].Value != "7" {
		t.Errorf("%+v", b)
	}
}

// BenchmarkApplyPolicy applies a change of the policy for everything, and of one
// route, to 10,000 routes.
func BenchmarkApplyPolicy(b *testing.B) {
	for _, name := range []string{"policy for everything", "one route"} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, 2)
			c := shop(1)
			route := *c.Routes[0]
			c.Routes = nil
			for i := range 10_000 {
				r := route
				r.Name = fmt.Sprintf("r%05d", i)
				r.Matches = []model.Match{{PathKind: model.PathPrefix, Path: "/" + strings.ReplaceAll(r.Name, "r0", "a/")}}
				c.Routes = append(c.Routes, &r)
			}
			c.Traffic = []*model.TrafficPolicy{timeoutPolicy(time.Second)}
			w.apply(c)
			for i := 0; b.Loop(); i++ {
				next := *c
				if name == "one route" {
					next.Routes = slices.Clone(c.Routes)
					r := *c.Routes[77]
					r.Timeouts.Request = time.Duration(i+1) * time.Second
					next.Routes[77] = &r
				} else {
					next.Traffic = []*model.TrafficPolicy{timeoutPolicy(time.Duration(i+2) * time.Second)}
				}
				w.apply(&next)
			}
		})
	}
}
