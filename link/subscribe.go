package link

import (
	"slices"

	"github.com/naru-mesh/naru/model"
)

// Subscription is what a proxy wants of one kind: everything, or what is
// named, or is of a namespace, or (Workloads) serves a Service. A resource that
// any of these holds for is sent.
type Subscription struct {
	Kind       Kind
	All        bool
	Names      []string
	Namespaces []string
	Services   []string
}

// ForNode is what a node proxy subscribes to that knows of the whole mesh. A
// node may ask for less, by namespace or service. Routes and Flows hang on
// Listeners, which are the gateways'.
func ForNode() []Subscription {
	return []Subscription{
		{Kind: KindMesh, All: true}, {Kind: KindService, All: true}, {Kind: KindWorkload, All: true},
		{Kind: KindPolicy, All: true}, {Kind: KindTraffic, All: true},
	}
}

// ForGateway is what a gateway subscribes to: what a node does, and the
// listeners. The certificates that these name come with them.
func ForGateway() []Subscription {
	return append(ForNode(), Subscription{Kind: KindRoute, All: true}, Subscription{Kind: KindFlow, All: true}, Subscription{Kind: KindListener, All: true}, Subscription{Kind: KindCertificate, All: true})
}

// facts are what subscriptions look at.
type facts struct {
	namespaces []string
	services   []string
	// everywhere: it holds in every namespace.
	everywhere bool
	// certificates are those that a listener or service names.
	certificates []string
}

func factsOf(noun any) (f facts) {
	switch x := noun.(type) {
	case *model.Service:
		if x.Mesh != nil {
			f.namespaces = []string{x.Mesh.Namespace}
		}
		if x.TLS != nil && x.TLS.Certificate != "" {
			f.certificates = []string{x.TLS.Certificate}
		}
	case *model.Workload:
		f.namespaces = []string{x.Namespace}
		for i := range x.Ports {
			if s := x.Ports[i].Service; !slices.Contains(f.services, s) {
				f.services = append(f.services, s)
			}
		}
	case *model.Policy:
		f.namespaces, f.everywhere = []string{x.Namespace}, x.Namespace == ""
	case *model.TrafficPolicy:
		for _, t := range x.Targets {
			f.namespaces = append(f.namespaces, t.Namespace)
			f.everywhere = f.everywhere || t.Kind == model.TargetMesh
		}
	case *model.Listener:
		f.certificates = x.Certificates
	}
	return f
}

// join adds what a resource was before to what it is: whoever had it then must
// be told of it now.
func (f facts) join(before facts) facts {
	f.namespaces = union(f.namespaces, before.namespaces)
	f.services = union(f.services, before.services)
	f.everywhere = f.everywhere || before.everywhere
	return f
}

func union(a, b []string) []string {
	a = a[:len(a):len(a)] // of the noun: an append must copy
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}

// view is what one proxy sees: what it wants, within what it may have.
type view struct {
	// gateway: it may have Listeners and Certificates. The record of the node
	// says so, never the proxy.
	gateway bool
	wants   [kinds]*want
}

type want struct {
	all                         bool
	names, namespaces, services map[string]struct{}
}

func newView(gateway bool, list []Subscription) *view {
	v := &view{gateway: gateway}
	for _, s := range list {
		if s.Kind == 0 || s.Kind >= kinds {
			continue // of a newer naru
		}
		w := v.wants[s.Kind]
		if w == nil {
			w = &want{names: map[string]struct{}{}, namespaces: map[string]struct{}{}, services: map[string]struct{}{}}
			v.wants[s.Kind] = w
		}
		w.all = w.all || s.All
		collect(w.names, s.Names)
		collect(w.namespaces, s.Namespaces)
		collect(w.services, s.Services)
	}
	return v
}

func collect(set map[string]struct{}, list []string) {
	for _, x := range list {
		set[x] = struct{}{}
	}
}

// may is the rule of who receives what. Listeners and Certificates, with their
// keys, are for gateways. A key of a workload is in no resource at all: it is
// made on the node, and stays there.
func (v *view) may(k Kind) bool {
	return v.gateway || k != KindListener && k != KindCertificate
}

// matches says whether the proxy wants a resource of that name and facts, and
// may have its kind.
func (v *view) matches(n Name, f *facts) bool {
	w := v.wants[n.Kind]
	if w == nil || !v.may(n.Kind) {
		return false
	}
	if w.all {
		return true
	}
	if _, ok := w.names[n.Name]; ok {
		return true
	}
	if len(w.namespaces) > 0 {
		if f.everywhere || anyIn(w.namespaces, f.namespaces) {
			return true
		}
	}
	return anyIn(w.services, f.services)
}

func anyIn(set map[string]struct{}, list []string) bool {
	if len(set) == 0 {
		return false
	}
	for _, x := range list {
		if _, ok := set[x]; ok {
			return true
		}
	}
	return false
}
