package app

import (
	"reflect"
	"testing"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/native"
	"github.com/naru-mesh/naru/link"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// A workload that is registered is the same when its document is read: who serves
// what, and where it is, is decided before that.
func TestRegisteredWorkloadsAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*model.Workload{
		"all of it": {
			Name: "shop/web-1", Namespace: "shop", Account: "web", Node: "n1", Address: "10.0.0.1", MeshPort: 15008, State: model.Draining, Weight: 3,
			Place: model.Place{Region: "eu", Zone: "eu-1a", Network: "dc1"}, PassportKey: []byte{1, 2, 3},
			Ports: []model.WorkloadPort{{Service: "shop/orders", Port: 9002, Protocol: model.AppHTTP}, {Service: "shop/orders:9003", Port: 9003}},
		},
		"a service of the default namespace": {
			Name: "shop/web-1", Namespace: "shop", Account: "web", Node: "n1", Address: "10.0.0.1", Ports: []model.WorkloadPort{{Service: "orders", Port: 9002}},
		},
		"of the default namespace": {
			Name: "default/web-1", Namespace: "default", Account: "web", Node: "n1", Address: "fd00::1", Place: model.Place{Zone: "eu-1a"},
			Ports: []model.WorkloadPort{{Service: "orders", Port: 9002}, {Service: "shop/orders", Port: 9002}},
		},
	} {
		text, err := link.Document(w)
		if err != nil {
			t.Fatal(err)
		}
		doc, problems := dialect.Read(source.Document{Path: "stored", Line: 1, Data: text})
		if len(problems) > 0 {
			t.Fatalf("%s: %v", name, problems)
		}
		read, problems := native.New().Parse(doc)
		got, ok := read.(*model.Workload)
		if !ok || len(problems) > 0 {
			t.Fatalf("%s: %v", name, problems)
		}
		got.Origin = model.Origin{}
		if !reflect.DeepEqual(got, w) {
			t.Errorf("%s:\n%+v\nwas\n%+v", name, got, w)
		}
	}
}
