package link

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
)

// TestMayServe: a node serves no service that it may not have, signs no
// passports unless it is a gateway, and registers nothing malformed.
func TestMayServe(t *testing.T) {
	t.Parallel()
	p := startPlane(t, ServerOptions{Feed: newFeed(shop(1)), Authority: newCA(t), Store: newFakeStore()}, "")
	c := startClient(t, ClientOptions{Node: "n1", Token: p.token(t, Grant{Node: "n1", Namespaces: []string{"shop"}, Accounts: []string{"orders", "s0000"}})})
	g := startClient(t, ClientOptions{Node: "g1", Token: p.token(t, Grant{Node: "g1", Gateway: true})})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, test := range []struct {
		name string
		c    *running
		with func(*model.Workload)
		want codes.Code
	}{
		{"its own", c, func(w *model.Workload) { w.Ports[0].Service = "shop/orders" }, codes.OK},
		{"a further port", c, func(w *model.Workload) { w.Ports[0].Service = "shop/orders:9002" }, codes.OK},
		{"another's, called as a port of its own would be", c, func(w *model.Workload) { w.Ports[0].Service = "shop/orders-9002" }, codes.PermissionDenied},
		{"one that is configured", c, func(w *model.Workload) { w.Ports[0].Service = "shop/s0000:80" }, codes.OK},
		{"one of another namespace", c, func(w *model.Workload) { w.Ports[0].Service = "orders" }, codes.PermissionDenied},
		{"another's", c, func(w *model.Workload) { w.Ports[0].Service = "shop/payments" }, codes.PermissionDenied},
		{"another's, behind one of its own", c, func(w *model.Workload) {
			w.Ports = append(w.Ports, model.WorkloadPort{Service: "shop/payments", Port: 9003})
		}, codes.PermissionDenied},
		{"a passport key", c, func(w *model.Workload) { w.PassportKey = []byte{1} }, codes.PermissionDenied},
		{"a gateway's passport key", g, func(w *model.Workload) { w.Name, w.PassportKey = "shop/orders-2", []byte{1} }, codes.OK},
		{"a name that differs by case", c, func(w *model.Workload) { w.Name = "shop/Orders-1" }, codes.InvalidArgument},
		{"a name that differs by a dot", c, func(w *model.Workload) { w.Name = "shop/orders.1" }, codes.InvalidArgument},
		{"a namespace that differs by case", c, func(w *model.Workload) { w.Name, w.Namespace = "Shop/orders-1", "Shop" }, codes.InvalidArgument},
		{"a weight", c, func(w *model.Workload) { w.Weight = -1 }, codes.InvalidArgument},
		{"a place", c, func(w *model.Workload) { w.Place = model.Place{Region: "eu-1", Zone: "eu-1a", Network: "dc1"} }, codes.OK},
		{"no place", c, func(w *model.Workload) { w.Place.Zone = "eu/1a" }, codes.InvalidArgument},
		{"a protocol", c, func(w *model.Workload) { w.Ports[0].Protocol = "foo" }, codes.InvalidArgument},
		{"no port", c, func(w *model.Workload) { w.Ports[0].Port = 0 }, codes.InvalidArgument},
		{"too many ports", c, func(w *model.Workload) { w.Ports = make([]model.WorkloadPort, 1001) }, codes.InvalidArgument},
	} {
		w := &model.Workload{Name: "shop/orders-1", Namespace: "shop", Account: "orders", Address: "10.0.0.3", MeshPort: 15008,
			Ports: []model.WorkloadPort{{Service: "shop/orders", Port: 9002}}}
		test.with(w)
		if err := test.c.Register(ctx, w); status.Code(err) != test.want {
			t.Errorf("%s: %v, not %v", test.name, err, test.want)
		}
	}
	// The stream that has begun meanwhile may have asked for one of them as well.
	if n := p.counts.refused[whyGrant].Load(); n != 5 && n != 6 {
		t.Errorf("%d were counted", n)
	}
}
