package upstream

import (
	"errors"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Lease is a connection, or a socket for datagrams, to an endpoint that one
// flow has for itself: it comes from no pool and goes to none. It belongs to its
// loop.
type Lease struct {
	pool   *pool
	holder Holder
	timer  wire.Timer // bounds the connect
	picked time.Duration
	// newer and older are its neighbours among those of the pool.
	newer, older *Lease

	opening bool
	counted bool // in Endpoint.inflight
	bounded bool // in Cluster.running
	told    bool // how it went
	ended   bool
	// tunnel: it is a stream of a connection of the pool, which counts it.
	tunnel bool
	// Fresh asks for a tunnel on a connection that has not served before.
	Fresh bool
	// Chosen is why its endpoint was.
	Chosen Choice
}

// Holder is who has a Lease.
type Holder interface {
	// OnSlow: the connection does not stand within the service's connect time.
	// The holder gives it up.
	OnSlow()
	// OnRemoved: the endpoint is configured no more. The connection may go on
	// for as long as its holder likes.
	OnRemoved()
}

// Lease chooses an endpoint for a connection of the holder's own, as Pick does
// for a request: of the same plan, by the same health; a is lent. The holder dials by
// Dial, says what becomes of that by Stands or Failed, and ends the Lease in
// any case.
func (c *Cluster) Lease(l wire.Loop, a *Ask, holder Holder) (*Lease, observe.Reason) {
	p := c.plan.Load()
	i := l.Index()
	of := *a
	of.flow = true
	var ep *Endpoint
	probes := false
	if p.out != nil {
		if ep = c.probe(p, l.Now(), &of); ep != nil {
			of.Chosen, probes = Probed, true
		}
	}
	if ep == nil {
		ep = p.choose(&c.cursors[i], l.Now(), &of)
	}
	if ep == nil {
		return nil, p.none
	}
	pl := c.pool(ep, p.set, l)
	pl.set = p.set
	// A tunnel is a stream of a connection, which is bounded by what it carries.
	if ep.tunnels == nil {
		if met := pl.reserve(false); met != NoLimit {
			if probes {
				ep.unprobed(l.Now())
			}
			return nil, c.refuse(a, met)
		}
	}
	if p.panics && ep.ill.Load() {
		pl.panicked.Add(1)
	}
	c.chose(i, p, ep, &of)
	k := pl.lease(holder)
	k.Chosen = of.Chosen
	return k, observe.ReasonNone
}

func (p *pool) lease(holder Holder) *Lease {
	k := &Lease{pool: p, holder: holder, picked: p.loop.Now(), opening: true, tunnel: p.ep.tunnels != nil}
	k.timer.Handler = k
	if !k.tunnel {
		p.picks.Add(1)
		p.untold.Add(1)
		p.connects.Add(1)
		p.open.Add(1)
		p.opening.Add(1)
		p.connecting(1)
		if p.set.balance.counted() {
			k.counted = true
			p.ep.inflight.Add(1)
		}
		if p.set.bound > 0 {
			k.bounded = true
			p.ep.bears(1)
		}
	}
	k.older = p.leases
	if p.leases != nil {
		p.leases.newer = k
	}
	p.leases = k
	if p.set.connect > 0 {
		p.loop.Arm(&k.timer, p.set.connect)
	}
	return k
}

// Endpoint is what was chosen.
func (k *Lease) Endpoint() *Endpoint { return k.pool.ep }

// Dial starts the connection, with the service's TLS if it has any; to an
// endpoint of the mesh a tunnel on a connection of the pool.
func (k *Lease) Dial(h wire.ConnHandler) wire.Conn {
	ep := k.pool.ep
	if k.tunnel {
		return ep.tunnels.Dial(k.pool.lendUntold(k.pool.set, k.Fresh), k.pool.loop, ep.addr, ep.inner, h)
	}
	return ep.raw.Dial(k.pool.loop, ep.addr, h)
}

// lendUntold lends for what nobody tells of.
func (p *pool) lendUntold(set *settings, fresh bool) wire.ClientConn {
	p.untold.Add(1)
	conn, _ := p.lend(set, fresh, true, false)
	return conn
}

// Stands says that the connection can be used.
func (k *Lease) Stands() {
	if k.opening {
		k.opened()
	}
	k.pool.ep.connected()
	k.pool.flowed(k.picked, works)
}

// Heard says that the first byte has come from the endpoint: it works. Broke says
// that the connection was reset before one has. Of the two one counts, once, as the
// answer to a request does; how long it took says nothing, as the client may have to
// speak first.
func (k *Lease) Heard() { k.tell(Answered, works) }

// Broke: see Heard.
func (k *Lease) Broke() { k.tell(Broken, fails) }

func (k *Lease) tell(o Outcome, v verdict) {
	if k.told {
		return
	}
	k.told = true
	p := k.pool
	p.results[o].Add(1)
	p.untold.Add(^uint64(0))
	if c := p.ep.cluster; c != nil {
		c.sees(p.loop.Now(), p, v)
	}
	p.flowed(k.picked, v)
}

// Unconnected says that nothing is going to stand, which is how datagrams are
// sent: nobody is waited for. An answer is a reason to call Stands all the same.
func (k *Lease) Unconnected() {
	if k.opening {
		k.opened()
	}
}

// Failed says that there will be no connection, and gives the reason. The
// endpoint stands aside for a while. err may be nil where it took too long.
func (k *Lease) Failed(err error) observe.Reason {
	if k.tunnel {
		return k.noTunnel(err)
	}
	i := connectFailure(err, err == nil)
	if i < 0 {
		i = 2 // something else went wrong on the way
	}
	p := k.pool
	p.failed[i].Add(1)
	p.connectFailed()
	p.flowed(k.picked, fails)
	k.End()
	return connectReasons[i]
}

// noTunnel is Failed for a tunnel. That the pool has no connection the pool has
// counted; what the proxy at the other end refuses speaks against the endpoint.
func (k *Lease) noTunnel(err error) observe.Reason {
	why := observe.ConnectTimeout
	if err != nil {
		why = wire.DialReason(err)
	}
	if !errors.Is(err, wire.ErrStale) && why != observe.PolicyDenied {
		k.pool.connectFailed()
		k.pool.flowed(k.picked, fails)
	}
	k.End()
	return why
}

// End gives the Lease back; the connection is closed, or will be by its holder.
// Once more does nothing.
func (k *Lease) End() {
	if k.ended {
		return
	}
	k.ended = true
	k.pool.flowed(k.picked, saysNothing) // unless it was told before
	if k.opening {
		k.opened()
	}
	p := k.pool
	if !k.tunnel {
		p.settled.Add(1)
		p.open.Add(-1)
		p.gave()
	}
	if k.counted {
		p.ep.inflight.Add(-1)
	}
	if k.bounded {
		p.ep.bears(-1)
	}
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		p.leases = k.older
	}
	if k.older != nil {
		k.older.newer = k.newer
	}
	k.newer, k.older = nil, nil
}

// opened ends the opening, either way.
func (k *Lease) opened() {
	k.opening = false
	if !k.tunnel {
		k.pool.opening.Add(-1)
		k.pool.connecting(-1)
		k.pool.stood()
	}
	k.pool.loop.Disarm(&k.timer)
}

// OnTimer: connecting takes too long.
func (k *Lease) OnTimer(*wire.Timer) {
	if k.opening && !k.ended {
		k.holder.OnSlow()
	}
}
