package gatewayapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

// parent is what a route is attached to.
func (w *town) parent() string {
	return fmt.Sprintf("{name: %s, namespace: %s%s%s}", w.pick("g0", "g0", "g1"), w.namespace(),
		w.some(", kind: ListenerSet"), w.some(", sectionName: "+w.pick("one", "two", "three", "six")))
}

func (w *town) route() string {
	hosts := w.pick("x.example.com", "y.example.com", "z.example.com", `"*.example.com"`, "z.example.org")
	head := func(kind string) string {
		return fmt.Sprintf("apiVersion: gateway.networking.k8s.io/v1\nkind: %s\nmetadata: {name: r%d, namespace: %s%s}\nspec:\n  parentRefs: [%s%s]\n",
			kind, w.IntN(12), w.namespace(), w.some(fmt.Sprintf(`, creationTimestamp: "2025-01-0%dT00:00:00Z"`, 1+w.IntN(9))), w.parent(), w.some(", "+w.parent()))
	}
	switch kind := w.pick("TCPRoute", "UDPRoute", "TLSRoute", "GRPCRoute", "GRPCRoute", "GRPCRoute", "", "", "", "", "", "", ""); kind {
	case "TCPRoute", "UDPRoute":
		return head(kind) + "  rules: [{backendRefs: [" + w.backend("") + ", " + w.backend("") + "]}]\n"
	case "TLSRoute":
		return head(kind) + "  hostnames: [" + hosts + "]\n  rules: [{backendRefs: [" + w.backend("") + "]}]\n"
	case "GRPCRoute":
		return head(kind) + "  hostnames: [" + hosts + "]\n  rules: [{matches: [{method: {service: " + w.pick("a", "b", "c/d") + "}}], backendRefs: [" + w.backend("") + "]}]\n"
	}
	rules := ""
	for range 1 + w.IntN(2) {
		filter := w.some("\n    filters: [{type: RequestMirror, requestMirror: {backendRef: " + w.backend("") + "}}]")
		if w.IntN(12) == 0 {
			filter = "\n    filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: " + w.backend("") + "}}]"
		}
		rules += fmt.Sprintf("\n  - matches: [{path: {type: %s, value: /%s}}]%s\n    backendRefs: [%s, %s]", w.pick("Exact", "PathPrefix", "PathPrefix", "PathPrefix", "Wrong"),
			w.pick("a", "b", "c"), filter, w.backend(""), w.backend(", weight: 3"))
	}
	return head("HTTPRoute") + "  hostnames: [" + hosts + "]\n  rules:" + rules + "\n"
}

// listener is one of a Gateway or ListenerSet.
func (w *town) listener(name string) string {
	out := "  - {name: " + name + ", allowedRoutes: {namespaces: {from: " + w.pick("All", "All", "Same", "Selector, selector: {matchLabels: {color: red}}") + "}}, "
	host := w.pick("", "", `, hostname: "*.example.com"`, ", hostname: x.example.com")
	switch w.IntN(9) {
	case 0:
		return out + "port: 5432, protocol: TCP}\n"
	case 1:
		return out + "port: 53, protocol: UDP}\n"
	case 2:
		return out + "port: 444, protocol: TLS" + host + ", tls: {mode: Passthrough}}\n"
	case 3:
		return out + "port: 444, protocol: TLS" + host + ", tls: {mode: Terminate, certificateRefs: [{name: cert}]}}\n"
	case 4:
		return out + "port: 443, protocol: HTTPS" + host + ", tls: {certificateRefs: [{name: " + w.pick("cert", "none") + "}]}}\n"
	default:
		return out + "port: " + w.pick("80", "80", "81") + ", protocol: HTTP" + host + "}\n"
	}
}

func (w *town) world() string {
	object := func(group, kind, name string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s}\n", group, kind, name, w.namespace())
	}
	target := func() string {
		return `[{group: "", kind: Service, name: ` + w.service() + w.some(", sectionName: http") + "}]"
	}
	bundle := func() string { return `[{group: "", kind: ConfigMap, name: ` + w.pick("ca", "ca", "none") + "}]" }
	switch w.IntN(13) {
	case 0, 1:
		return object(gatewayGroup+"/v1", "Gateway", w.pick("g0", "g1")) + "spec:\n  gatewayClassName: " + w.pick("naru", "naru", "naru", "other") +
			"\n  allowedListeners: {namespaces: {from: " + w.pick("All", "Same", "None") + "}}\n  tls:" +
			"\n    frontend: {default: {" + w.some("validation: {caCertificateRefs: "+bundle()+"}") + "}}" +
			w.some("\n    backend: {clientCertificateRef: {name: cert}}") +
			"\n  listeners:\n" + w.listener("one") + w.some(w.listener("two")) + w.some(w.listener("three"))
	case 2:
		return object(gatewayGroup+"/v1", "ListenerSet", w.pick("g0", "g1")) + "spec:\n  parentRef: {name: " + w.pick("g0", "g1") + ", namespace: " + w.namespace() +
			"}\n  listeners:\n" + w.listener("one") + w.some(w.listener("two"))
	case 3, 4:
		return object("v1", "Service", w.service()) + "spec: {ports: [{name: http, port: 80" + w.some(", appProtocol: "+w.pick("https", "grpc", "kubernetes.io/ws")) +
			"}" + w.some(", {name: dns, port: 80, protocol: UDP}") + "]" + w.some(", clusterIP: 10.0.0.9") + "}\n"
	case 5, 6:
		return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: e%d, namespace: %s, labels: {kubernetes.io/service-name: %s}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.%d]}]\n",
			w.IntN(6), w.namespace(), w.service(), 1+w.IntN(9))
	case 7:
		return object(gatewayGroup+"/v1", "ReferenceGrant", fmt.Sprint("p", w.IntN(2))) + fmt.Sprintf("spec:\n  from: [{group: gateway.networking.k8s.io, kind: %s, namespace: %s}]\n  to: [{group: \"\", kind: Service%s}]\n",
			w.pick("HTTPRoute", "HTTPRoute", "GRPCRoute", "TCPRoute"), w.namespace(), w.some(", name: "+w.service()))
	case 8:
		return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {color: %s}}\n", w.namespace(), w.pick("red", "blue"))
	case 9:
		if w.IntN(4) == 0 {
			return object("naru.dev/v1alpha1", "TrafficPolicy", fmt.Sprint("q", w.IntN(3))) + "spec:\n  targetRefs: " + w.pick(target(), "[{kind: Namespace}]", "[{kind: HTTPRoute, name: r1}]") +
				"\n  timeouts: {request: " + w.pick("1s", "2s", "soon") + "}\n"
		}
		return object("naru.dev/v1alpha1", "BackendPolicy", fmt.Sprint("q", w.IntN(3))) + "spec:\n  targetRefs: " + w.pick(target(), target(), "[{kind: Namespace}]", "[{kind: Mesh}]") +
			"\n  loadBalancing: {policy: LeastRequest}" + w.some("\n  host: "+w.pick("x", "y")) + w.some("\n  protocol: http2") + w.some("\n  tls: {caCertificateRefs: "+bundle()+w.some(", clientCertificateRef: {name: cert}")+"}") + "\n"
	case 10:
		return object(gatewayGroup+"/v1", "BackendTLSPolicy", fmt.Sprint("t", w.IntN(3))) + "spec:\n  targetRefs: " + target() +
			"\n  validation: {hostname: s.example.com, caCertificateRefs: " + bundle() + "}\n"
	case 11:
		chain, _ := pairForTests()
		return object("v1", "ConfigMap", "ca") + "data:\n  ca.crt: " + w.pick(strconv.Quote(chain), strconv.Quote(chain), "nothing") + "\n"
	default:
		chain, private := pairForTests()
		return object("v1", "Secret", "cert") + "stringData:\n  tls.crt: " + strconv.Quote(chain) + "\n  tls.key: " + strconv.Quote(private) + "\n"
	}
}

// pairForTests is a certificate, of its own authority, and its key, in PEM.
var pairForTests = sync.OnceValues(func() (chain, private string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"s.example.com"}}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
})

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
	seeds := uint64(16)
	if testing.Short() {
		seeds = 8
	}
	var kept, served, flows, wrong, contests int
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
			served, flows, wrong = served+len(got.Routes), flows+len(got.Flows), wrong+len(got.Problems)
			for _, p := range got.Problems {
				if p.Condition == "Accepted" && p.Reason == reasonHostTaken {
					contests++
				}
			}
		}
	}
	if kept < int(seeds)*8 || served == 0 || flows == 0 || wrong == 0 || contests == 0 {
		t.Errorf("of %d steps %d linked routes only; %d routes, %d flows, %d problems, %d of HTTPRoutes against GRPCRoutes",
			seeds*60, kept, served, flows, wrong, contests)
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
	broken := *items[len(items)-1].(*parsed).objects[0].(*routeObject)
	broken.parents = append(broken.parents, parentRef{parent: key{"shop", "gw"}})
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
