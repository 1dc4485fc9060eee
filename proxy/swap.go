package proxy

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// swapping is a change of Programs as far as ports are concerned. All that can
// fail comes first, and can be taken back.
type swapping struct {
	p         *Proxy
	entrances map[address]*entrance
	have      map[address]*port
	slots     map[address]int
	made      []*port // new, also those that take a socket over
	updated   []*port // their TLS was
	closed    []*port // whose sockets were in the way
}

// swap opens what prog needs and is not open, stores prog, and closes the
// ports that it has no use for. What cannot be opened becomes a Problem of
// prog and does not stop the rest; when nothing can be, the old Program stays.
func (p *Proxy) swap(prog *Program, entrances map[address]*entrance) error {
	s := &swapping{p: p, entrances: entrances, have: map[address]*port{}, slots: map[address]int{}}
	for _, port := range p.ports {
		if port != nil {
			s.have[port.addr] = port
		}
	}
	var failed error
	for _, addr := range slices.SortedFunc(maps.Keys(entrances), address.compare) {
		e := entrances[addr]
		if err := s.provide(e); err != nil {
			if old := s.have[addr]; old != nil && !old.entrance.Load().alike(e) {
				// Nothing of the new protocol can be served, and its routes must
				// not be served by the old one.
				s.undo()
				return err
			}
			failed = cmp.Or(failed, err)
			prog.Problems = append(prog.Problems, s.doWithout(e, err))
		}
	}
	if failed != nil && len(s.slots) == 0 {
		s.undo()
		return failed
	}
	s.commit(prog)
	return nil
}

// doWithout settles how to go on when e cannot be opened as it should be. Its
// listeners stay where they were, if they were anywhere: with the certificates
// from before, or on the port that they were to leave. Otherwise they are not
// served.
func (s *swapping) doWithout(e *entrance, err error) model.Problem {
	problem := model.Problem{
		Origin: e.listeners[0].noun.Origin, Severity: model.Broken, Code: "not-opened",
		Message: "listener " + e.listeners[0].noun.Name + ": " + err.Error(),
	}
	if old := s.have[e.addr]; old != nil && old.entrance.Load().alike(e) {
		s.slots[e.addr] = old.slot
		problem.Hint = "the certificates from before go on serving"
		return problem
	}
	for _, port := range s.have {
		if s.entrances[port.addr] == nil && port.entrance.Load().alike(e) && port.entrance.Load().names(e) && s.reopened(port) {
			s.slots[e.addr] = port.slot
			problem.Hint = "it goes on serving on " + port.addr.String()
			return problem
		}
	}
	delete(s.entrances, e.addr)
	problem.Hint = "it is not served; the other listeners are"
	return problem
}

// names says whether e has a listener that o has too.
func (e *entrance) names(o *entrance) bool {
	return slices.ContainsFunc(e.listeners, func(l *listener) bool {
		return slices.ContainsFunc(o.listeners, func(n *listener) bool { return n.noun.Name == l.noun.Name })
	})
}

// reopened says whether port listens, again if need be.
func (s *swapping) reopened(port *port) bool {
	i := slices.Index(s.closed, port)
	if i < 0 {
		return true
	}
	if s.p.listen(port, port.entrance.Load().maxConns) != nil {
		return false
	}
	s.closed = slices.Delete(s.closed, i, i+1)
	return true
}

// provide sees that there is a port for e.
func (s *swapping) provide(e *entrance) error {
	old := s.have[e.addr]
	if old != nil && old.entrance.Load().alike(e) {
		s.slots[e.addr] = old.slot
		if !e.secure {
			return nil
		}
		err := old.secure.Update(s.p.tls(old, e.tls))
		if err == nil {
			s.updated = append(s.updated, old)
			old.troubles.clear()
		}
		return err
	}
	made, err := s.p.newPort(len(s.p.ports)+len(s.made), e)
	if err != nil {
		return err
	}
	if old != nil && old.entrance.Load().captured() == e.captured() {
		// From one protocol to another: the socket stays open and nobody is
		// refused. It is another port all the same, so that no request of a
		// connection from before is taken for one of the other protocol.
		made.socket = old.socket
	} else if err := s.bind(made, e); err != nil {
		made.close()
		return err
	}
	s.made = append(s.made, made)
	s.slots[e.addr] = made.slot
	return nil
}

// bind opens made's socket. Where a socket that will not be needed is in the
// way (0.0.0.0:80 of 127.0.0.1:80), that is closed first, as the last resort:
// for a moment nobody listens.
func (s *swapping) bind(made *port, e *entrance) error {
	err := s.p.listen(made, e.maxConns)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	for addr, port := range s.have {
		if addr.Port() == e.addr.Port() && addr.udp == e.addr.udp && s.entrances[addr] == nil && !slices.Contains(s.closed, port) {
			port.socket.open.Close()
			s.closed = append(s.closed, port)
		}
	}
	if len(s.closed) == 0 {
		return err
	}
	return s.p.listen(made, e.maxConns)
}

// undo puts back what there was.
func (s *swapping) undo() {
	for _, port := range s.made {
		port.retire()
	}
	for _, port := range s.updated {
		if err := port.secure.Update(s.p.tls(port, port.entrance.Load().tls)); err != nil {
			s.p.opt.Log.Error("the certificates from before cannot be read again", "listener", port.addr, "error", err)
		}
	}
	for _, port := range s.closed {
		if err := s.p.listen(port, port.entrance.Load().maxConns); err != nil {
			s.p.opt.Log.Error("a socket that was closed to make room cannot be opened again", "listener", port.addr, "error", err)
		}
	}
}

// commit cannot fail.
func (s *swapping) commit(prog *Program) {
	p := s.p
	p.ports = append(p.ports, s.made...)
	prog.doors = make([]*entrance, len(p.ports))
	for addr, e := range s.entrances {
		prog.doors[s.slots[addr]] = e
	}
	before := p.program.Swap(prog)
	for slot, port := range p.ports {
		switch {
		case port == nil:
		case prog.doors[slot] != nil:
			e := prog.doors[slot]
			port.entrance.Store(e)
			port.socket.behind.Store(port)
			port.socket.open.SetOptions(wire.ListenOptions{MaxConns: e.maxConns, Captured: e.captured()})
		}
	}
	p.reask(before, prog)
	gone := false
	for slot, port := range p.ports {
		if port != nil && prog.doors[slot] == nil {
			p.ports[slot] = nil
			port.retire()
			gone = true
		}
	}
	if gone {
		p.tellDraining()
	}
	for slot, port := range p.ports {
		if port != nil {
			p.alternate(port, prog.doors[slot])
		}
	}
}

// Bound is an open port, for people.
type Bound struct {
	Asked, Addr netip.AddrPort
	Protocol    model.Protocol
	Secure      bool // TLS ends here
	Conns       int  // for udp: clients' sessions
}

// HTTP3 is what the UDP side of a port of https speaks.
const HTTP3 model.Protocol = "http3"

// Bound lists the open ports.
func (p *Proxy) Bound() []Bound {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Bound
	for _, port := range p.ports {
		if port != nil {
			all = append(all, Bound{Asked: port.addr.AddrPort, Protocol: port.entrance.Load().protocol, Addr: port.socket.open.Addr(), Secure: port.secure != nil, Conns: port.socket.open.Conns()})
			if port.quic != nil {
				open := port.socket.open.Addr()
				all = append(all, Bound{Asked: port.addr.AddrPort, Protocol: HTTP3, Addr: open, Secure: true, Conns: port.quic.Conns()})
			}
		}
	}
	return all
}

// forget drops the metrics of what s, whose lists are sorted, does not name.
func (p *Proxy) forget(s *model.Snapshot) {
	find := func(name string) (int, bool) {
		return slices.BinarySearchFunc(s.Routes, name, func(r *model.Route, name string) int { return cmp.Compare(r.Name, name) })
	}
	p.opt.Registry.Keep(observe.ScopeRoute, func(name string) bool {
		_, is := find(name)
		return is || name == "" || name == strangers
	})
	p.opt.Registry.KeepCalls(func(name string) bool {
		i, is := find(name)
		return is && s.Routes[i].CountCalls
	})
	runs := map[string]bool{}
	for _, r := range s.Routes {
		if r.Rollout != nil && r.Rollout.Live {
			runs[r.Rollout.Run] = true
		}
	}
	p.opt.Registry.KeepTrials(func(run string) bool { return runs[run] })
	p.opt.Registry.Keep(observe.ScopeFlow, func(name string) bool {
		_, is := slices.BinarySearchFunc(s.Flows, name, func(f *model.Flow, name string) int { return cmp.Compare(f.Name, name) })
		return is
	})
	service := func(name string) bool {
		_, is := slices.BinarySearchFunc(s.Services, name, func(v *model.Service, name string) int { return cmp.Compare(v.Name, name) })
		return is || name == strangers
	}
	p.opt.Registry.Keep(observe.ScopeService, service)
	p.opt.Registry.Keep(observe.ScopeServiceFlow, service)
}

// errDraining is given to whoever wants something new of a proxy that ends.
var errDraining = errors.New("the proxy is draining")
