// Package authz says who may speak to whom: it compiles the policies of a
// Target into an Authorizer, and mints and checks the gateway's passport.
//
// # Words
//
// A rule is a conjunction of checks, cheapest first: ports, addresses,
// identities, then what a request has (methods, hosts, paths, headers), then
// claims and CEL. A decision is that of all policies: a deny that matches
// refuses; otherwise, where there is any allow, one must match. Audit and dry
// runs only count and tell. A passport is a signed token of the caller whom a
// gateway has verified, for the services behind it.
//
// # Life
//
// A Decider is built for a Program, shared by all loops, and never changes.
// Its counters are those of a Metrics, which lives as long as the process: they
// go on counting when a policy changes. Passports are checked by a Verifier,
// which remembers those that it has seen.
//
// # Rules
//
// No lock and no allocation in a decision; a CEL expression allocates for
// itself, and so does a path that services may read differently. What does not compile refuses everything that it is for. Whoever has
// proved no identity matches no principal and no namespace.
//
// # Not here
//
// Checking certificates and who they are for (wire/secure, identity), what a
// policy may say (model), keeping conversations and ending them (proxy).
package authz
