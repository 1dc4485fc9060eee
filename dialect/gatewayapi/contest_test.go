package gatewayapi

import (
	"fmt"
	"slices"
	"testing"
)

func shopCalls(host string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: gw}]
  hostnames: [%s]
  rules: [{backendRefs: [{name: s0, port: 80}]}]
`, host)
}

// A route that changes is linked alone as long as it meets none of the other
// kind, whatever others do.
func TestContestsAreApart(t *testing.T) {
	t.Parallel()
	d := New()
	items := shop(t, d, 20, 20) // r0 to r9 are for h0.example.com, r10 to r19 for h1.example.com
	items = append(items, one(t, d, "calls.yaml", shopCalls("h0.example.com")))
	last := len(items) - 2
	accepted := func(world *world) int {
		t.Helper()
		before := d.last.world
		d.Translate(items)
		if (d.last.world == before) != (world == before) {
			t.Error("all linked anew:", d.last.world != before)
		}
		return d.last.gateways[0].listeners[0].attached
	}
	d.Translate(items)
	if n := accepted(d.last.world); n != 20 {
		t.Fatal(n, "routes are accepted") // the GRPCRoute is younger, for the age of the others is not known
	}
	items[last] = one(t, d, "r19.yaml", shopRoute(19, "/b")) // of h1, which no GRPCRoute is for
	if n := accepted(d.last.world); n != 20 {
		t.Error(n)
	}
	items[last-15] = one(t, d, "r4.yaml", shopRoute(4, "/b")) // of h0
	if n := accepted(nil); n != 20 {
		t.Error(n)
	}
	items = slices.Delete(slices.Clone(items), last-19, last-9) // all of h0
	if n := accepted(nil); n != 11 {
		t.Error(n)
	}
	items[len(items)-1] = one(t, d, "calls.yaml", shopCalls("h2.example.com"))
	if n := accepted(d.last.world); n != 11 {
		t.Error(n)
	}
	items[len(items)-1] = one(t, d, "calls.yaml", shopCalls(`"*.example.com"`))
	if n := accepted(nil); n != 10 {
		t.Error(n)
	}
}
