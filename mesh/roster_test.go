package mesh

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// TestLoweringFollows changes a few workloads at a time, and sees that it comes to
// the same as if all were lowered anew, and that endpoints of the others stay.
func TestLoweringFollows(t *testing.T) {
	t.Parallel()
	for _, mode := range []model.MTLS{model.Strict, model.Permissive, model.Off} {
		rnd := rand.New(rand.NewPCG(21, 22))
		cfg := shop(4)
		cfg.Mesh.MTLS = mode
		cfg.Services[1].Endpoints = []*model.Endpoint{{Host: "192.0.2.1", Port: 80}, {Host: "192.0.2.2", Port: 80}}
		fresh := func() *model.Workload {
			n := rnd.IntN(1 << 20)
			w := &model.Workload{
				Name: fmt.Sprintf("shop/w%07d", n), Namespace: "shop", Account: "a", Address: fmt.Sprintf("10.7.%d.%d", n>>8&255, n&255),
				Ports: []model.WorkloadPort{{Service: fmt.Sprintf("s%04d", 1+rnd.IntN(3)), Port: 9002}},
			}
			if rnd.IntN(4) > 0 {
				w.MeshPort = model.MeshPort
			}
			if rnd.IntN(4) == 0 {
				w.Ports = append(w.Ports, model.WorkloadPort{Service: w.Ports[0].Service, Port: 9003}, model.WorkloadPort{Service: "s0001", Port: 9004})
			}
			return w
		}
		put := func(list []*model.Workload, w *model.Workload) []*model.Workload {
			at, _ := slices.BinarySearchFunc(list, w.Name, func(o *model.Workload, n string) int { return strings.Compare(o.Name, n) })
			return slices.Insert(list, at, w)
		}
		for range 200 {
			cfg.Workloads = put(cfg.Workloads, fresh())
		}
		node := nodeOf(cfg.Workloads[0])
		var l Lowering
		kept := 0
		was := map[*model.Endpoint]bool{}
		for step := range 50 {
			got := l.Lower(cfg, node)
			var other Lowering
			if want := other.Lower(cfg, node); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, step %d: another than by itself", mode, step)
			}
			now := map[*model.Endpoint]bool{}
			for _, s := range got.Services {
				for _, e := range s.Endpoints {
					if now[e] = true; was[e] {
						kept++
					}
				}
			}
			was = now
			next := *cfg
			next.Workloads = slices.Clone(cfg.Workloads)
			for range rnd.IntN(3) {
				i := 1 + rnd.IntN(len(next.Workloads)-1)
				switch rnd.IntN(5) {
				case 0:
					next.Workloads = put(next.Workloads, fresh())
				case 1:
					next.Workloads = slices.Delete(next.Workloads, i, i+1)
				case 2:
					w := *next.Workloads[i]
					w.Ports = fresh().Ports
					next.Workloads[i] = &w
				default:
					w := *next.Workloads[i]
					w.State, w.Weight = model.Unhealthy, step
					next.Workloads[i] = &w
				}
			}
			if step == 30 { // in an order that is none
				slices.Reverse(next.Workloads)
			}
			if step == 34 {
				slices.SortFunc(next.Workloads, func(a, b *model.Workload) int { return strings.Compare(a.Name, b.Name) })
			}
			cfg = &next
		}
		if kept < 40*200*9/10 {
			t.Errorf("%s: only %d endpoints stayed", mode, kept)
		}
	}
}

// BenchmarkFeed is one of 10,000 workloads of a service that is unhealthy and well
// again, or comes and goes: from a Snapshot of the control plane to the one for
// the proxy.
func BenchmarkFeed(b *testing.B) {
	cfg := shop(1)
	for i := range 10_000 {
		cfg.Workloads = append(cfg.Workloads, &model.Workload{
			Name: fmt.Sprintf("shop/w%07d", i), Namespace: "shop", Account: "a", Address: fmt.Sprintf("10.7.%d.%d", i>>8&255, i&255), MeshPort: model.MeshPort,
			Ports: []model.WorkloadPort{{Service: "s0000", Port: 9002}},
		})
	}
	node := nodeOf(cfg.Workloads[0])
	for name, change := range map[string]func(*model.Config){
		"state": func(c *model.Config) {
			w := *c.Workloads[4000]
			w.State = model.Unhealthy
			c.Workloads[4000] = &w
		},
		"comes": func(c *model.Config) { c.Workloads = slices.Delete(c.Workloads, 4000, 4001) },
	} {
		b.Run(name, func(b *testing.B) {
			other := *cfg
			other.Workloads = slices.Clone(cfg.Workloads)
			change(&other)
			var l Lowering
			var f model.Freezer
			f.Freeze(l.Lower(cfg, node))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c := cfg
				if i%2 == 0 {
					c = &other
				}
				f.Freeze(l.Lower(c, node))
			}
		})
	}
}
