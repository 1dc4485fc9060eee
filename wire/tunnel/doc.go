// Package tunnel makes connections of exchanges: what an HTTP CONNECT (RFC 9110
// section 9.3.6) carries is a wire.Conn, at the side that asks and at the side
// that grants. HBONE, by which the mesh carries what is not HTTP, is that over
// HTTP/2 and mutual TLS.
//
// # Words
//
// A dialled tunnel is one that we have asked a proxy for, an accepted one is
// one that a proxy has asked us for.
//
// # Life
//
// Tunnels.Dial sends the CONNECT on a connection that a pool lends; the stream
// goes back to it when the tunnel ends. Tunnels.Accept takes a CONNECT that came;
// whoever it is for grants it by its first Resume or Write, or refuses it by
// Abort, once it is known whether the connection behind it stands.
//
// # Rules
//
// Each end is on the loop of its stream. Events come from the stream's, which
// come from the loop's top, so no method of a Conn calls its handler. Data are
// not copied here; the flow control of HTTP/2 is what holds a sender.
//
// # Not here
//
// Frames (wire/http2), pools (upstream), who may ask for what (proxy).
package tunnel
