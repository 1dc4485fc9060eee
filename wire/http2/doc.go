// Package http2 speaks HTTP/2 (RFC 9113, with HPACK, RFC 7541): a push machine
// for connections from clients and one for connections to services.
//
// # Words
//
// A session is the machine of one connection, of either side; a stream is one
// exchange on it, and what the proxy holds. A gather is what of a stream came
// in one read and is told together. A queue holds what of a stream cannot go
// on: to a sink that has paused, or to a peer whose window is shut. A waste is
// what a peer may do only a little of; its budget says how much is left. A
// local is what the sessions of one loop share.
//
// # Life
//
// Codec.Serve takes a connection over; its session is recycled once all its
// streams are gone. Codec.Open makes one for a connection that is being
// dialled; it lives until OnGone. Every entry from the loop (data, drained,
// timer, close) runs the machine and ends in session.leave, which tells what
// is due, sends what windows allow and writes all of it at once. What the
// proxy calls in between only appends frames and marks; the write, and whatever
// must be told, comes from the loop's top through local.later. So what many
// streams say in one turn is one write.
//
// A stream is in its session's table until both directions have ended. Then it
// lies in the grave until leave, so that no sink sees it used again.
//
// # Rules
//
// The invariants of wire.Head are those of HTTP/1: whatever passes here is
// unambiguous there, and whatever is not is reset with PROTOCOL_ERROR. Errors
// end a stream or the connection as the RFC says, with its code.
//
// Flow control follows the sinks: a paused one stops the window updates of its
// stream. Data stop at wire.HighWater of the connection; frames without data
// always go, and who lets too many of them pile up is cut off.
//
// While the loop is behind (wire.Sorter), what comes on a stream whose request is
// known waits in the stream for its turn, by how much that matters (wire.Rank): its
// window holds the client.
//
// Nothing allocates and nothing locks for a request in the steady state; an
// idle connection holds its session, its HPACK tables and no buffer.
//
// # Not here
//
// Sockets (wire/loop), TLS (wire/secure), the choice between HTTP versions and
// of what is forwarded (app, proxy). Server push, which nobody uses, and the
// priorities of RFC 7540, which were withdrawn.
package http2
