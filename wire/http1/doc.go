// Package http1 speaks HTTP/1.1 and HTTP/1.0 (RFC 9112, RFC 9110): a push
// machine for connections from clients and one for connections to services.
//
// # Words
//
// A scanner reads a head as far as its bytes have come. A body undoes a
// message's framing, whichever it is. The server machine owns a connection
// from a client (server*.go), the client machine one to a service
// (client*.go). A local is what the machines of one loop share: scratch
// memory, free lists, the date. A kept holds bytes that could not be used yet.
//
// # Life
//
// Codec.Serve takes a connection over; its machine is recycled once Gone was
// told. Codec.Open makes a machine for a connection that is being dialled; it
// lives until OnGone. Every entry from the loop (data, end of stream, timer,
// close) runs the machine until it needs something; what the proxy calls in
// between (Respond, Data, ...) only writes and marks, and never calls back. What
// must be told after such a call is told from the loop's top, through
// local.later.
//
// # Rules
//
// Strict in what is accepted: whatever two readers could read in two ways is
// refused, never repaired. Framing is decided once, from all fields. What
// follows a message is never taken for a part of it, nor attributed to the
// next one without being asked for. testdata/differences.md lists where
// this differs from Go's net/http, and why.
//
// Nothing allocates and nothing locks for a request in the steady state; an
// idle connection holds its machine and no buffer.
//
// # Not here
//
// Sockets (wire/loop), TLS (wire/secure), path normalization, routing and the
// choice of what is forwarded (proxy).
package http1
