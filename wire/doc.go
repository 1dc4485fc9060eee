// Package wire is the contract between bytes and meaning: who speaks (Peer),
// what is said (Exchange), over what (Conn), driven by whom (Driver, Loop),
// and in which language (ServerCodec, ClientCodec).
//
// # Words
//
// A Driver owns the event loops; a Loop owns connections for life. A Conn is
// one byte stream. A codec is a machine on top of it that turns bytes into the
// events of an Exchange and back. A Sink receives events, a Stream is told
// what to say: the codec of the client's side gives a ServerStream and feeds a
// RequestSink, the codec of the service's side gives a ClientStream and feeds
// a ResponseSink. The proxy is the sink of both. A Forwarder is a Conn that can
// pass on what it receives unseen; a DatagramConn is a socket for datagrams.
// What a connection may begin with, a ProxyHeader or a ClientHello's server
// name, is read here, by functions without state.
//
// # Life
//
// The driver accepts a connection and calls the Acceptor, on the connection's
// loop, which sets a ConnHandler (perhaps through wire/secure). The server
// codec asks its Server to Begin an Exchange for each request, fills
// Exchange.Request, and calls the RequestSink. Once the response has ended the
// codec calls that sink no more and the Exchange is the proxy's alone.
//
// # Rules
//
// Everything about a Conn and its codec happens on its Loop; the only method
// that any goroutine may call is Loop.Post. Bytes handed to a callback are
// lent until it returns. No method of a Conn or Stream calls back from within:
// what follows from it (closed, drained) is told later, from the loop's top.
// On the request path nothing allocates and nothing locks.
//
// # Not here
//
// Sockets (wire/loop), TLS (wire/secure), HTTP (wire/http1). wire never
// imports model.
package wire
