package model

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestValidatorFollowsWorkloads changes workloads, a few at a time, rightly and
// wrongly, and sees that it comes to the same as if all had been looked at.
func TestValidatorFollowsWorkloads(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(11, 12))
	c := &Config{Mesh: &Mesh{}, Services: []*Service{
		{Name: "declared", Mesh: &MeshService{Namespace: "shop", Host: "declared", Port: 80}},
		{Name: "outside", Endpoints: []*Endpoint{{Host: "10.9.9.9", Port: 80}}, Mesh: &MeshService{Namespace: "shop", Host: "outside", Port: 81, External: true}},
		{Name: "written", Endpoints: []*Endpoint{{Host: "10.9.9.8", Port: 80}}},
	}}
	fresh := func() *Workload {
		w := &Workload{Name: fmt.Sprintf("shop/w%06d", rnd.IntN(1_000_000)), Namespace: "shop", Account: "a", Address: "10.0.0.1", Ports: []WorkloadPort{{Service: "declared", Port: uint16(9000 + rnd.IntN(2))}}}
		switch rnd.IntN(60) {
		case 0:
			w.Address = "nowhere"
		case 1:
			w.Ports[0].Service = "outside"
		case 2:
			w.Ports[0].Service = "written"
		case 3:
			w.Ports[0].Service = "shop/implied:80"
		case 4:
			w.Ports = append(w.Ports, w.Ports[0])
		case 5:
			w.State = "asleep"
		case 6:
			w.Ports[0].Port = 0
		case 7:
			w.Name = ""
		case 8:
			w.Ports[0].Port = 9999
		}
		return w
	}
	for range 200 {
		c.Workloads = append(c.Workloads, fresh())
	}
	var v Validator
	quick := 0
	for step := range 150 {
		was := v.settled.ports
		out, problems := v.Validate(c)
		if was != nil && reflect.ValueOf(was).Pointer() == reflect.ValueOf(v.settled.ports).Pointer() {
			quick++
		}
		want, wanted := Validate(c)
		if !slices.Equal(problems, wanted) || !reflect.DeepEqual(out, want) {
			t.Fatalf("step %d: %v, want %v", step, problems, wanted)
		}
		next := *c
		next.Workloads = slices.Clone(c.Workloads)
		if step%50 == 49 { // mend all
			next.Workloads = slices.DeleteFunc(next.Workloads, func(w *Workload) bool {
				return !slices.ContainsFunc(out.Workloads, func(o *Workload) bool { return o == w && w.Ports[0].Service == "declared" })
			})
			slices.SortFunc(next.Workloads, func(a, b *Workload) int { return strings.Compare(a.Name, b.Name) })
			next.Services = c.Services[:3:3]
		} else {
			for range 1 + rnd.IntN(2) {
				i := rnd.IntN(len(next.Workloads))
				switch rnd.IntN(6) {
				case 0:
					w := fresh()
					at, _ := slices.BinarySearchFunc(next.Workloads, w.Name, func(o *Workload, n string) int { return strings.Compare(o.Name, n) })
					next.Workloads = slices.Insert(next.Workloads, at, w)
				case 1:
					next.Workloads = slices.Delete(next.Workloads, i, i+1)
				default:
					w := copied(next.Workloads[i])
					w.Weight, w.State = rnd.IntN(9), [...]WorkloadState{Serving, Unhealthy, Draining}[rnd.IntN(3)]
					next.Workloads[i] = w
				}
			}
		}
		if rnd.IntN(30) == 0 {
			next.Services = slices.Clone(next.Services)
			next.Services[0] = copied(next.Services[0])
			next.Services[0].Host = fmt.Sprintf("h%d", step)
		}
		c = &next
	}
	if quick < 20 {
		t.Errorf("only %d of 150 were quick", quick)
	}
}

// BenchmarkValidateWorkloads is one of 10,000 workloads that is another.
func BenchmarkValidateWorkloads(b *testing.B) {
	c := &Config{Mesh: &Mesh{}, Services: []*Service{{Name: "a", Mesh: &MeshService{Namespace: "shop", Host: "a", Port: 80}}}}
	for i := range 10_000 {
		c.Workloads = append(c.Workloads, &Workload{Name: fmt.Sprintf("shop/w%06d", i), Namespace: "shop", Account: "a", Address: "10.0.0.1", Ports: []WorkloadPort{{Service: "a", Port: 9000}}})
	}
	other := *c
	other.Workloads = slices.Clone(c.Workloads)
	other.Workloads[4000] = copied(c.Workloads[4000])
	other.Workloads[4000].State = Unhealthy
	for name, v := range map[string]*Validator{"anew": nil, "follows": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				each := v
				if each == nil {
					each = &Validator{}
				}
				if out, problems := each.Validate([]*Config{c, &other}[i%2]); len(problems) > 0 || len(out.Workloads) != 10_000 {
					b.Fatal(problems)
				}
			}
		})
	}
}

// TestValidatorMeetsAnUndeclaredService: a workload that comes alone may be of a
// service that it makes itself; it is not looked up among what was written, of
// which there is nothing where only workloads are looked at.
func TestValidatorMeetsAnUndeclaredService(t *testing.T) {
	t.Parallel()
	at := func(name string, ports ...WorkloadPort) *Workload {
		return &Workload{Name: name, Namespace: "shop", Account: "a", Address: "10.0.0.1", Ports: ports}
	}
	c := &Config{Mesh: &Mesh{}, Workloads: []*Workload{at("shop/gateway")}}
	var v Validator
	v.Validate(c)
	next := *c
	next.Workloads = []*Workload{at("shop/gateway"), at("shop/orders-1", WorkloadPort{Service: "orders", Port: 80})}
	out, problems := v.Validate(&next)
	if want, wanted := Validate(&next); !slices.Equal(problems, wanted) || !reflect.DeepEqual(out, want) {
		t.Errorf("%v, want %v", problems, wanted)
	}
}
