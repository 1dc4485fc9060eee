// Package secure gives TLS 1.2 and 1.3 to both sides of a connection: it
// terminates the clients' TLS and speaks TLS to services. The protocol itself
// is crypto/tls; this room drives it from the event loops.
//
// # Words
//
// The raw Conn is the stream of bytes that the loop owns; the plain Conn is
// what this package makes of it, with the same contract. A shake is a
// handshake in progress. The pipe is the net.Conn in memory that crypto/tls
// reads ciphertext from and writes ciphertext to. The desk is a loop's shared
// buffers. A gate bounds how many handshakes compute at once.
//
// # Life
//
// A handshake runs on a goroutine of its own, because crypto/tls cannot be
// resumed in the middle of one and because its arithmetic (about 0.3 ms) would
// hold up every other connection of the loop. The goroutine starts with the
// first bytes (a client's: when TCP stands), gets its input through a mutex and
// a channel, posts its flights to the loop, and ends when the handshake has
// succeeded, failed, timed out, or the raw Conn has closed; a Driver that closes
// must therefore tell OnClose. It ends by posting its result; from then on
// only the loop touches the connection, with no lock and no goroutine.
//
// A name that no credential is for is asked of the Certifier on the handshake's
// goroutine, which may wait for an authority there, outside the gate.
//
// A Server watches its certificate files with one goroutine until Close. A
// dialer has no end, so its handshakes look at its files, once a second.
//
// # Rules
//
// crypto/tls is handed ciphertext only in whole records and only when plaintext
// has room for a record. So between two calls it holds no data of ours: what is
// still to be delivered is in conn.held, and nowhere else.
//
// A client's certificate is judged in the handshake, by crypto/tls or in its
// callbacks, and again where a session resumes. Between workloads nothing is
// resumed: a ticket would keep an identity that was replaced or taken away.
//
// A FIN without close_notify is truncation (RFC 8446 section 6.1): the handler
// gets OnClose with io.ErrUnexpectedEOF. OnEOF follows close_notify only.
//
// Steady state allocates nothing of ours. crypto/tls itself makes one object
// of 24 bytes for each record that it reads.
//
// # Not here
//
// Obtaining certificates and SVIDs, and judging those (identity); who may do
// what (proxy, mesh); sockets.
package secure
