// Package mesh lowers the mesh to the nouns that a proxy compiles anyway:
// Listeners, Routes, Flows and Services. Gateway and mesh are one proxy; what
// is the mesh's own stands here and nowhere on the request path.
//
// # Words
//
// A local is a workload that runs on this node. A source is an identity as
// which services are called from here: a local's, or the gateway's. A door is a
// Listener that this package makes: a local's ports by mutual TLS (inbound), its
// captured connections (outbound), captured plaintext to locals (plaintext).
//
// # Life
//
// A Lowering belongs to whoever feeds the proxy, which calls Lower with each
// Snapshot's Config and each change of the Node, freezes the result and
// applies that. Between two calls it keeps what it has made. A Feed does so
// between two others: it waits for either kind of change.
//
// # Rules
//
// Lowering is pure: no clock, no I/O, and the same in gives the same out. A noun whose
// causes are the same pointers as at the last call is the same pointer again,
// so a change of one service among a thousand makes a few nouns anew.
//
// Nothing falls back to plaintext: where a service is strict, a workload that
// has no proxy is none of its endpoints, and so is an address that is written.
// Whoever has no identity reaches no endpoint that needs one.
//
// Names of what is made contain "@" or begin with "mesh/", which no dialect
// gives.
//
// # Not here
//
// Bringing connections to the doors (capture), certificates (identity), who
// may speak to whom (filter/authz), Workloads (control, link).
package mesh
