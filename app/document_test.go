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

// TestRegisteredWorkload: what a node registers is read from the store as it was,
// each field of it.
func TestRegisteredWorkload(t *testing.T) {
	t.Parallel()
	w := &model.Workload{
		Name: "shop/orders-1", Namespace: "shop", Account: "orders", Node: "web-1", Place: model.Place{Region: "eu", Zone: "eu-a", Network: "dc1"},
		Address: "10.0.0.4", MeshPort: 15008, Ports: []model.WorkloadPort{{Service: "shop/orders", Port: 9003, Protocol: model.AppTCP}},
		State: model.Draining, Weight: 3, PassportKey: []byte("a public key"),
	}
	for v, i := reflect.ValueOf(w).Elem(), 0; i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Origin" {
			t.Errorf("%s is not tried", name)
		}
	}
	for _, place := range []model.Place{w.Place, {Zone: "eu-a"}, {Network: "dc1"}, {Region: "eu"}, {}} {
		w.Place = place
		text, err := link.Document(w)
		if err != nil {
			t.Fatal(err)
		}
		doc, problems := dialect.Read(source.Document{Path: "stored:workloads/shop/orders-1", Line: 1, Data: text})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		d := native.New()
		item, problems := d.Parse(doc)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		f := d.Translate([]any{item})
		if len(f.Problems) > 0 || len(f.Workloads) != 1 {
			t.Fatalf("%v %v", f.Workloads, f.Problems)
		}
		got, want := *f.Workloads[0], *w
		if got.Origin, want.Origin = (model.Origin{}), (model.Origin{}); want.Place.Zone == "" {
			want.Place.Region = "" // which the kind has no word for
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v was registered, and this is read: %+v", want, got)
		}
	}
}
