// Package link carries configuration from control planes to proxies, and
// identities, registrations and refusals with it.
//
// # Words
//
// A Resource is one noun of the model, encoded once for all proxies: its kind,
// name, sum (the hash of its body) and body. A Catalog holds all of them at the
// server, in the order in which they last changed, so that a proxy's difference
// is the end of that list. A Subscription says what a proxy wants, a Grant what
// it may have. A Refusal is what a proxy did not take, and why. System is the
// Version of the control plane's Snapshot; a proxy's own Snapshot, of its share,
// has another.
//
// # The protocol
//
// gRPC service naru.link.v1.Link over TLS 1.3, whose messages are written by
// the codec of this package (content-type application/grpc+naru): every field
// by its name, each name spelled once a message, zero values left out, unknown
// fields skipped. An update is a head and the frames of resources, which all
// streams share.
//
//	Follow   the stream: hello with what the proxy has -> what differs, then
//	         changes; each update has a nonce and is acknowledged, or refused
//	         with object and field, before the next one is sent; a gateway says
//	         what it has counted
//	Join     a token or certificate and a CSR -> the node's SVID
//	Sign, SignJWT          an SVID for a workload that is on the node
//	Register, Unregister   a workload that runs on the node
//	Settle   -> once all proxies know that a workload leaves
//	Report   between control planes: what one says of itself
//
// # Life
//
// Server.Serve follows a model.Feed and an identity.Authority until its context
// ends; each stream has a goroutine that reads, one that writes, one that watches. A slow
// proxy blocks its own writer alone, and gets the newest state of everything
// that changed meanwhile. Client.Run joins, connects, follows and connects
// again; Next, SignX509, Register wait for it.
//
// # Rules
//
// A node's credential says its name, and the record of the node (from its token)
// what it may have: nothing is believed because a proxy says it. Listeners and
// Certificates go to gateways alone, and of the Certificates those that are
// named by what the gateway subscribes to. Keys of workloads are made on the
// node and never travel. A client takes nothing that is malformed or invalid,
// and keeps what it had. Memory per proxy at the server does not grow with
// the mesh.
//
// # Not here
//
// Who signs (identity/ca), what is stored where (store), what a proxy does with
// a Snapshot (proxy), which workloads exist (whoever registers them).
package link
