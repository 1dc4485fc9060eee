package proxy

import (
	"bytes"
	"context"
	"net/netip"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// strangers is what requests to what is no service are counted under.
const strangers = "mesh/strangers"

// abroad is a request of an explicit client on its way to what is no service: on
// a connection of its own, passed on as it is. It is the owner of that.
type abroad struct {
	x    *exchange // nil when it has ended
	at   netip.AddrPort
	more []netip.AddrPort // to be tried
}

// newStrangers makes the rule of such requests.
func newStrangers(loops int) *rule {
	r := &rule{noun: &model.Route{Name: strangers}, chain: &filter.Chain{}, traffic: make([]*observe.Traffic, loops), retry: compileRetry(nil), idle: model.DefaultStreamIdle, quiet: model.DefaultTunnelIdle}
	r.backends = []backend{{noun: &model.Backend{Service: strangers}, traffic: make([]*observe.Traffic, loops)}}
	return r
}

// byAddress finds the rule of an explicit request that names a service's address,
// as the connection would that a captured workload makes to it.
func (x *exchange) byAddress() bool {
	if x.explicit() == nil {
		return false
	}
	host, number := place(x.Request.Authority)
	ip, err := netip.ParseAddr(string(host))
	if err != nil {
		return false
	}
	at := netip.AddrPortFrom(ip.Unmap(), number)
	t := x.listener.targets[at]
	if t == nil || !x.listener.table.Find(&x.Request, t.host, &x.w.hit) {
		return false
	}
	if t.noun.Instance {
		x.tried.Only = at
	}
	return true
}

// place takes apart the authority of a request of http.
func place(authority []byte) (host []byte, number uint16) {
	if i := bytes.LastIndexByte(authority, ':'); i < 0 || authority[len(authority)-1] == ']' || i == len(authority)-1 {
		authority = append(bytes.Clone(bytes.TrimSuffix(authority, []byte(":"))), ":80"...)
	}
	return split(authority)
}

// goAbroad serves an explicit request that no rule is for, and says whether it
// did.
func (x *exchange) goAbroad(data []byte) bool {
	p := x.w.proxy
	if x.listener == nil || x.explicit() == nil || p.opt.Client == nil || len(x.Request.Authority) == 0 {
		return false
	}
	l := x.listener
	host, number := place(x.Request.Authority)
	if _, known := l.names.At(host, number, x.w.room()); known {
		return false // a service that takes no requests
	}
	if !l.noun.Mesh.Strangers {
		x.refuse(observe.OutboundRefused)
		return true
	}
	x.claimless()
	x.rule, x.backend = p.strangers, &p.strangers.backends[0]
	x.rule.counts(p.opt.Registry, x.w.index).Begin()
	x.backend.counts(p.opt.Registry, x.w.index).Begin()
	x.tries, x.asked = 1, x.w.loop.Now()
	a := &abroad{x: x}
	x.away = a
	x.whole = true
	x.keep(data)
	if ip, err := netip.ParseAddr(string(host)); err == nil {
		a.more = []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), number)}
		a.depart()
		return true
	}
	x.hold()
	name := string(bytes.TrimSuffix(host, []byte(".")))
	p.lookups.run(x.w.loop, func(ctx context.Context) error {
		addrs, err := p.opt.Lookup(ctx, name)
		for _, ip := range addrs {
			a.more = append(a.more, netip.AddrPortFrom(ip.Unmap(), number))
		}
		return err
	}, func(err error) {
		if x := a.x; x != nil {
			defer x.rescue()
			if err != nil || len(a.more) == 0 {
				x.detail = err
				x.fail(observe.OutboundUnknown)
				return
			}
			a.depart()
		}
	})
	return true
}

// depart tries the next address.
func (a *abroad) depart() {
	x := a.x
	a.at, a.more = a.more[0], a.more[1:]
	if x.listener.targets[a.at] != nil {
		x.fail(observe.OutboundUnknown) // a workload's or a service's, where nothing is plaintext
		return
	}
	loop := x.w.loop
	c := x.w.proxy.opt.Client.Open(a, func(h wire.ConnHandler) wire.Conn { return loop.Dial(a.at, h) })
	x.tryTimer.Set(loop, model.DefaultConnect)
	x.client = c.Send(&x.Exchange.Exchange, x, x.replay, x.requestEnded)
	if x.whole = len(x.replay) <= keepReplay; !x.whole {
		x.letGo()
	}
	if x.client.Buffered() > highWater {
		x.hold()
	} else {
		x.unhold()
	}
}

// another tries the next address after one to which no connection could be
// made.
func (a *abroad) another(f wire.Failure) bool {
	if !f.Unsent || len(a.more) == 0 || !a.x.whole {
		return false
	}
	a.x.tries++
	a.depart()
	return true
}

// OnOpen, OnIdle and OnGone are wire.ClientOwner's.
func (a *abroad) OnOpen(wire.ClientConn) {
	if a.x != nil {
		a.x.tryTimer.Stop()
	}
}
func (a *abroad) OnIdle(c wire.ClientConn)      { c.Close() }
func (a *abroad) OnGone(wire.ClientConn, error) {}
