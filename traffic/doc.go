// Package traffic joins TrafficPolicies with the Routes and Services that they
// are for.
//
// # Words
//
// A field is one thing that can be said of a Route or of a Service: "retry",
// "timeouts.request", "ejection.failures". A level is how near something is
// that says it. A step is a policy at its level, and a chain all steps for one
// noun, the nearest first.
//
// # Life
//
// A Lowering belongs to whoever compiles Snapshots, or to whoever tells of
// mistakes in them. It is given one Config after another and keeps what it has
// made: a noun whose causes are the same pointers comes out as the same pointer.
//
// # Rules
//
// The nearest that says a field gives it: the noun itself, then its rule,
// route, port, service, listener, gateway, namespace, and the mesh. Of two
// policies on one level the older counts, field by field too. Services have
// their own port, service, namespace and the mesh above them.
//
// Requests are for the services that their route leads to. Where it leads to
// several, a field that a service's policy says counts if all of them say the
// same: whether a request is tried again cannot depend on a die. A share of
// nothing counts too, so that shifting weights changes nothing else.
//
// Policies are the caller's: what leads to a workload of this machine on the
// last leg (Service.Local) has had them already.
//
// Pure: no clock, no I/O.
//
// # Not here
//
// What each field does (proxy, upstream), how policies are written (dialect),
// whether a single value is right (model.Validate).
package traffic
