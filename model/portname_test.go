package model

import "testing"

// TestPortNames: a port of a service that has several is called so that no other
// service can be, and is under the service's policies.
func TestPortNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		service               string
		number                uint16
		namespace, host, port string
		made                  bool
	}{
		{"orders", 9002, "default", "orders", "", true},
		{"shop/orders", 9002, "shop", "orders", "", true},
		{PortName(ServiceName("shop", "orders"), 9003), 9003, "shop", "orders", "9003", true},
		{"orders:9003", 9002, "default", "orders", "9003", false},
		{"orders:", 9002, "default", "orders", "", false},
		{"orders:09003", 9003, "default", "orders", "09003", false},
		{"a.b", 9003, "default", "a.b", "", false},
		{"orders", 0, "default", "orders", "", false},
	} {
		namespace, host, port := HostOf(c.service)
		if namespace != c.namespace || host != c.host || port != c.port {
			t.Errorf("%s: %q %q %q", c.service, namespace, host, port)
		}
		s := Implied(WorkloadPort{Service: c.service, Port: c.number})
		if (s != nil) != c.made || s != nil && (s.Name != c.service || s.Mesh.Host != c.host || s.Mesh.Namespace != c.namespace || s.Mesh.Port != c.number) {
			t.Errorf("%s: %+v", c.service, s)
		}
	}
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"orders", "orders", true}, {"orders", "orders:9003", true}, {"orders:9003", "orders:9003", true}, {"orders:9003", "orders", false},
		{"orders", "orders-9003", false}, {"shop/*", "shop/orders:9003", true}, {"", ":9003", false}, {"orders:90", "orders:9003", false},
	} {
		if got := Covers(c.pattern, c.name); got != c.want {
			t.Errorf("%q for %q: %v", c.pattern, c.name, got)
		}
	}
}
