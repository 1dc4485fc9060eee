package proxy

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/naming"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// room is where a name is looked up.
func (w *worker) room() []byte {
	if cap(w.tmp) < naming.Longest {
		w.tmp = make([]byte, 0, naming.Longest)
	}
	return w.tmp[:0]
}

// atPort says whether an explicit request is for what is called at its port, and
// by which host its table knows that.
func (x *exchange) atPort(l *listener, host []byte) ([]byte, observe.Reason) {
	to, wrong := l.names.Authority(x.Request.Authority, x.w.room())
	if x.detail = wrong; wrong != nil {
		return nil, observe.OutboundPort
	}
	if t := l.targets[to]; t != nil {
		host = t.host
	}
	return host, observe.ReasonNone
}

// virtual says whether an address is a service's own, which nobody has.
func (l *listener) virtual(at netip.AddrPort) bool {
	return l.side() == model.OutboundSide && l.targets[netip.AddrPortFrom(at.Addr(), 0)] != nil
}

// elsewhere says at which ports the service is called whose own address this is.
func (l *listener) elsewhere(at netip.AddrPort) (service string, wrong error) {
	var ports []uint16
	for a, t := range l.targets {
		if a.Addr() == at.Addr() && a.Port() != 0 {
			if ports = append(ports, a.Port()); service == "" || t.noun.Service < service {
				service = t.noun.Service // of several ports the first
			}
		}
	}
	namespace, host, _ := model.HostOf(service)
	if namespace != model.DefaultNamespace {
		host += "." + namespace
	}
	return service, naming.Wrong(host, ports, at.Port())
}

// misled refuses a captured connection to a service at a port at which it is not
// called. Whoever speaks HTTP is told which is right. Passed on it would wait for
// an address that nobody has.
func (d *door) misled(e *entrance, c wire.Conn, at netip.AddrPort) {
	l, p := e.listeners[0], d.worker.proxy
	service, wrong := l.elsewhere(at)
	if p.tallies.misled.Add(service, l.noun.Mesh.Workload) {
		p.opt.Log.Warn("a service is called at a wrong port", "workload", l.noun.Mesh.Workload, "port", at.Port(), "right", wrong)
	}
	d.hear(e, c, func() {}, func([]byte, bool) { d.bar(l, c, at.String(), observe.OutboundPort, wrong) })
}

// detailed puts into the answer that refuse has made what of it is not the same
// each time (RFC 9457 section 3.1.4). Clients of gRPC get the same as before.
func (x *exchange) detailed() {
	body, ok := bytes.CutSuffix(x.Body, []byte("}\n"))
	if !ok || x.detail == nil {
		return
	}
	body = append(bytes.Clone(body), `,"detail":`...)
	body = append(strconv.AppendQuoteToASCII(body, x.detail.Error()), "}\n"...)
	x.Body, x.Response.Length = body, int64(len(body))
}
