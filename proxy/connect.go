package proxy

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// tunnel makes a conversation of a CONNECT: what it carries is for the port
// that the SNI has named, and its account is that of the conversation.
func (x *exchange) tunnel() {
	if e := x.explicit(); e != nil {
		x.goOut(e)
		return
	}
	l, why := x.inner()
	if why != observe.ReasonNone {
		x.refuse(why)
		return
	}
	who := x.Peer.TLS.Identity
	if !x.w.proxy.callers.enter(who, l.noun.Mesh.Callers) {
		x.door.crowded(who, model.Inbound)
		x.listener, x.Listener = l, l.noun.Name
		x.refuse(observe.TooManyFromCaller)
		return
	}
	w, d := x.w, x.door
	conn := x.dissolve(false, func() { w.proxy.callers.leave(who) })
	if l.noun.Mesh.Protocol == model.AppHTTP {
		d.requests(conn)
		return
	}
	d.carry(l, conn, nil, func(k *conversation) {
		k.name, k.wary = l.noun.Hostname, l.noun.Mesh.Protocol != model.AppTCP
	})
}

// dissolve makes a connection of a CONNECT and ends the exchange, whose account
// is another's from here on. explain and over are wire.Tunneler's.
func (x *exchange) dissolve(explain bool, over func()) wire.Conn {
	w := x.w
	x.live = false
	x.leave()
	x.unpin()
	w.ended.Add(1)
	// The codec may still speak of the exchange when the conversation is over, so
	// it is not used again.
	conn, sink := w.proxy.opt.Tunnels.Accept(&x.Exchange.Exchange, x.stream, explain, over)
	x.tunnelled = sink
	return conn
}

// inner finds the door that a CONNECT comes to.
func (x *exchange) inner() (*listener, observe.Reason) {
	switch {
	case x.prog == nil:
		return nil, observe.NoProgram
	case x.door.slot >= len(x.prog.doors) || x.prog.doors[x.door.slot] == nil:
		return nil, observe.PortRemoved
	}
	l, _, why := x.prog.doors[x.door.slot].find(&x.Exchange.Exchange)
	switch {
	case why != observe.ReasonNone:
		return nil, why
	case !l.bySNI(), l.noun.Mesh.Forward, x.Request.Minor < 2: // HTTP/1 is spoken inside of tunnels alone
		return nil, observe.BadUpgrade
	}
	// The address may be another name for the workload; the port says what is
	// meant, and policies were asked for this one.
	authority := x.Request.Authority
	if port, err := strconv.ParseUint(string(authority[bytes.LastIndexByte(authority, ':')+1:]), 10, 16); err != nil || uint16(port) != l.noun.Mesh.Port {
		return nil, observe.Misdirected
	}
	return l, observe.ReasonNone
}

// explicit gives the door of a workload that says where it wants to go; nil
// where the CONNECT came to another.
func (x *exchange) explicit() *entrance {
	if x.prog == nil || x.door.slot >= len(x.prog.doors) {
		return nil
	}
	if e := x.prog.doors[x.door.slot]; e != nil && e.explicit.Forward && !x.Peer.Original.IsValid() {
		return e
	}
	return nil
}

// goOut brings a CONNECT to where the workload wants to go, as if its
// connection had been captured on the way there.
func (x *exchange) goOut(e *entrance) {
	l := e.listeners[0]
	if !l.proves(&x.Exchange.Exchange) {
		x.refuse(observe.OutboundUnproven)
		return
	}
	w, d := x.w, x.door
	host, number := split(x.Request.Authority)
	if number == 0 {
		x.refuse(observe.BadTarget)
		return
	}
	at, known := l.names.At(host, number, w.room())
	if !known {
		if x.detail = l.names.Elsewhere(host, number, w.room()); x.detail != nil {
			x.listener, x.Listener = l, l.noun.Name
			x.refuse(observe.OutboundPort)
			return
		}
		if ip, err := netip.ParseAddr(string(host)); err == nil && ip.Zone() == "" {
			at, known = netip.AddrPortFrom(ip.Unmap(), number), true
		}
	}
	name, asked := string(host), string(x.Request.Authority)
	c := x.dissolve(true, func() {})
	switch {
	case known:
		d.depart(e, c, asked, at)
	case !l.noun.Mesh.Strangers:
		// Nor is anybody asked for the name.
		d.bar(l, c, asked, observe.OutboundRefused, nil)
	default:
		d.search(e, c, asked, name, number)
	}
}

// split takes apart the valid authority of a CONNECT, which has a port. An
// address is without its brackets.
func split(authority []byte) (host []byte, number uint16) {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 {
		return authority, 0 // HTTP/2 lets such in
	}
	n, _ := strconv.ParseUint(string(authority[i+1:]), 10, 16)
	host = authority[:i]
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	return host, uint16(n)
}

// depart goes on with a connection that is known to be its workload's, and to
// go to one of these addresses.
func (d *door) depart(e *entrance, c wire.Conn, asked string, at ...netip.AddrPort) {
	c.Peer().Original = at[0]
	l := e.listeners[0]
	t := l.targets[at[0]]
	switch {
	case t == nil:
		d.carry(l, c, nil, func(k *conversation) { k.name, k.stranger, k.others = asked, at[0], at[1:] })
		return
	case t.noun.Protocol != model.AppTCP:
		c.Resume() // what it speaks is seen when it has been granted
	}
	d.lead(e, c)
}

// bar refuses a connection, with a record.
func (d *door) bar(l *listener, c wire.Conn, asked string, why observe.Reason, detail error) {
	d.carry(l, c, nil, func(k *conversation) { k.name, k.barred, k.detail = asked, why, detail })
}

// Bounds of what is done beside the loops for connections that wait for it.
const (
	mostLookups = 64              // at a time
	mostAttests = 4               // likewise: any program of the machine can ask for one, and each costs
	mostQueued  = 1024            // of each kind
	asideTime   = 5 * time.Second // of each
)

var errAsides = errors.New("too many connections wait for such an answer")

// asides are questions that a loop cannot wait for: names, and whose process a
// connection is.
type asides struct {
	ctx   context.Context // ends with Drain
	end   context.CancelFunc
	queue chan struct{}
	slots chan struct{}
}

func newAsides(most int) *asides {
	a := &asides{queue: make(chan struct{}, mostQueued), slots: make(chan struct{}, most)}
	a.ctx, a.end = context.WithCancel(context.Background())
	return a
}

// ask has do run beside the loop, and then with its error on it, unless c is
// gone by then. c is paused meanwhile.
func (a *asides) ask(c wire.Conn, do func(context.Context) error, then func(error)) {
	wait := &waiting{}
	c.SetHandler(wait)
	c.Pause()
	a.run(c.Loop(), do, func(err error) {
		if !wait.gone {
			then(err)
		}
	})
}

// run has do run beside the loop, and then with its error on it.
func (a *asides) run(loop wire.Loop, do func(context.Context) error, then func(error)) {
	select {
	case a.queue <- struct{}{}:
	default:
		then(errAsides)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(a.ctx, asideTime)
		defer cancel()
		defer func() { <-a.queue }()
		err := ctx.Err()
		select {
		case a.slots <- struct{}{}:
			err = do(ctx)
			<-a.slots
		case <-ctx.Done():
			err = ctx.Err()
		}
		loop.Post(func() { then(err) })
	}()
}

// waiting is the handler of a connection that waits.
type waiting struct {
	wire.Deaf
	gone bool
}

func (w *waiting) OnClose(error) { w.gone = true }

// search finds the addresses of a name that is no service's.
func (d *door) search(e *entrance, c wire.Conn, asked, name string, number uint16) {
	p := d.worker.proxy
	var found []netip.AddrPort
	p.lookups.ask(c, func(ctx context.Context) error {
		addrs, err := p.opt.Lookup(ctx, strings.TrimSuffix(name, "."))
		for _, a := range addrs {
			found = append(found, netip.AddrPortFrom(a.Unmap(), number))
		}
		return err
	}, func(err error) {
		if err != nil || len(found) == 0 {
			d.bar(e.listeners[0], c, asked, observe.OutboundUnknown, err)
			return
		}
		d.depart(e, c, asked, found...)
	})
}

// lend serves a local port that a workload was given for one target, or by which
// it asks for any, if it is the workload that connects.
func (d *door) lend(e *entrance, c wire.Conn) {
	p, l := d.worker.proxy, e.listeners[0]
	m := l.noun.Mesh
	client, own := c.Peer().Remote, c.Peer().Local
	p.attests.ask(c, func(context.Context) error {
		if p.opt.Attest == nil {
			return errors.New("nobody can tell whose connection it is")
		}
		return p.opt.Attest(m.Workload, client, own)
	}, func(err error) {
		asked := ""
		if r := m.Reach; r != nil {
			asked = r.Name + ":" + strconv.Itoa(int(r.Port))
		}
		if err != nil {
			p.opt.Log.Debug("a connection was refused that would have called as somebody else", "workload", m.Workload, "reach", asked, "remote", client, "error", err)
			d.bar(l, c, asked, observe.OutboundUnproven, err)
			return
		}
		if m.Reach == nil {
			c.Resume()
			e.codec(p, false).Serve(c, d, e.explicit)
			return
		}
		ip, err := netip.ParseAddr(m.Reach.Address)
		at := netip.AddrPortFrom(ip, m.Reach.Port)
		if err != nil || l.targets[at] == nil {
			d.bar(l, c, asked, observe.OutboundUnknown, nil)
			return
		}
		c.Resume()
		d.depart(e, c, asked, at)
	})
}

// passOn connects to where the client wanted to go, of which nothing is known.
func (k *conversation) passOn() {
	k.passed.begin()
	k.tries++
	k.idle = idleOf(0, model.DefaultFlowIdle)
	k.timer.Kind = timerConnect
	within := 2 * model.DefaultConnect
	if len(k.others) > 0 {
		within = model.DefaultConnect
	}
	k.w.loop.Arm(&k.timer, within)
	k.service.conn = k.w.loop.Dial(k.stranger, &k.service)
}

// elsewhere tries a stranger's next address, where there is one.
func (k *conversation) elsewhere() bool {
	if len(k.others) == 0 || k.ended {
		return false
	}
	k.stranger, k.others = k.others[0], k.others[1:]
	k.passOn()
	return true
}
