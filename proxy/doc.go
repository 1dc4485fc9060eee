// Package proxy is the data plane: it turns Snapshots into Programs and carries
// requests by them.
//
// # Words
//
// A Program is a Snapshot compiled: ports, tables, chains and clusters. A port
// is a bound address; a door is one loop's side of a port. An exchange is a
// request on its way, pinned to one Program from its head to its end. A
// conversation is a connection of a flow with the one that it leads to, a
// session is the same for a client's datagrams.
//
// # Life
//
// The files, read in this order, are the two journeys. A change of
// configuration: follow.go waits for a Snapshot, compile.go builds a Program
// and reuses what did not change, swap.go opens new sockets (port.go) and stores
// one pointer, drain.go closes what only the old Program used when its last
// exchange has ended. A request: serve.go meets the connection, http.go finds
// the rule and runs its filters, forward.go asks the service (retry.go again),
// reply.go brings the response back, phases.go bounds what follows its head,
// shaping.go makes requests and bodies wait, record.go writes the one account of it;
// rescue.go ends what a defect has stopped. A connection that carries no
// requests: preface.go finds out who it is from and which name it asks for,
// tcp.go leads it on, udp.go does so with datagrams; flow.go is what they have in
// common. A connection of the mesh: capture.go finds out where it was meant to go
// and what it speaks, and makes conversations of CONNECTs; mesh.go compiles the
// doors and asks the policies; recheck.go asks them again, when they change, about
// what runs.
//
// # Rules
//
// On the request path a worker shares nothing with other loops but atomics,
// and nothing allocates, locks or waits. A Program that cannot be built leaves
// the old one serving. proxy never meets control but through model.Feed.
//
// # Not here
//
// Sockets, TLS and HTTP syntax (wire and its children), the choice of an
// endpoint (upstream), what a filter does (filter).
package proxy
