package proxy

import (
	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/wire"
)

// OnRequest is the descent: Program, listener, rule, filters, service.
func (x *exchange) OnRequest(data []byte, end bool) {
	defer x.rescue()
	x.begin()
	x.requestEnded = end
	if wire.Connects(&x.Exchange.Exchange) {
		x.tunnel()
		return
	}
	if x.challenged() {
		return
	}
	if why := x.match(); why != observe.ReasonNone {
		switch {
		case why == observe.NoRoute && x.goAbroad(data):
		case why == observe.Misdirected && x.Request.Minor < 2 && x.Peer.TLS != nil && x.Peer.TLS.Identity != "":
			x.turnAway(why)
		default:
			x.refuse(why)
		}
		return
	}
	x.rule.counts(x.w.proxy.opt.Registry, x.w.index).Begin()
	if !x.w.gate.Calm() && x.shed() {
		return
	}
	x.stamp()
	x.Request.Seal()
	if x.unwelcome() {
		x.reply()
		return
	}
	if x.rule.chain.OnRequest(&x.Exchange) == filter.Answer {
		x.reply()
		return
	}
	if m := x.w.proxy.opt.Mint; m != nil && x.listener.noun.Mesh == nil {
		m.OnRequest(&x.Exchange)
		if x.rule.leaves {
			x.Request.Remove(keyPassport) // it is for services of ours
		}
	}
	if why := x.choose(); why != observe.ReasonNone {
		x.refuse(why)
		return
	}
	if x.backend.chain != nil && x.backend.chain.OnRequest(&x.Exchange) == filter.Answer {
		x.reply()
		return
	}
	if x.rule.shape != nil || x.Slow != nil {
		x.beginShape(!end || len(data) > 0)
	}
	if len(x.Inward) > 0 {
		x.requestEnded = false
		x.in = x.w.pipe(x, x.Inward, false)
		x.in.feed(data, end, nil)
		return
	}
	x.forward(data, end)
}

// match finds listener and rule.
func (x *exchange) match() observe.Reason {
	if x.prog == nil {
		return observe.NoProgram
	}
	if x.door.slot >= len(x.prog.doors) || x.prog.doors[x.door.slot] == nil {
		return observe.PortRemoved
	}
	path, ok := route.Normalize(x.Request.Path, x.w.tmp[:0])
	if !ok {
		return observe.BadTarget
	}
	if len(path) != len(x.Request.Path) || &path[0] != &x.Request.Path[0] {
		x.w.tmp = path[:0]
		x.Request.Path = x.Request.Keep(path)
	}
	e := x.prog.doors[x.door.slot]
	l, host, why := e.find(&x.Exchange.Exchange)
	if why != observe.ReasonNone {
		if why == observe.OutboundPort {
			x.listener, x.Scheme, x.Listener = l, l.scheme, l.noun.Name
			_, x.detail = l.elsewhere(original(x.Peer))
		}
		return why
	}
	if s := x.Peer.TLS; s != nil && s.ServerName != "" && len(e.listeners) > 1 && l.noun.Mesh == nil {
		// A connection opened for one listener's certificate must not be used
		// for another's host (RFC 9110 section 7.4).
		if for_, ok := e.hosts.FindString(s.ServerName); ok && for_ != l {
			return observe.Misdirected
		}
	}
	x.listener = l
	if l.noun.Mesh != nil {
		x.tried.Only = l.instance(x.Peer)
	}
	x.Scheme, x.Port, x.Listener = l.scheme, x.Peer.Local.Port(), l.noun.Name
	if l.names != nil && !x.Peer.Original.IsValid() {
		if host, why = x.atPort(l, host); why != observe.ReasonNone {
			return why
		}
	}
	hit := &x.w.hit
	if !l.table.Find(&x.Request, host, hit) && !x.byAddress() {
		return observe.NoRoute
	}
	x.rule = l.rules[hit.Rule]
	x.Matched = hit.Matched
	for i, p := range hit.Params[:hit.N] {
		x.params[i] = filter.Param{Name: p.Name, Value: p.Value}
	}
	x.Params = x.params[:hit.N]
	return observe.ReasonNone
}

// choose takes one of the rule's backends, by weight.
func (x *exchange) choose() observe.Reason {
	r := x.rule
	if r.broken != observe.ReasonNone {
		return r.broken
	}
	if len(r.backends) == 0 {
		return observe.NoBackend
	}
	b := x.resume()
	switch {
	case b != nil:
	case len(r.backends) == 1:
		b = &r.backends[0]
	default:
		n := x.w.rnd.IntN(r.total) // of many heavy backends it is more than 32 bits
		for i := range r.backends {
			b = &r.backends[i]
			if n -= b.noun.Weight; n < 0 {
				break
			}
		}
	}
	if b.cluster == nil {
		return b.broken
	}
	x.backend = b
	return observe.ReasonNone
}

// OnRequestData is more of the body.
func (x *exchange) OnRequestData(data []byte, end bool) {
	if x.tunnelled != nil {
		x.tunnelled.OnRequestData(data, end)
		return
	}
	if x.in != nil {
		x.in.feed(data, end, nil)
		return
	}
	x.pass(data, end)
}

// pass passes on more of the body, or keeps it while no try can take it.
func (x *exchange) pass(data []byte, end bool) {
	x.requestEnded = x.requestEnded || end
	for _, m := range x.mirrors {
		m.data(data, end)
	}
	x.keep(data)
	if x.flowing {
		x.stir()
	}
	if x.client == nil {
		// Between two tries: what came is kept, and the client waits.
		x.hold()
		return
	}
	x.client.Data(data, end)
	if x.client.Buffered() > highWater {
		x.hold()
	}
	if end || x.held {
		x.patience()
	}
}

// OnRequestAbort ends everything: there is nobody to answer.
func (x *exchange) OnRequestAbort(why observe.Reason) {
	if x.tunnelled != nil {
		x.tunnelled.OnRequestAbort(why)
		return
	}
	if !x.live {
		return // it crashed, and the codec with it
	}
	x.Why = why
	if !x.answered {
		x.status = why.Info().Status
	}
	x.finish()
}

// hold pauses the client's body; OnRequestDrained or the next try lets it go on.
func (x *exchange) hold() {
	if !x.held && !x.requestEnded {
		x.held = true
		if x.in == nil || !x.in.ended {
			x.stream.Pause()
		}
	}
}

func (x *exchange) unhold() {
	if x.held {
		x.held = false
		x.stream.Resume()
	}
}
