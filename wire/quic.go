package wire

import (
	"net/netip"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// QUICServer serves HTTP/3 on UDP; wire/http3 implements it. QUIC is a
// transport of its own, with its own TLS and its own streams, so what a
// Driver, a Security and a ServerCodec are to TCP is one here.
type QUICServer interface {
	// ListenQUIC binds addr, whose port is not 0, and serves until the listening
	// is closed. The error names the address.
	ListenQUIC(addr netip.AddrPort, opt QUICOptions) (QUICListening, error)
}

// QUICOptions of one listening address.
type QUICOptions struct {
	// Security lends its certificates.
	Security ServerSecurity
	// Bounds can be replaced while listening.
	Bounds QUICBounds
	// Accept is asked for each connection once it stands, on the loop that its
	// requests are served on: where they go, and what bounds them.
	Accept func(l Loop) (Server, *Limits)
	// Failed is told of each connection that did not come to stand, on any
	// goroutine: refused, or its handshake failed.
	Failed func(why observe.Reason, remote netip.AddrPort, err error)
}

// QUICBounds bound a listening address.
type QUICBounds struct {
	MaxConns  int           // connections open at once; 0 is no bound
	Handshake time.Duration // 0 is 10 s; negative none
}

// QUICListening is an open listening address.
type QUICListening interface {
	// Conns is how many connections are open now.
	Conns() int
	// SetBounds replaces the bounds, for connections to come.
	SetBounds(b QUICBounds)
	// Close refuses new connections from now on, and tells those that stand that
	// they get no new requests (GOAWAY); each ends with its last response.
	Close()
}
