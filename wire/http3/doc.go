// Package http3 speaks HTTP/3 (RFC 9114, with QPACK, RFC 9204) to clients.
// QUIC itself is github.com/quic-go/quic-go; what runs on its streams is a
// machine of this room, on the loops, as for the other versions of HTTP.
//
// # Words
//
// A link is a connection of QUIC, given to one loop for its life; a pipe is one
// of its streams: the goroutines that read and write it on one side, and the
// loop on the other. A session is the machine of one connection, on the loop; a
// stream is one exchange of it, and what the proxy holds; a side is a
// unidirectional stream of the client's. A carrier is a link as the session
// sees it, an outlet a pipe as a stream sees it, an inlet who hears of a pipe.
// A socket is a UDP socket with all connections that came by it.
//
// # Life
//
// QUIC shares one socket among all connections, and quic-go serves it with
// goroutines: one for the socket, two for each connection. A pipe adds one that
// reads until the request has ended, and one that writes while what is to be
// said waits for the client. What they have to tell gathers in the link, which
// posts one function for all of it. So the machine runs on the loop alone,
// without a lock, and is tested without QUIC.
//
// A socket outlives its listening until its last connection has ended, and is
// taken over by the next listening of the same address.
//
// # Rules
//
// Between the goroutines and the loop little waits: what was read up to
// mostIn, then the goroutine stops reading and QUIC's flow control holds the
// client; what is written up to wire.HighWater, then the proxy stops its
// source. quic-go gives a client a new stream in place of an old one only when
// the machine has forgotten that, so that no flood of resets outruns it.
//
// While the loop is behind (wire.Sorter), a pipe whose request is known has its
// turn by how much that matters (wire.Rank), and what it has to tell gathers until
// then: its bounds hold the client.
//
// Neither side keeps a compression table, and 0-RTT, which anybody can replay,
// is not accepted. That a request allocates nothing is not claimed here, as it
// is for HTTP/1.1 and HTTP/2.
//
// # Not here
//
// Datagrams and WebTransport, server push, connections to services.
package http3
