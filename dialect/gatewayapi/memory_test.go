package gatewayapi

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

const shopGateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  gatewayClassName: naru
  listeners:
  - {name: http, port: 80, protocol: HTTP}
`

func shopRoute(i int, path string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%d, namespace: shop}
spec:
  parentRefs:
  - name: gw
  hostnames: [h%d.example.com]
  rules:
  - matches:
    - path: {type: PathPrefix, value: %s}
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: X-Route, value: r%d}]}
    backendRefs:
    - {name: s%d, port: 80}
  - backendRefs:
    - {name: s%d, port: 80, weight: 9}
    - {name: s%d, port: 80, weight: 1}
`, i, i/10, path, i, i%1000, i%1000, (i+1)%1000)
}

func shopService(i int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: s%d, namespace: shop}
spec: {ports: [{port: 80, targetPort: 8080}]}
`, i)
}

func shopSlice(i int, hosts ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s%d-1, namespace: shop, labels: {kubernetes.io/service-name: s%d}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
`, i, i)
	for _, h := range hosts {
		fmt.Fprintf(&b, "- addresses: [%s]\n", h)
	}
	return b.String()
}

// one parses a document that has no mistakes.
func one(t testing.TB, d *Dialect, name, text string) any {
	t.Helper()
	items, problems := parseAll(d, name, []byte(text))
	if len(items) != 1 || len(problems) != 0 {
		t.Fatal(len(items), problems)
	}
	return items[0]
}

// shop is a Gateway, routes, and services with their slices.
func shop(t testing.TB, d *Dialect, routes, services int) []any {
	items := []any{one(t, d, "gw.yaml", shopGateway)}
	for i := range services {
		items = append(items, one(t, d, fmt.Sprintf("s%d.yaml", i), shopService(i)))
		items = append(items, one(t, d, fmt.Sprintf("e%d.yaml", i), shopSlice(i, "10.0.0.1", "10.0.0.2")))
	}
	for i := range routes {
		items = append(items, one(t, d, fmt.Sprintf("r%d.yaml", i), shopRoute(i, "/a")))
	}
	return items
}

// What did not change keeps its pointers; what did gets new ones.
func TestNounsAreKept(t *testing.T) {
	t.Parallel()
	d := New()
	items := shop(t, d, 20, 1000)
	before := d.Translate(items)
	if len(before.Problems) != 0 || len(before.Routes) != 40 || len(before.Services) != 21 {
		t.Fatal(before.Problems, len(before.Routes), len(before.Services))
	}
	again := d.Translate(items)
	if !slices.Equal(before.Routes, again.Routes) || !slices.Equal(before.Services, again.Services) || !slices.Equal(before.Listeners, again.Listeners) {
		t.Error("nothing changed, and nouns are not the same")
	}

	last := len(items) - 1
	items[last] = one(t, d, "r19.yaml", shopRoute(19, "/b"))
	world := d.last.world
	changed := d.Translate(items)
	if d.last.world != world {
		t.Error("all was linked anew because of one route")
	}
	if !slices.Equal(before.Routes[:38], changed.Routes[:38]) || changed.Routes[38] == before.Routes[38] {
		t.Error("not exactly the route that changed is new")
	}

	items[2] = one(t, d, "e0.yaml", shopSlice(0, "10.0.0.3"))
	moved := d.Translate(items)
	if !slices.Equal(changed.Routes, moved.Routes) {
		t.Error("new endpoints made new routes")
	}
	if moved.Services[0] == changed.Services[0] || !slices.Equal(moved.Services[1:], changed.Services[1:]) {
		t.Error("not exactly the service that changed is new")
	}
	if got := moved.Services[0].Endpoints; len(got) != 1 || got[0].Host != "10.0.0.3" {
		t.Error(got)
	}

	gone := d.Translate(slices.Delete(slices.Clone(items), 1, 3))
	if b := gone.Routes[0].Backends[0]; b.Service != "" || len(gone.Problems) != 2 {
		t.Error(b, gone.Problems)
	}
	back := d.Translate(items)
	if b := back.Routes[0].Backends[0]; b.Service != "shop/s0:80" || len(back.Problems) != 0 {
		t.Error(b, back.Problems)
	}
}

// A problem found by linking is told every time, at the same place, for as
// long as it is there.
func TestProblemsAreKept(t *testing.T) {
	t.Parallel()
	d := New()
	items := shop(t, d, 2, 1)
	before := d.Translate(items).Problems
	again := d.Translate(items).Problems
	if len(before) != 4 || !slices.Equal(before, again) {
		t.Error(before, again)
	}
	want := model.Origin{Source: "r0.yaml", Line: 18, Column: 14, Object: "HTTPRoute shop/r0", Field: "spec.rules[1].backendRefs[1].name"}
	if before[0].Origin != want {
		t.Errorf("%+v", before[0].Origin)
	}
	if len(d.last.places) == 0 {
		t.Error("no place is remembered")
	}
	d.Translate(nil)
	if n := len(d.last.places) + len(d.last.attached) + len(d.last.services) + len(d.last.listeners); n != 0 {
		t.Error("what is gone is remembered:", n)
	}
}

// Translate does not write to what was parsed, nor to nouns it gave before.
func TestTranslateOfTwoDialects(t *testing.T) {
	t.Parallel()
	a, b := New(), New()
	items := shop(t, a, 5, 5)
	first := lines(t, a.Translate(items).Routes)
	second := lines(t, b.Translate(items).Routes)
	if first != second || lines(t, a.Translate(items).Routes) != first {
		t.Error("the same items give different nouns")
	}
}

// BenchmarkTranslate is 10,000 HTTPRoutes with 1,000 Services and slices.
func BenchmarkTranslate(b *testing.B) {
	d := New()
	items := shop(b, d, 10_000, 1000)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			New().Translate(items)
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		d.Translate(items)
		for b.Loop() {
			d.Translate(items)
		}
	})
	other := one(b, d, "r9999.yaml", shopRoute(9999, "/b"))
	b.Run("oneRoute", func(b *testing.B) {
		last := len(items) - 1
		for b.Loop() {
			items[last], other = other, items[last]
			d.Translate(items)
		}
	})
	policy := func(timeout, connect string) []any {
		return append([]any{one(b, d, "p.yaml", "apiVersion: naru.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: p}\nspec: {targetRefs: [{kind: Mesh}], timeouts: {request: "+timeout+"}}\n")},
			one(b, d, "q.yaml", "apiVersion: naru.dev/v1alpha1\nkind: BackendPolicy\nmetadata: {name: q}\nspec: {targetRefs: [{kind: Mesh}], connection: {connectTimeout: "+connect+"}}\n"))
	}
	for name, list := range map[string][][]any{"trafficPolicy": {policy("1s", "1s"), policy("2s", "1s")}, "backendPolicy": {policy("1s", "1s"), policy("1s", "2s")}} {
		b.Run(name, func(b *testing.B) {
			both := [][]any{append(slices.Clone(items), list[0]...), append(slices.Clone(items), list[1]...)}
			if name == "trafficPolicy" {
				both[1][len(both[1])-1] = both[0][len(both[0])-1]
			}
			for i := 0; b.Loop(); i++ {
				d.Translate(both[i%2])
			}
		})
	}
	b.Run("brokenRefs", func(b *testing.B) {
		for b.Loop() {
			New().Translate(append(items[:1:1], items[2001:]...))
		}
	})
}

// BenchmarkParse is one HTTPRoute; heap is what 10,000 of them keep.
func BenchmarkParse(b *testing.B) {
	d := New()
	b.Run("route", func(b *testing.B) {
		text := []byte(shopRoute(1, "/a"))
		for b.Loop() {
			parseAll(d, "r.yaml", text)
		}
	})
	b.Run("heap", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			items := shop(b, d, 10_000, 1000)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "parsed-MiB")
			fragment := d.Translate(items)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "linked-MiB")
			runtime.KeepAlive(fragment)
			d.Translate(nil)
		}
	})
}
