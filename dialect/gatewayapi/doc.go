// Package gatewayapi reads the Kubernetes Gateway API (1.6) from documents,
// with the core kinds that it refers to and naru's own BackendPolicy and
// TrafficPolicy, of which one with authorization is native's.
//
// # Words
//
// An object is one Kubernetes object: a document, or an item of a List. A
// reference leads from one object to another by name and resolves or not. An
// owner has listeners: a Gateway or a ListenerSet. A route, of whatever kind,
// attaches to the listeners of an owner that it names and that allow it. A way
// is how Services are reached from a listener. A grant (ReferenceGrant) permits
// references from another namespace. A verdict is what became of one reference.
// In a contest HTTPRoutes and GRPCRoutes claim the hosts of a listener.
//
// # Life
//
// Parse does all that one document can tell by itself: it decodes, checks what
// an API server would have checked with the rules of the CRD, fills in
// defaults, and keeps a compact form without the YAML tree. Translate links
// the compact forms, but makes new nouns only of what comes out differently than
// last time: the Dialect remembers the last result of each route, service,
// listener and certificate. Where only routes differ, only those that came
// or changed are linked (relink.go). A message that is found only by linking
// reads its document once more for its line and column.
//
// # Rules
//
// Ours are the Gateways whose GatewayClass has the controller
// "naru.dev/gateway". Where no document is a GatewayClass, the class "naru" is
// ours too, so that one file is enough. Objects without a namespace are in
// "default"; every namespace has the label kubernetes.io/metadata.name, with
// or without a Namespace document.
//
// A rule that is invalid is left out and the other rules serve ("Dropped
// Rule"). A filter that naru does not know answers 500 and is never skipped. A
// backend that does not resolve keeps its weight, and its share gets 500.
//
// Of listeners of one object that conflict, none is served; a Gateway goes
// before its ListenerSets, the older before the newer. Gateways are
// served side by side on one port as long as their host names differ; where
// they do not, the older Gateway keeps the port and the listener of the newer
// has Accepted=False, PortUnavailable.
//
// Where timeouts.request is set and timeouts.backendRequest is not, one try
// may take as long as the request. Without retry.attempts there is one retry.
// Regular expressions are RE2 and match the whole value. A Service without
// EndpointSlices leads to its externalName or its clusterIP.
//
// A port that is reached in several ways becomes several Services: over TLS
// with a Gateway's certificate, by gRPC where nothing else says so, or with the
// client's TLS passed on. A policy that asks for TLS and cannot be used leaves
// its ports unreached. What policies say of how Services and requests are treated
// is sent as it is written: package traffic joins it.
//
// Mutable state is the memory of the Dialect alone, behind a mutex.
//
// # Not here
//
// Writing status back (source/kube), host names of routes against those of
// listeners while a request runs (route), opening sockets (proxy).
package gatewayapi
