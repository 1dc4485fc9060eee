package proxy

import (
	"slices"
	"strconv"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// ofMany is a shop whose service a has n endpoints in two zones, and policies for
// it where told.
func ofMany(n int, policies bool) *model.Config {
	c := shop(0)
	a := c.Services[0]
	for i := range n {
		a.Endpoints = append(a.Endpoints, &model.Endpoint{
			Host: "10.1." + strconv.Itoa(i>>8) + "." + strconv.Itoa(i&255), Port: 80, Weight: 1 + i%3, Place: model.Place{Region: "eu", Zone: "z" + strconv.Itoa(i%2)},
		})
	}
	if policies {
		c.Traffic = []*model.TrafficPolicy{{
			Name: "p", Targets: []model.PolicyTarget{{Kind: model.TargetMesh}},
			Service: &model.Service{MaxIdle: 7, Ejection: &model.Ejection{Failures: 4}},
			Route:   &model.Route{Retry: &model.Retry{Attempts: 2}},
		}}
	}
	return c
}

// withEndpoint gives c with endpoint i of the service a changed; nil takes it out.
func withEndpoint(c *model.Config, i int, change func(*model.Endpoint)) *model.Config {
	out, a := *c, *c.Services[0]
	a.Endpoints = slices.Clone(a.Endpoints)
	if change == nil {
		a.Endpoints = slices.Delete(a.Endpoints, i, i+1)
	} else {
		e := *a.Endpoints[i]
		change(&e)
		a.Endpoints[i] = &e
	}
	out.Services = slices.Clone(c.Services)
	out.Services[0] = &a
	return &out
}

// BenchmarkApplyEndpoint is one of 10,000 endpoints that is heavier, goes or comes:
// all that is done beside the loops, from the Snapshot until they have it.
func BenchmarkApplyEndpoint(b *testing.B) {
	for name, change := range map[string]func(*model.Endpoint){
		"weight":  func(e *model.Endpoint) { e.Weight = 5 },
		"standby": func(e *model.Endpoint) { e.Standby = true },
		"zone":    func(e *model.Endpoint) { e.Place.Zone = "z0" },
		"comes":   nil,
	} {
		for _, with := range []string{"", "/policies"} {
			b.Run(name+with, func(b *testing.B) {
				w := newWorld(b, 2)
				c := ofMany(10_000, with != "")
				var f model.Freezer
				one, other := f.Freeze(c), f.Freeze(withEndpoint(c, 4001, change))
				if err := w.proxy.Apply(one); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					s := one
					if i%2 == 0 {
						s = other
					}
					if err := w.proxy.Apply(s); err != nil {
						b.Fatal(err)
					}
					for _, l := range w.loops {
						l.run()
					}
				}
			})
		}
	}
}
