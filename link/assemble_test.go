package link

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// resource encodes a noun as it comes.
func resource(noun any) Resource {
	frame, _ := frameOf(nameOf(noun), noun)
	r, _, err := readFrame(string(frame))
	if err != nil {
		panic(err) // of what this test has encoded
	}
	return r
}

// TestSetFollows applies updates of a few resources, good and bad, and sees that
// it comes to the same as if all had come at once.
func TestSetFollows(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(31, 32))
	var lock sync.Mutex
	var s set
	s.init(model.Settings{})
	workload := func(i int) *model.Workload {
		return &model.Workload{Name: fmt.Sprintf("shop/w%03d", i), Namespace: "shop", Account: "a", Address: "10.0.0.1", Weight: rnd.IntN(9), Ports: []model.WorkloadPort{{Service: "a", Port: 9000}}}
	}
	first := []Resource{resource(&model.Mesh{}), resource(&model.Service{Name: "a", Mesh: &model.MeshService{Namespace: "shop", Host: "a", Port: 80}})}
	for i := range 100 {
		first = append(first, resource(workload(i)))
	}
	if refused, _ := s.apply(first, nil, &lock); len(refused) > 0 {
		t.Fatalf("refused %v", refused)
	}
	refusals := 0
	for step := range 60 {
		var list []Resource
		var removed []Name
		bad := map[Name]bool{}
		for range 1 + rnd.IntN(4) {
			w := workload(rnd.IntN(150))
			switch rnd.IntN(8) {
			case 0:
				removed = append(removed, nameOf(w))
				continue
			case 1:
				w.Address, bad[nameOf(w)] = "nowhere", true
			case 2:
				list = append(list, resource(&model.Service{Name: "b", Origin: model.Origin{Line: step}, Mesh: &model.MeshService{Namespace: "shop", Host: "b", Port: 80}}))
				continue
			case 3:
				list = append(list, resource(&model.Mesh{Origin: model.Origin{Line: step}}))
				continue
			case 4:
				list = append(list, Resource{Name: Name{Kind: 99, Name: "later"}})
				continue
			}
			delete(bad, nameOf(w))
			if w.Address == "nowhere" {
				bad[nameOf(w)] = true
			}
			list = append(list, resource(w))
		}
		refused, got := s.apply(list, removed, &lock)
		for _, r := range refused {
			refusals++
			if !bad[Name{r.Kind, r.Name}] {
				t.Fatalf("step %d: refused %v", step, r)
			}
		}
		var whole set
		whole.init(model.Settings{})
		var all []Resource
		for n, h := range s.held {
			all = append(all, Resource{Name: n, Sum: h.sum, Body: h.body})
		}
		more, want := whole.apply(all, nil, &lock)
		if len(more) > 0 || got.Version != want.Version || !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: refused %v, another than by itself", step, more)
		}
	}
	if refusals == 0 {
		t.Error("nothing was refused")
	}
}

// BenchmarkUpdate is one of 10,000 workloads whose state changes: from the resource
// to the Snapshot.
func BenchmarkUpdate(b *testing.B) {
	var lock sync.Mutex
	var s set
	s.init(model.Settings{})
	list := []Resource{resource(&model.Mesh{}), resource(&model.Service{Name: "a", Mesh: &model.MeshService{Namespace: "shop", Host: "a", Port: 80}})}
	workload := func(i int) *model.Workload {
		return &model.Workload{Name: fmt.Sprintf("shop/w%06d", i), Namespace: "shop", Account: "a", Address: "10.0.0.1", Ports: []model.WorkloadPort{{Service: "a", Port: 9000}}}
	}
	for i := range 10_000 {
		list = append(list, resource(workload(i)))
	}
	s.apply(list, nil, &lock)
	well, ill := workload(4000), workload(4000)
	ill.State = model.Unhealthy
	changes := [...]Resource{resource(well), resource(ill)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if refused, _ := s.apply(changes[i%2:i%2+1], nil, &lock); len(refused) > 0 {
			b.Fatal(refused)
		}
	}
}
