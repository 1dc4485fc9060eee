package proxy

import (
	"fmt"
	"net/netip"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// keyAltSvc names the field that tells clients where else they are served
// (RFC 7838).
var keyAltSvc = wire.KeyOf("Alt-Svc")

// alternate sees that port has a UDP side of the same number where e wants
// one, and else none. One that cannot be had is a Problem; TCP serves all the
// same. It comes after the ports that nobody wants any more are closed: theirs
// may be in the way.
func (p *Proxy) alternate(port *port, e *entrance) {
	before := port.troubles.without(nil)
	if !e.http3 || p.opt.QUIC == nil || !e.secure {
		port.noQUIC()
		return
	}
	bounds := wire.QUICBounds{MaxConns: e.maxConns, Handshake: e.tls.Handshake}
	if port.quic != nil {
		port.quic.SetBounds(bounds)
		return
	}
	addr := netip.AddrPortFrom(port.addr.Addr(), port.socket.open.Addr().Port())
	open, err := p.opt.QUIC.ListenQUIC(addr, wire.QUICOptions{
		Security: port.secure, Bounds: bounds,
		Accept: func(l wire.Loop) (wire.Server, *wire.Limits) {
			return port.doors[l.Index()], port.entrance.Load().limits
		},
		Failed: func(why observe.Reason, remote netip.AddrPort, err error) {
			p.failed("quic", port, why, remote, err)
		},
	})
	if err != nil {
		noun := e.listeners[0].noun
		problem := &model.Problem{
			Origin: noun.Origin, Severity: model.Broken, Code: "not-opened",
			Message: "listener " + noun.Name + ": HTTP/3: " + err.Error(), Hint: "HTTP/3 is not served; the other versions are",
		}
		port.troubles.without(problem)
		if before != nil && *before == *problem {
			return // tried again
		}
		p.opt.Log.Error(problem.String(), "code", problem.Code)
		return
	}
	port.quic = open
	port.setAlternative(fmt.Appendf(nil, `h3=":%d"; ma=86400`, addr.Port()))
}

// noQUIC closes the UDP side. Its connections end with their next response.
func (p *port) noQUIC() {
	if p.quic != nil {
		p.setAlternative(nil)
		p.quic.Close()
		p.quic = nil
	}
}

func (p *port) setAlternative(value []byte) {
	for _, d := range p.doors {
		if value == nil {
			d.alternative.Store(nil)
		} else {
			d.alternative.Store(&value)
		}
	}
}

// advertise tells the client of HTTP/3 where the door has it. What the service
// says of itself would be taken for the gateway's.
func (x *exchange) advertise() {
	if value := x.door.alternative.Load(); value != nil && x.Request.Minor < 3 && x.status != 101 {
		x.Response.Set(keyAltSvc, *value)
	}
}
