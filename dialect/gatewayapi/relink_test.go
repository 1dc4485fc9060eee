package gatewayapi

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// town makes random documents of all kinds, of which many refer to each other
// and some to what is not there.
type town struct {
	*rand.Rand
	t       *testing.T
	d       *Dialect
	written int
}

func (w *town) pick(of ...string) string { return of[w.IntN(len(of))] }

// some gives a part of a document, or, mostly, not.
func (w *town) some(text string) string {
	if w.IntN(4) > 0 {
		return ""
	}
	return text
}

func (w *town) namespace() string { return w.pick("a", "a", "b") }
func (w *town) service() string   { return w.pick("s0", "s1", "s2", "s3") }

// backend is a reference to a Service.
func (w *town) backend(more string) string {
	return fmt.Sprintf("{name: %s, port: %s%s%s}", w.service(), w.pick("80", "80", "80", "81"), w.some(", namespace: "+w.namespace()), more)
}

func (w *town) route() string {
	rules := ""
	for range 1 + w.IntN(2) {
		filter := w.some("\n    filters: [{type: RequestMirror, requestMirror: {backendRef: " + w.backend("") + "}}]")
		if w.IntN(12) == 0 {
			filter = "\n    filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: " + w.backend("") + "}}]"
		}
		rules += fmt.Sprintf("\n  - matches: [{path: {type: %s, value: /%s}}]%s\n    backendRefs: [%s, %s]", w.pick("Exact", "PathPrefix", "PathPrefix", "PathPrefix", "Wrong"),
			w.pick("a", "b", "c"), filter, w.backend(""), w.backend(", weight: 3"))
	}
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%d, namespace: %s}
spec:
  parentRefs: [{name: %s, namespace: %s%s}%s]
  hostnames: [%s]
  rules:%s
`, w.IntN(12), w.namespace(), w.pick("g0", "g1"), w.namespace(), w.some(", sectionName: "+w.pick("one", "two", "six")), w.some(", {name: g1}"),
		w.pick("x.example.com", "y.example.com", `"*.example.com"`, "z.example.org"), rules)
}

func (w *town) world() string {
	switch w.IntN(8) {
	case 0:
		return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %s, namespace: %s}
spec:
  gatewayClassName: %s
  listeners:
  - {name: one, port: %s, protocol: HTTP, hostname: %s, allowedRoutes: {namespaces: {from: %s}}}
  - {name: two, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: none}]}}
`, w.pick("g0", "g1"), w.namespace(), w.pick("naru", "naru", "other"), w.pick("80", "81"), w.pick(`"*.example.com"`, "x.example.com", `""`), w.pick("All", "Same", "Selector, selector: {matchLabels: {color: red}}"))
	case 1, 2:
		return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec: {ports: [{port: 80%s}]%s}\n",
			w.service(), w.namespace(), w.some(", appProtocol: "+w.pick("https", "grpc")), w.some(", clusterIP: 10.0.0.9"))
	case 3, 4:
		return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: e%d, namespace: %s, labels: {kubernetes.io/service-name: %s}}\naddressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.0.0.%d]}]\n",
			w.IntN(6), w.namespace(), w.service(), 1+w.IntN(9))
	case 5:
		return fmt.Sprintf("apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: p%d, namespace: %s}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: %s}]\n  to: [{group: \"\", kind: Service%s}]\n",
			w.IntN(2), w.namespace(), w.namespace(), w.some(", name: "+w.service()))
	case 6:
		return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {color: %s}}\n", w.namespace(), w.pick("red", "blue"))
	default:
		return fmt.Sprintf("apiVersion: naru.dev/v1alpha1\nkind: BackendPolicy\nmetadata: {name: q%d, namespace: %s}\nspec:\n  targetRefs: [{group: \"\", kind: Service, name: %s}]\n  loadBalancing: {policy: LeastRequest}%s\n",
			w.IntN(3), w.namespace(), w.service(), w.some("\n  tls: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: none}]}"))
	}
}

// item parses a new document, sometimes a List of some.
func (w *town) item(text func() string) []any {
	w.written++
	texts := text()
	if w.IntN(5) == 0 {
		list := "apiVersion: v1\nkind: List\nitems:\n"
		for _, one := range []string{texts, text()} {
			list += "- " + strings.ReplaceAll(strings.TrimSpace(one), "\n", "\n  ") + "\n"
		}
		texts = list
	}
	items, _ := parseAll(w.d, fmt.Sprintf("%d.yaml", w.written), []byte(texts))
	return items
}

// edit changes the items a little: routes mostly.
func (w *town) edit(items []any) []any {
	text := w.route
	if w.IntN(4) == 0 {
		text = w.world
	}
	at := 0
	if len(items) > 0 {
		at = w.IntN(len(items))
	}
	switch w.IntN(7) {
	case 0:
		if len(items) > 0 {
			return slices.Delete(items, at, at+1)
		}
	case 1:
		if len(items) > 0 { // to another place
			moved := items[at]
			items = slices.Delete(items, at, at+1)
			return slices.Insert(items, w.IntN(len(items)+1), moved)
		}
	case 2:
		if len(items) > 0 && w.IntN(3) == 0 {
			return slices.Insert(items, w.IntN(len(items)+1), items[at])
		}
		fallthrough
	case 3:
		if len(items) > 0 {
			return slices.Replace(items, at, at+1, w.item(text)...)
		}
	}
	return slices.Insert(items, at, w.item(text)...)
}

// TestRelink makes random edits, and each time what a Dialect that remembers
// makes of the documents is what one makes that sees them for the first time.
func TestRelink(t *testing.T) {
	t.Parallel()
	seeds := uint64(25)
	if testing.Short() {
		seeds = 8
	}
	var kept, served, wrong int
	for seed := range seeds {
		w := &town{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, d: New()}
		var items []any
		for range 30 {
			items = append(items, w.item(w.world)...)
			if w.IntN(3) > 0 {
				items = append(items, w.item(w.route)...)
			}
		}
		for step := range 60 {
			for range 1 + w.IntN(3)/2 {
				items = w.edit(items)
			}
			if w.IntN(3) == 0 {
				items = distinct(items) // or hardly any step would be without namesakes
			}
			world := w.d.last.world
			got, fresh := w.d.Translate(items), New()
			want := fresh.Translate(items)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, step %d: %s", seed, step, unlike(got, want))
			}
			if got, want := w.d.Status(), fresh.Status(); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, step %d: status\n%+v\nwant\n%+v", seed, step, got, want)
			}
			if w.d.last.world == world {
				kept++
			}
			served, wrong = served+len(got.Routes), wrong+len(got.Problems)
		}
	}
	if kept < int(seeds)*8 || served == 0 || wrong == 0 {
		t.Errorf("of %d steps %d linked routes only; %d routes, %d problems", seeds*60, kept, served, wrong)
	}
}

// distinct leaves the items whose objects have names of their own.
func distinct(items []any) []any {
	seen := map[string]bool{}
	return slices.DeleteFunc(items, func(item any) bool {
		for _, o := range item.(*parsed).objects {
			about := reflect.ValueOf(o).Elem().FieldByName("at").FieldByName("Object").String()
			if seen[about] {
				return true
			}
			seen[about] = true
		}
		return false
	})
}

// unlike says in which part two Fragments differ.
func unlike(a, b *model.Fragment) string {
	va, vb := reflect.ValueOf(*a), reflect.ValueOf(*b)
	for i := range va.NumField() {
		if x, y := va.Field(i).Interface(), vb.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			return fmt.Sprintf("%s\n%+v\nwant\n%+v", va.Type().Field(i).Name, x, y)
		}
	}
	return "nothing"
}

// A defect while routes are linked leaves nothing half done behind.
func TestRelinkAfterPanic(t *testing.T) {
	t.Parallel()
	d := New()
	items := shop(t, d, 5, 5)
	want := d.Translate(items)
	// Without its rules, nothing can be made of the verdicts.
	broken := *items[len(items)-1].(*parsed).objects[0].(*httpRoute)
	broken.parents = append(broken.parents, parentRef{gateway: key{"shop", "gw"}})
	broken.rules = append(broken.rules[:1:1], rule{backends: make([]backend, 1), mirrors: []mirror{{filter: 0}}})
	broken.rules[1].noun.Filters = []model.Filter{{}}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		d.Translate(append(slices.Clone(items[:len(items)-1]), &parsed{objects: []any{&broken}}))
	}()
	if got := d.Translate(items); !reflect.DeepEqual(got, want) || d.Status().Gateways[0].Listeners[0].AttachedRoutes != 5 {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
}
