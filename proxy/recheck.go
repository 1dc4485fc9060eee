package proxy

import (
	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/wire"
)

// asked is how many exchanges are asked about in one turn of a loop.
const asked = 256

// reask has policies asked about what runs, where those of prog are others than
// those of before, which may be nil.
func (p *Proxy) reask(before, prog *Program) {
	for _, port := range p.ports {
		if port == nil || prog.doors[port.slot] == nil {
			continue
		}
		e := prog.doors[port.slot]
		if p.opt.Authorize == nil && e.listeners[0].noun.Mesh == nil {
			continue
		}
		for _, d := range port.doors {
			d.worker.loop.Post(func() { d.recheck(prog) })
		}
	}
	if before == nil || prog.guardedAs(before) {
		return
	}
	for _, w := range p.workers {
		w.loop.Post(w.reask)
	}
}

// guardedAs says whether all doors let in whom those of o do. Of a door that o
// has not, exchanges may run that began before o.
func (prog *Program) guardedAs(o *Program) bool {
	for name, l := range prog.byName {
		switch was := o.byName[name]; {
		case was == nil && len(l.guards) == 0 && l.side() != model.Plaintext:
		case was == nil || !l.guardedAs(was), l.side() == model.Plaintext && l.noun != was.noun:
			return false
		}
	}
	return true
}

// shuts says whether p is a caller without mutual TLS of what is strict now.
func (l *listener) shuts(p *wire.Peer) bool {
	if l.side() != model.Plaintext {
		return false
	}
	t := l.targets[original(p)]
	return t != nil && t.noun.Refused
}

func (d *door) recheck(prog *Program) {
	for k := d.newest; k != nil; {
		older := k.older // k may end
		k.recheck(prog)
		k = older
	}
}

// recheck ends a conversation that would not be let in any more. One whose
// workload has left may go on for the drain time.
func (k *conversation) recheck(prog *Program) {
	if k.listener == nil || k.ended {
		return
	}
	now := prog.byName[k.listener.noun.Name]
	if now == nil {
		k.expire()
		return
	}
	if k.stranger.IsValid() {
		if !now.noun.Mesh.Strangers {
			k.fail(observe.OutboundRefused)
		}
		return
	}
	if k.guard == nil {
		return
	}
	peer := k.client.conn.Peer()
	if now.shuts(peer) {
		k.fail(observe.PlaintextRefused)
		return
	}
	guard := now.guardian(peer)
	if guard == nil {
		k.expire()
		return
	}
	was := k.guard
	k.guard = guard
	if d := guard.again(was, peer, k.sni(), nil); d.Refused() {
		k.detail = d.Detail
		k.fail(d.Why)
	}
}

// again asks l's policies, but for those that was has too, about what was let in
// by these. x gives the request, where it is one; nil gives none.
func (l *listener) again(was *listener, p *wire.Peer, sni string, x func() *filter.Exchange) filter.Decision {
	for i, g := range l.guards {
		if was != nil && i < len(was.guards) && g.Same(was.guards[i]) {
			continue
		}
		var r *filter.Exchange
		if x != nil {
			r = x()
		}
		if d := g.Recheck(p, l.inner(), sni, r); d.Refused() {
			return d
		}
	}
	return filter.Decision{}
}

// reask begins to ask about the exchanges of a loop, a few in each turn, and
// ends connections of which nothing can come any more.
func (w *worker) reask() {
	// A place in the list, which moves on: those before it have been asked about,
	// or are newer than the policies.
	if w.place == nil {
		w.place = &exchange{w: w}
	}
	if w.walking {
		w.place.leave()
	}
	w.place.newer = nil
	w.place.enter()
	if !w.walking {
		w.walking = true
		w.walk()
	}
	if codec, ok := w.proxy.opt.HTTP2.(wire.Drainer); ok {
		prog := w.proxy.program.Load()
		codec.Drain(w.loop, func(s wire.Server, p *wire.Peer) bool {
			d, ours := s.(*door)
			return ours && prog.bars(d, p)
		})
	}
}

func (w *worker) walk() {
	for range asked {
		x := w.place.older
		if x == nil {
			w.place.leave()
			w.walking = false
			return
		}
		w.place.leave()
		w.place.follow(x)
		x.recheck()
	}
	w.loop.Post(w.walk)
}

// recheck ends an exchange that would not be let in any more. One whose door is
// gone goes on as its connection does.
func (x *exchange) recheck() {
	defer x.rescue()
	if !x.live || x.listener == nil || x.Why != observe.ReasonNone { // then it is being answered
		return
	}
	was, now := x.listener, x.w.proxy.program.Load().byName[x.listener.noun.Name]
	if now == nil || now == was {
		return
	}
	x.listener = now
	if now.shuts(x.Peer) {
		x.fail(observe.PlaintextRefused)
		return
	}
	guard := now.guardian(x.Peer)
	if guard == nil {
		return
	}
	if d := guard.again(was.guardian(x.Peer), x.Peer, "", x.admitted); d.Refused() {
		x.expel(d)
	}
}

// admitted gives the request as it was when policies let it in: filters and
// codecs may have changed it since. Who it is made for is what was proved then.
func (x *exchange) admitted() *filter.Exchange {
	w := x.w
	if w.again == nil {
		w.again = &filter.Exchange{}
	}
	a, h := w.again, &w.again.Request
	h.CopySealed(&x.Request)
	h.Method, h.Authority, h.Query = x.method, x.host, x.query
	if path, ok := route.Normalize(x.path, w.tmp[:0]); ok { // as match has done
		h.Path = h.Keep(path)
	}
	a.Peer, a.Caller, a.RPC, a.GRPC = x.Peer, x.Caller, x.RPC, x.RPC == wire.GRPC
	a.Scheme, a.Port, a.Listener = x.Scheme, x.Port, x.Listener
	a.Body, a.Why, a.Detail = nil, observe.ReasonNone, nil
	return a
}

// expel ends the exchange, which d refuses, in the way of its protocol: with the
// answer, by the trailers of a call, at the end of a stream of events (whose
// client comes back and is answered then), or else by a reset.
func (x *exchange) expel(d filter.Decision) {
	a := x.w.again // holds the answer
	x.Detail = d.Detail
	switch {
	case !x.answered:
		x.w.shelf.Lend(&x.Response)
		x.Response.CopyFrom(&a.Response)
		x.Body, x.Why = a.Body, d.Why
		x.reply()
	case x.RPC != wire.NoRPC:
		x.cancel()
		x.Why = d.Why
		a.Response.Remove(wire.KeyContentType)
		x.OnResponseTrailers(&a.Response)
	default:
		x.cut(d.Why)
	}
}

// bars says whether no request that p could send to d would be let in.
func (prog *Program) bars(d *door, p *wire.Peer) bool {
	if d.slot >= len(prog.doors) || prog.doors[d.slot] == nil {
		return false
	}
	e := prog.doors[d.slot]
	if e.listeners[0].bySNI() {
		l, ok := e.hosts.FindString(p.TLS.ServerName)
		return ok && l.bars(p)
	}
	for _, l := range e.listeners {
		if !l.bars(p) {
			return false
		}
	}
	return true
}

func (l *listener) bars(p *wire.Peer) bool {
	if l.shuts(p) {
		return true
	}
	if g := l.guardian(p); g != nil {
		for _, a := range g.guards {
			if a.Bars(p, g.inner()) {
				return true
			}
		}
	}
	return false
}
