package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// port is a bound address for as long as some Program has listeners on it.
type port struct {
	slot   int
	addr   netip.AddrPort // as asked for
	open   wire.Listening
	secure wire.ServerSecurity // nil on a plain port
	doors  []*door             // by loop
}

// swap opens what prog needs and is not open, stores prog, and closes the
// ports that it has no use for. When an address cannot be bound everything
// that was opened here is closed again and the old Program stays.
func (p *Proxy) swap(prog *Program, entrances map[netip.AddrPort]*entrance) error {
	var opened []*port
	undo := func(err error) error {
		for _, port := range opened {
			port.close()
		}
		return err
	}
	have := map[netip.AddrPort]*port{}
	for _, port := range p.ports {
		if port != nil {
			have[port.addr] = port
		}
	}
	slots := map[netip.AddrPort]int{}
	next := len(p.ports)
	var updated []func() error
	for addr, e := range entrances {
		port := have[addr]
		if port != nil && (port.secure != nil) == e.secure {
			slots[addr] = port.slot
			if e.secure {
				updated = append(updated, func() error { return port.secure.Update(p.tls(port, e.tls)) })
			}
			continue
		}
		if port != nil {
			return undo(fmt.Errorf("%s: a port cannot change between http and https while it is open; remove it first", addr))
		}
		port, err := p.bind(next, e)
		if err != nil {
			return undo(err)
		}
		next++
		opened = append(opened, port)
		slots[addr] = port.slot
	}
	for _, update := range updated {
		if err := update(); err != nil {
			return undo(err)
		}
	}
	prog.doors = make([]*entrance, next)
	for addr, e := range entrances {
		prog.doors[slots[addr]] = e
	}
	p.ports = append(p.ports, make([]*port, next-len(p.ports))...)
	for _, port := range opened {
		p.ports[port.slot] = port
	}
	p.program.Store(prog)
	// Only now may connections come in: every door finds the Program that
	// knows it.
	for slot, port := range p.ports {
		switch {
		case port == nil:
		case slot < len(prog.doors) && prog.doors[slot] != nil:
			port.open.SetOptions(wire.ListenOptions{MaxConns: prog.doors[slot].maxConns})
		default:
			for _, d := range port.doors {
				d.closing.Store(true)
			}
			p.ports[slot] = nil
			go port.close() // waits for each loop to stop accepting
		}
	}
	return nil
}

func (p *port) close() {
	p.open.Close()
	if p.secure != nil {
		p.secure.Close()
	}
}

// bind opens the sockets of e. Connections that come in before the Program is
// stored are answered by whatever Program there is: see door.
func (p *Proxy) bind(slot int, e *entrance) (*port, error) {
	made := &port{slot: slot, addr: e.addr}
	for _, w := range p.workers {
		made.doors = append(made.doors, &door{worker: w, slot: slot})
	}
	if e.secure {
		sec, err := p.opt.Security.Server(p.tls(made, e.tls))
		if err != nil {
			return nil, err
		}
		made.secure = sec
	}
	accept := func(c wire.Conn, over bool) { made.doors[c.Loop().Index()].accept(made, c, over) }
	opt := wire.ListenOptions{MaxConns: e.maxConns}
	open, err := p.opt.Driver.Listen(e.addr, opt, accept)
	if e.addr.Addr() == netip.IPv6Unspecified() && (errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)) {
		// A machine without IPv6: all addresses are the IPv4 ones.
		open, err = p.opt.Driver.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), e.addr.Port()), opt, accept)
	}
	if err != nil {
		if made.secure != nil {
			made.secure.Close()
		}
		return nil, err
	}
	made.open = open
	return made, nil
}

// tls adds to a port's configuration who is told what happens to handshakes.
func (p *Proxy) tls(port *port, cfg *wire.ServerTLS) *wire.ServerTLS {
	c := *cfg
	c.Failed = func(why observe.Reason, remote netip.AddrPort, err error) {
		p.opt.Registry.Refused(0, why)
		p.opt.Log.Debug("tls handshake failed", "listener", port.addr, "remote", remote, "reason", why.String(), "error", err)
	}
	c.Reloaded = func(name string, err error) {
		if err != nil {
			p.opt.Log.Error("changed certificate is not usable; the one before goes on serving", "certificate", name, "error", err)
			return
		}
		p.opt.Log.Info("certificate reloaded", "certificate", name)
	}
	return &c
}

// Bound is an open port, for people.
type Bound struct {
	Asked, Addr netip.AddrPort
	Secure      bool
	Conns       int
}

// Bound lists the open ports.
func (p *Proxy) Bound() []Bound {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Bound
	for _, port := range p.ports {
		if port != nil {
			all = append(all, Bound{Asked: port.addr, Addr: port.open.Addr(), Secure: port.secure != nil, Conns: port.open.Conns()})
		}
	}
	return all
}

// forget drops the metrics of what s does not name.
func (p *Proxy) forget(s *model.Snapshot) {
	routes, services := make(map[string]bool, len(s.Routes)), make(map[string]bool, len(s.Services))
	for _, r := range s.Routes {
		routes[r.Name] = true
	}
	for _, v := range s.Services {
		services[v.Name] = true
	}
	p.opt.Registry.Keep(observe.ScopeRoute, func(name string) bool { return name == "" || routes[name] })
	p.opt.Registry.Keep(observe.ScopeService, func(name string) bool { return services[name] })
}

// errDraining is given to whoever wants something new of a proxy that ends.
var errDraining = errors.New("the proxy is draining")
