// Package native is the dialect of naru's own kinds of the mesh,
// naru.dev/v1alpha1: Mesh, Workload, Service and TrafficPolicy.
//
// # Words
//
// An object has metadata (name, namespace) and a spec, as in Kubernetes, and
// is read from files. form.go has all fields; Schema and Reference say the
// same to editors and to people.
//
// # Life
//
// Parse makes the noun of one document, Translate collects them: no object
// needs another to be understood. What they name is compared by model.Validate.
//
// # Rules
//
// What has a mistake is left out or refused, never used by half: of a policy
// that allows, the broken rule goes, which refuses more; one that denies is
// refused as a whole, which makes it a denial of everything until it is right.
//
// # Not here
//
// The kinds of the Gateway API, BackendPolicy, and TrafficPolicies that say how
// requests are served (gatewayapi); the form of one
// line (short).
package native
