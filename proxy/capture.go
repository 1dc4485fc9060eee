package proxy

import (
	"net/netip"
	"slices"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// lead finds out where a captured connection goes and what it speaks. A
// declared protocol is believed.
func (d *door) lead(e *entrance, c wire.Conn) {
	w, l := d.worker, e.listeners[0]
	at := original(c.Peer())
	t := l.targets[at]
	switch {
	case (l.noun.Mesh.Reach != nil || l.noun.Mesh.Own) && !at.IsValid():
		d.lend(e, c)
	case t == nil && at.IsValid() && l.virtual(at):
		d.misled(e, c, at)
	case t == nil && at.IsValid():
		d.carry(l, c, nil, func(k *conversation) { k.stranger = at })
	case t == nil && l.side() != model.OutboundSide:
		w.proxy.opt.Registry.Refused(w.index, observe.PlaintextRefused)
		c.Abort()
	case t == nil && len(l.noun.Mesh.Pass) == 0:
		// It was not captured: it is not the workload.
		w.proxy.opt.Log.Debug("a connection was refused that would have called as somebody else", "workload", l.noun.Mesh.Workload, "remote", c.Peer().Remote)
		w.proxy.opt.Registry.Refused(w.index, observe.OutboundUnproven)
		c.Abort()
	case t == nil:
		// An explicit client says in HTTP where it wants to go, and may take its
		// time: there is no server that could speak first.
		e.codec(w.proxy, false).Serve(c, d, e.explicit)
	case t.noun.Refused:
		caller := c.Peer().Remote.Addr().Unmap().String()
		if w.proxy.tallies.unproven.Add(t.noun.Service, caller) {
			w.proxy.opt.Log.Warn("a caller without mutual TLS was refused (mtls: strict)", "service", t.noun.Service, "caller", caller)
		}
		d.carry(l, c, nil, func(k *conversation) { k.name = t.noun.Host }) // its record says why not
	default:
		if l.side() == model.Plaintext {
			caller := c.Peer().Remote.Addr().Unmap().String()
			if w.proxy.tallies.plaintext.Add(t.noun.Service, caller) {
				w.proxy.opt.Log.Warn("a caller without mutual TLS, which mtls: strict would refuse", "service", t.noun.Service, "caller", caller)
			}
		}
		switch t.noun.Protocol {
		case model.AppTCP:
			d.carry(l, c, nil, func(k *conversation) { k.name = t.noun.Host })
		case model.AppHTTP, model.AppGRPC:
			e.codec(w.proxy, false).Serve(c, d, e.limits)
		default:
			d.detect(e, c, t)
		}
	}
}

// carry begins a conversation; held is what the client has sent, lent.
func (d *door) carry(l *listener, c wire.Conn, held []byte, fill func(*conversation)) {
	k := &conversation{door: d, w: d.worker, listener: l}
	k.began = d.worker.loop.Now()
	fill(k)
	k.begin(c, held)
}

// detect waits for the first bytes of a connection to t, for as long as that
// cannot hurt a server that speaks first.
func (d *door) detect(e *entrance, c wire.Conn, t *target) {
	l := e.listeners[0]
	d.hear(e, c, func() { d.undeclared(l, t) }, func(held []byte, eof bool) {
		// Who calls by plaintext is known to nobody.
		wary := l.side() == model.Plaintext
		d.carry(l, c, held, func(k *conversation) { k.name, k.early, k.wary = t.noun.Host, eof, wary })
	})
}

// hear serves HTTP, and has other do what is to be done with other bytes, or with
// none; silent is called before where nothing came.
func (d *door) hear(e *entrance, c wire.Conn, silent func(), other func(held []byte, eof bool)) {
	w := d.worker
	f := &first{door: d, conn: c, within: w.proxy.opt.Detect}
	settle := func(s wire.Spoken, held []byte, eof bool) {
		f.end()
		switch {
		case s == wire.SpeaksHTTP1 || s == wire.SpeaksHTTP2:
			if eof {
				c.Close() // a part of a request
				return
			}
			handOver(c, held, func(c wire.Conn) { e.codec(w.proxy, s == wire.SpeaksHTTP2).Serve(c, d, e.limits) })
		default:
			other(held, eof)
		}
	}
	f.read = func(b []byte) bool {
		s := wire.Detect(b, false)
		if s == wire.Undecided {
			return false
		}
		settle(s, b, false)
		return true
	}
	f.silent = func(held []byte, eof bool) {
		if len(held) == 0 {
			silent()
		}
		settle(wire.Detect(held, true), held, eof)
	}
	f.listen(e, nil)
}

// undeclared counts a client that waits for its server, and tells once what to
// declare.
func (d *door) undeclared(l *listener, t *target) {
	p := d.worker.proxy
	if p.tallies.undeclared.Add(t.noun.Service, l.noun.Mesh.Workload) {
		p.opt.Log.Warn("each connection waits to see who speaks first: declare protocol: tcp for the service", "service", t.noun.Service, "workload", l.noun.Mesh.Workload, "waits", p.opt.Detect)
	}
}

// admitted asks what the mesh says to the conversation.
func (k *conversation) admitted() observe.Reason {
	if k.listener == nil || k.barred != observe.ReasonNone {
		return k.barred
	}
	m := k.listener.noun.Mesh
	if k.stranger.IsValid() {
		if !m.Strangers {
			return observe.OutboundRefused
		}
		return observe.ReasonNone
	}
	if m != nil && m.Side == model.OutboundSide {
		return observe.ReasonNone // whoever is called decides
	}
	if t := k.listener.targets[original(k.client.conn.Peer())]; t != nil && t.noun.Refused {
		return observe.PlaintextRefused
	}
	k.guard = k.listener.guardian(k.client.conn.Peer())
	if k.guard == nil {
		return observe.PolicyDenied
	}
	for _, g := range k.guard.guards {
		if d := g.Connection(k.client.conn.Peer(), k.guard.inner(), k.sni()); d.Refused() {
			k.detail = d.Detail
			return d.Why
		}
	}
	return observe.ReasonNone
}

// lets says whether policies let a client of udp in.
func (l *listener) lets(c client) bool {
	if len(l.guards) == 0 {
		return true
	}
	peer := &wire.Peer{Remote: c.remote, Local: netip.AddrPortFrom(c.local, l.noun.Port)}
	for _, g := range l.guards {
		if d := g.Connection(peer, l.inner(), ""); d.Refused() {
			return false
		}
	}
	return true
}

// guardedAs says whether the same policies hold as for o.
func (l *listener) guardedAs(o *listener) bool {
	return len(l.guards) == 0 && len(o.guards) == 0 ||
		slices.EqualFunc(l.guards, o.guards, func(a, b filter.Authorizer) bool { return a.Same(b) })
}

// sni is what the client asks for by TLS that is not ended here.
func (k *conversation) sni() string {
	if k.listener.noun.Mesh != nil || k.client.conn.Peer().TLS != nil {
		return ""
	}
	return k.name
}
