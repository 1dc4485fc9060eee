package wire

import (
	"errors"
	"net/netip"

	"github.com/naru-mesh/naru/observe"
)

// A CONNECT (RFC 9110 section 9.3.6; HBONE is that over HTTP/2 and mutual TLS)
// is an Exchange whose method is CONNECT and whose Upgrade is set; Authority is
// where it leads. It is granted by 101 as other upgrades are, and then the ends
// of its directions are independent: the stream, and the exchange with it, are
// over when both sides have ended, when the proxy resets or cancels, or when an
// abort is told.

// Connects says whether x asks for a tunnel by CONNECT.
func Connects(x *Exchange) bool { return x.Upgrade != nil && string(x.Request.Method) == "CONNECT" }

// Connect makes x ask for a tunnel to authority (host:port).
func (x *Exchange) Connect(authority string) {
	h := &x.Request
	h.Reset()
	h.Minor = 2
	h.Method = h.Keep([]byte("CONNECT"))
	h.Authority = h.Keep([]byte(authority))
	h.Length = -1
	x.Upgrade = h.Method
}

// Tunneler makes connections of exchanges that are CONNECTs; wire/tunnel
// implements it.
type Tunneler interface {
	// Dial asks for a tunnel to authority on c, which has room. The Conn is as
	// one of Loop.Dial: a tunnel that is refused, and a c that does not come to
	// stand, are a *DialError with Addr addr.
	Dial(c ClientConn, l Loop, addr netip.AddrPort, authority string, h ConnHandler) Conn
	// Accept makes a Conn of a CONNECT that has come, and the sink for what else
	// does. It is granted when the Conn is first resumed or written to;
	// aborted before that it is answered with status 503, and refused (Refuser)
	// with that or, by a policy, 403, which is all that a proxy wants to know.
	// explain answers with the reason's own status and document instead. over is
	// called once, when neither the Conn nor the codec has to do with x any more.
	// What the client sends is held until the Conn has been resumed.
	Accept(x *Exchange, s ServerStream, explain bool, over func()) (Conn, RequestSink)
}

// Refuser is a Conn that can say why before it is granted, as an accepted
// tunnel can: Refuse takes the place of Abort. Afterwards it does that.
type Refuser interface{ Refuse(why observe.Reason) }

// ErrStale is wrapped by a Tunneler's errors where a connection that had served
// before ended before it could know of the tunnel: on a new one it cannot happen
// again.
var ErrStale = errors.New("the connection to the proxy was closed meanwhile")
