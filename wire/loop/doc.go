// Package loop drives connections with event loops: sockets, timers and
// buffers, for Linux, by epoll.
//
// # Words
//
// A Driver owns the loops. A loop is a goroutine locked to its thread, with
// its own epoll instance, listening sockets, timer wheel, read buffer and
// connections. A relay joins connections whose bytes are passed on by splice(2)
// instead of being copied; a batch is the room for the datagrams that one system
// call brings or takes. A loop that is behind sorts: what can wait is in its
// backlog. The mailbox is how other goroutines reach a loop. The clock is
// the one goroutine that sleeps for the timers of all loops.
//
// # Life
//
// New starts the loops, Driver.Close ends them. A turn of a loop is: handle
// the events in hand, run what was posted, fire timers, handle the ready list
// (connections with something to tell or to read that no event will announce
// again), then wait. A connection is registered with epoll once, edge
// triggered for both directions, and belongs to its loop until it is closed.
//
// # Rules
//
// Only the loop touches its connections. A handler is called from the loop's
// top only, never from within a method of the same connection.
//
// The wait is a raw system call without a time-out, so the runtime does not
// take the loop's P away after each event. The P is held meanwhile: GOMAXPROCS
// exceeds the number of loops. The runtime's preemption signal, every 10 ms,
// interrupts the wait; that is how a collection stops the loop, and it counts
// as a clock of idleness: after 100 ticks without an event the loop waits in
// an ordinary system call and costs nothing. With GODEBUG=asyncpreemptoff=1
// there is no such signal, and every wait is an ordinary one.
//
// A read that does not fill the buffer has drained the socket. A connection
// gets a few full reads a turn, then the others come first. The kernel is
// written to at once; only what it does not take is copied.
//
// A round is over when the kernel has nothing more to tell. Where one takes long
// the loop is behind until it has done everything: it asks handlers how much what
// has happened matters (wire.Ranker), and does the rest in slices, with a look at
// what is new between two of them. Where many things come together, as of QUIC by one
// Post or in one read of HTTP/2, their codec asks the loop itself (wire.Sorter).
//
// A connection object is never used again for another connection: whoever
// still holds it after its end holds something that does nothing. Events carry
// a generation number for the same reason.
//
// After OnEOF and CloseWrite both, a connection still waits for its handler to
// close it. A connection beyond MaxConns counts in Conns while it is open. A
// listening address may be shared with another process of the same user
// (SO_REUSEPORT), so that a successor can start before its predecessor stops.
//
// A panic in a handler ends its connection, not the loop.
//
// # Not here
//
// TLS (wire/secure), protocols (wire/http1), time-outs (the codecs'), and
// systems without epoll.
package loop
