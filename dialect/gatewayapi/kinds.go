package gatewayapi

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// Groups of the API that naru serves, or will.
const (
	coreGroup      = ""
	discoveryGroup = "discovery.k8s.io"
	gatewayGroup   = "gateway.networking.k8s.io"
	trialGroup     = "gateway.networking.x-k8s.io"
	naruGroup      = "naru.dev"
)

// deepest is how many Lists may be inside each other.
const deepest = 8

// typeMeta names a kind of object.
type typeMeta struct {
	group, version, kind string
}

func (t typeMeta) apiVersion() string {
	if t.group == "" {
		return t.version
	}
	return t.group + "/" + t.version
}

// servedKind is a kind that this version serves, in any of versions; the first
// is the one to write.
type servedKind struct {
	group    string
	kind     string
	versions []string
	cluster  bool // has no namespace
	read     func(*reader, *servedKind) any
}

// servedKinds are all of them, the most frequent first; never written to. An
// object's reader gives nil when nothing of it can be used.
var servedKinds = []*servedKind{
	{group: gatewayGroup, kind: httpRoute, versions: []string{"v1", "v1beta1"}, read: as((*reader).httpRoute)},
	{group: coreGroup, kind: "Service", versions: []string{"v1"}, read: as((*reader).service)},
	{group: discoveryGroup, kind: "EndpointSlice", versions: []string{"v1"}, read: as((*reader).endpointSlice)},
	{group: gatewayGroup, kind: grpcRoute, versions: []string{"v1", "v1alpha2"}, read: as((*reader).grpcRoute)},
	{group: gatewayGroup, kind: tlsRoute, versions: []string{"v1", "v1alpha3", "v1alpha2"}, read: as((*reader).tlsRoute)},
	{group: gatewayGroup, kind: tcpRoute, versions: []string{"v1", "v1alpha2"}, read: as((*reader).tcpRoute)},
	{group: gatewayGroup, kind: udpRoute, versions: []string{"v1", "v1alpha2"}, read: as((*reader).udpRoute)},
	{group: gatewayGroup, kind: "GatewayClass", versions: []string{"v1", "v1beta1"}, cluster: true, read: as((*reader).gatewayClass)},
	{group: gatewayGroup, kind: gatewayKind, versions: []string{"v1", "v1beta1"}, read: as((*reader).gateway)},
	{group: gatewayGroup, kind: listenerSetKind, versions: []string{"v1"}, read: as((*reader).listenerSet)},
	{group: gatewayGroup, kind: "ReferenceGrant", versions: []string{"v1", "v1beta1", "v1alpha2"}, read: as((*reader).referenceGrant)},
	{group: gatewayGroup, kind: tlsPolicyKind, versions: []string{"v1", "v1alpha3"}, read: as((*reader).backendTLSPolicy)},
	{group: naruGroup, kind: backendPolicyKind, versions: []string{"v1alpha1"}, read: as((*reader).backendPolicy)},
	{group: naruGroup, kind: "TrafficPolicy", versions: []string{"v1alpha1"}, read: as((*reader).trafficPolicy)},
	{group: coreGroup, kind: "Secret", versions: []string{"v1"}, read: as((*reader).secret)},
	{group: coreGroup, kind: "ConfigMap", versions: []string{"v1"}, read: as((*reader).configMap)},
	{group: coreGroup, kind: "Namespace", versions: []string{"v1"}, cluster: true, read: as((*reader).namespace)},
}

// Kinds that are asked about by name.
const (
	httpRoute       = "HTTPRoute"
	grpcRoute       = "GRPCRoute"
	tlsRoute        = "TLSRoute"
	tcpRoute        = "TCPRoute"
	udpRoute        = "UDPRoute"
	gatewayKind     = "Gateway"
	listenerSetKind = "ListenerSet"
	tlsPolicyKind   = "BackendTLSPolicy"
)

// as makes a nil pointer a nil any.
func as[T any](read func(*reader, *servedKind) *T) func(*reader, *servedKind) any {
	return func(r *reader, k *servedKind) any {
		if p := read(r, k); p != nil {
			return p
		}
		return nil
	}
}

// laterKinds are known, and not served by this version.
func laterKinds(group string) []string {
	switch group {
	case trialGroup:
		return []string{"XBackendTrafficPolicy", "XMesh", "XBackend"}
	case naruGroup:
		return []string{"Mesh", "Consumer", "Plan", "Function", "Workload"}
	case coreGroup:
		return []string{"Endpoints"}
	default:
		return nil
	}
}

// coreKinds are kinds of the core group that have nothing to do with traffic.
func coreKinds() []string {
	return []string{
		"Binding", "Event", "LimitRange", "Node", "PersistentVolume", "PersistentVolumeClaim", "Pod",
		"PodTemplate", "ReplicationController", "ResourceQuota", "ServiceAccount",
	}
}

// readObject reads the object at n into out, or the items of a List. inherited
// is what the items of a typed List (HTTPRouteList) are when they do not say.
func readObject(doc *dialect.Document, n *yaml.Node, base string, inherited typeMeta, depth int, out *parsed) []model.Problem {
	r := &reader{doc: doc, node: n, base: base, key: out.key}
	if n == nil || n.Kind != yaml.MappingNode {
		r.broken("", "bad-value", "an object is a mapping with apiVersion, kind and metadata", "")
		return r.problems
	}
	meta, ok := r.typeMeta(inherited)
	if !ok {
		return r.problems
	}
	if items := r.child("items"); items != nil && strings.HasSuffix(meta.kind, "List") {
		return r.list(items, meta, depth, out)
	}
	for _, k := range servedKinds {
		if k.group != meta.group || k.kind != meta.kind {
			continue
		}
		if !slices.Contains(k.versions, meta.version) {
			r.broken("apiVersion", "bad-value", meta.kind+" of "+meta.apiVersion()+" is not served",
				"write "+typeMeta{k.group, k.versions[0], k.kind}.apiVersion())
			return r.problems
		}
		if o := k.read(r, k); o != nil {
			out.objects = append(out.objects, o)
		}
		return r.named()
	}
	r.stranger(meta)
	return r.problems
}

// typeMeta reads apiVersion and kind.
func (r *reader) typeMeta(inherited typeMeta) (typeMeta, bool) {
	meta := inherited
	if v := r.child("apiVersion"); v != nil {
		meta.group, meta.version = "", v.Value
		if group, version, found := strings.Cut(v.Value, "/"); found {
			meta.group, meta.version = group, version
		}
	}
	if v := r.child("kind"); v != nil {
		meta.kind = v.Value
	}
	switch {
	case meta.kind == "":
		r.broken("", "missing-field", "kind is missing", "an object says what it is: kind: HTTPRoute")
		return meta, false
	case meta.version == "":
		hint := ""
		for _, k := range servedKinds {
			if k.kind == meta.kind {
				hint = "apiVersion: " + typeMeta{k.group, k.versions[0], k.kind}.apiVersion()
			}
		}
		r.broken("kind", "missing-field", "apiVersion is missing", hint)
		return meta, false
	}
	return meta, true
}

// list reads the items of a List.
func (r *reader) list(items *yaml.Node, meta typeMeta, depth int, out *parsed) []model.Problem {
	if depth >= deepest {
		r.broken("items", "bad-value", "Lists are nested too deeply", "")
		return r.problems
	}
	if items.Kind != yaml.SequenceNode {
		if items.Tag != "!!null" {
			r.broken("items", "bad-value", "items is a list of objects", "")
		}
		return r.problems
	}
	inherited := typeMeta{}
	if meta.kind != "List" {
		inherited = meta
		inherited.kind = strings.TrimSuffix(meta.kind, "List")
	}
	for i, item := range items.Content {
		base := r.full("items[" + strconv.Itoa(i) + "]")
		r.problems = append(r.problems, readObject(r.doc, item, base, inherited, depth+1, out)...)
	}
	return r.problems
}

// stranger says why a kind that is not served is not.
func (r *reader) stranger(meta typeMeta) {
	if slices.Contains(laterKinds(meta.group), meta.kind) {
		r.doubtful("kind", "not-served", meta.kind+" is not served by this version", "")
		return
	}
	var ours []string
	for _, k := range servedKinds {
		if k.kind == strings.TrimPrefix(meta.kind, "X") {
			r.broken("apiVersion", "unknown-kind", "there is no "+meta.kind+" in "+meta.apiVersion(),
				k.kind+" is of "+typeMeta{k.group, k.versions[0], k.kind}.apiVersion())
			return
		}
		if k.group == meta.group {
			ours = append(ours, k.kind)
		}
	}
	if len(ours) == 0 || meta.group == coreGroup && slices.Contains(coreKinds(), meta.kind) {
		r.doubtful("kind", "unused-kind", "naru does not read "+meta.kind+" of "+meta.apiVersion(), "")
		return
	}
	r.broken("kind", "unknown-kind", "there is no kind "+meta.kind+" in "+meta.apiVersion(),
		dialect.DidYouMean(meta.kind, append(ours, laterKinds(meta.group)...), "kinds"))
}
