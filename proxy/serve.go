package proxy

import (
	"net/netip"
	"sync/atomic"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// door is one loop's side of a port: codecs ask it where to put requests.
type door struct {
	worker  *worker
	slot    int
	closing atomic.Bool // the port is gone from the configuration
	newest  *conversation
	// alternative is what Alt-Svc says; nil without HTTP/3.
	alternative atomic.Pointer[[]byte]
}

// accept meets a new connection.
func (d *door) accept(port *port, c wire.Conn, over bool) {
	p := d.worker.proxy
	e := port.entrance.Load()
	switch {
	case over && e.listeners[0].side() == model.OutboundSide:
		p.opt.Registry.Refused(d.worker.index, observe.TooManyFromCaller)
		d.crowded(e.listeners[0].noun.Mesh.Workload, model.OutboundSide)
		c.Abort()
	case over && (e.secure || e.protocol.OfFlows() || e.protocol == model.Any):
		// A refusal could not be said, or not without a handshake, which the
		// bound is there to save.
		d.full()
		c.Abort()
	case over:
		d.full()
		e.codec(p, false).Refuse(c, observe.TooManyConnections)
	case e.intro != nil && e.intro.expected(c.Peer().Remote):
		d.meet(port, e, c)
	default:
		d.admit(port, e, c)
	}
}

// admit hands a connection, of which it is known who it is from, to what serves
// it.
func (d *door) admit(port *port, e *entrance, c wire.Conn) {
	p := d.worker.proxy
	switch {
	case e.protocol == model.Any:
		d.lead(e, c)
	case e.protocol.OfFlows():
		d.converse(port, e, c, netip.AddrPort{}, nil)
	case e.secure:
		port.secure.Secure(c, func(plain wire.Conn) {
			if p.forgot(plain.Peer()) {
				p.opt.Registry.Refused(d.worker.index, observe.ClientIdentity)
				plain.Abort()
				return
			}
			codec := e.codec(p, plain.Peer().TLS.Protocol == "h2")
			if !d.counted(e, plain.Peer()) {
				codec.Refuse(plain, observe.TooManyFromCaller)
				return
			}
			codec.Serve(plain, d, e.limits)
		})
	default:
		e.codec(p, false).Serve(c, d, e.limits)
	}
}

// codec is what speaks to a client; chosen says that its handshake chose
// HTTP/2.
func (e *entrance) codec(p *Proxy, chosen bool) wire.ServerCodec {
	if p.opt.HTTP2 != nil && (chosen || e.only2) {
		return p.opt.HTTP2
	}
	return p.opt.Server
}

func (d *door) full() {
	d.worker.proxy.opt.Registry.Refused(d.worker.index, observe.TooManyConnections)
}

// Begin lends an exchange for the next request of s.
func (d *door) Begin(s wire.ServerStream) (*wire.Exchange, wire.RequestSink) {
	x := d.worker.exchange()
	x.door, x.stream = d, s
	x.Peer = s.Peer()
	return &x.Exchange.Exchange, x
}

// Refused records a request that the codec answered by itself.
func (d *door) Refused(_ *wire.Exchange, sink wire.RequestSink, why observe.Reason) {
	x := sink.(*exchange)
	x.Why = why
	if !x.live {
		x.begin()
	}
	switch {
	case x.answered:
	case x.RPC != wire.NoRPC && x.Request.Minor >= 2:
		x.status = 200 // the codec has answered in gRPC
	default:
		x.status = why.Info().Status
	}
	x.finish()
}

// Gone is told when a connection is over; nothing is kept for it.
func (d *door) Gone(wire.ServerStream) {}

// Draining says whether connections should end with their next response.
func (d *door) Draining() bool {
	return d.closing.Load() || d.worker.proxy.draining.Load() || d.worker.parting
}
