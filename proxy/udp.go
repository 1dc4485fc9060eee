package proxy

import (
	"errors"
	"net/netip"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// clients is one loop's side of a udp port: the handler of its socket, and the
// clients that have sent something lately. What comes from a service goes to
// the client that asked it, and to nobody else.
type clients struct {
	w        *worker
	port     *port
	conn     wire.DatagramConn
	sessions map[client]*session
}

// client is who sent a datagram, and to which address of ours.
type client struct {
	remote netip.AddrPort
	local  netip.Addr
}

// session is a client's conversation with one endpoint, over a socket of its
// own.
type session struct {
	of       *clients
	key      client
	listener *listener
	flow     *flow
	backend  *flowBackend
	lease    *upstream.Lease
	conn     wire.DatagramConn
	timer    wire.Timer
	idle     time.Duration // 0 none
	last     time.Duration
	stale    bool // the endpoint is gone: the next datagram begins anew
	answered bool
	passed
}

// packets is a datagram address as a wire.Listening.
type packets struct {
	wire.DatagramListening
	port *port
}

func (l packets) Conns() int { return int(l.port.sessions.Load()) }

// SetOptions: the bound of sessions is looked up at each new one.
func (l packets) SetOptions(wire.ListenOptions) {}

// Close ends the sessions too: nothing can come back to their clients.
func (l packets) Close() {
	l.DatagramListening.Close()
	for _, c := range l.port.clients {
		c.w.loop.Post(c.end)
	}
}

var errNoDatagrams = errors.New("udp is not available")

// listenDatagrams opens addr for port.
func (p *Proxy) listenDatagrams(port *port, addr netip.AddrPort) (wire.Listening, error) {
	if p.opt.Datagrams == nil {
		return nil, errNoDatagrams
	}
	port.clients = nil
	for _, w := range p.workers {
		port.clients = append(port.clients, &clients{w: w, port: port, sessions: map[client]*session{}})
	}
	open, err := p.opt.Datagrams.ListenDatagrams(addr, func(c wire.DatagramConn) wire.DatagramHandler {
		of := port.clients[c.Loop().Index()]
		of.conn = c
		return of
	})
	if err != nil {
		return nil, err
	}
	return packets{open, port}, nil
}

// OnDatagrams passes what clients sent to their sessions, those of one client
// together.
func (c *clients) OnDatagrams(list []wire.Datagram) {
	for from := 0; from < len(list); {
		key := client{list[from].Remote, list[from].Local}
		to := from + 1
		for to < len(list) && list[to].Remote == key.remote && list[to].Local == key.local {
			to++
		}
		if s := c.session(key); s != nil {
			s.send(list[from:to])
		}
		from = to
	}
}

// OnDatagramError: only dialled sockets have any.
func (c *clients) OnDatagramError(error) {}

// session gives that of a client, a new one if need be; nil where there can be
// none.
func (c *clients) session(key client) *session {
	l, f := c.current()
	s := c.sessions[key]
	if s != nil && !s.stale && f != nil && s.flow.noun == f.noun && l.guardedAs(s.listener) {
		return s
	}
	if s != nil {
		s.end()
	}
	if f == nil {
		c.refuse(observe.NoFlow)
		return nil
	}
	if !l.lets(key) {
		c.refuse(observe.PolicyDenied)
		return nil
	}
	if most := c.port.entrance.Load().maxConns; most > 0 && c.port.sessions.Load() >= int64(most) {
		c.refuse(observe.TooManySessions)
		return nil
	}
	if s == nil && c.shed(key, f) { // who has a session goes on with the next one
		c.refuse(observe.ProxyOverloaded)
		return nil
	}
	s = &session{of: c, key: key, listener: l, flow: f, idle: idleOf(f.noun.Idle, model.DefaultDatagramIdle)}
	if !s.begin() {
		return nil
	}
	return s
}

// current is the flow of the Program of now; nil without one.
func (c *clients) current() (*listener, *flow) {
	prog := c.w.proxy.program.Load()
	if prog == nil || c.port.slot >= len(prog.doors) || prog.doors[c.port.slot] == nil {
		return nil, nil
	}
	l := prog.doors[c.port.slot].listeners[0]
	f, _ := l.flows.FindString("")
	return l, f
}

func (c *clients) refuse(why observe.Reason) { c.w.proxy.opt.Registry.Refused(c.w.index, why) }

// end ends all sessions.
func (c *clients) end() {
	for _, s := range c.sessions {
		s.end()
	}
}

// begin chooses an endpoint and opens the socket.
func (s *session) begin() bool {
	c, w := s.of, s.of.w
	s.began = w.loop.Now()
	s.timer.Handler = s
	b, why := s.flow.choose(w)
	s.backend = b
	s.traffic = w.counted(s.flow, b)
	s.passed.begin()
	c.sessions[s.key] = s
	c.port.sessions.Add(1)
	if why == observe.ReasonNone {
		a := b.ask(s.flow, nil, s.key.remote)
		s.lease, why = b.cluster.Lease(w.loop, &a, s)
		s.detail = b.cluster.Because(why, a.Met)
	}
	if s.lease == nil {
		s.why = why
		s.end()
		return false
	}
	s.tries = 1
	s.lease.Unconnected()
	conn, err := w.proxy.opt.Datagrams.DialDatagrams(w.loop, s.lease.Endpoint().Addr(), s)
	if err != nil {
		s.failed(err)
		return false
	}
	s.conn = conn
	s.last = s.began
	if s.idle > 0 {
		w.loop.Arm(&s.timer, s.idle)
	}
	return true
}

// send passes on what the client sent.
func (s *session) send(list []wire.Datagram) {
	n := 0
	for i := range list {
		n += len(list[i].Data)
	}
	s.last = s.of.w.loop.Now()
	s.moved(n, 0)
	s.lost(len(list) - s.conn.Send(list))
}

func (s *session) lost(n int) {
	for range n {
		s.of.refuse(observe.DatagramLost)
	}
}

// OnDatagrams passes answers to the client, from the address that it asked.
func (s *session) OnDatagrams(list []wire.Datagram) {
	n := 0
	for i := range list {
		list[i].Remote, list[i].Local = s.key.remote, s.key.local
		n += len(list[i].Data)
	}
	s.last = s.of.w.loop.Now()
	if !s.answered {
		s.answered, s.connected = true, s.last
		s.lease.Stands()
	}
	s.moved(0, n)
	s.lost(len(list) - s.of.conn.Send(list))
}

// OnDatagramError: nobody is there. The next datagram of the client goes to
// another endpoint, if there is one.
func (s *session) OnDatagramError(err error) {
	s.failed(&wire.DialError{Addr: s.lease.Endpoint().Addr(), Err: err})
}

func (s *session) failed(err error) {
	s.detail = err
	s.why = s.lease.Failed(err)
	s.end()
}

// OnSlow never comes: nobody waits for a connection.
func (s *session) OnSlow() {}

// OnRemoved: the endpoint is configured no more. Answers on their way arrive.
func (s *session) OnRemoved() { s.stale = true }

// OnTimer ends a session in which nothing has passed.
func (s *session) OnTimer(*wire.Timer) {
	if rest := s.last + s.idle - s.of.w.loop.Now(); rest > 0 {
		s.of.w.loop.Arm(&s.timer, rest)
		return
	}
	s.end() // that is how all of them end
}

// end forgets the client.
func (s *session) end() {
	c := s.of
	delete(c.sessions, s.key)
	c.port.sessions.Add(-1)
	c.w.loop.Disarm(&s.timer)
	if s.conn != nil {
		s.conn.Close()
	}
	if s.lease != nil {
		s.lease.End()
	}
	s.account(c.w, func(r *observe.Record) {
		r.Remote, r.Client, r.Scheme = s.key.remote, s.key.remote.Addr().Unmap(), "udp"
		r.Listener, r.Flow = s.listener.noun.Name, s.flow.noun.Name
		if s.backend != nil {
			r.Service = s.backend.noun.Service
		}
		if s.lease != nil {
			r.Endpoint, r.Chosen = s.lease.Endpoint().Addr(), s.lease.Chosen.String()
		}
	})
}
