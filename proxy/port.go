package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// port is an address that is served in one protocol, for as long as Programs
// in a row have listeners on it.
type port struct {
	slot     int
	addr     address // as asked for
	socket   *socket
	secure   wire.ServerSecurity      // nil on a plain port
	doors    []*door                  // by loop
	clients  []*clients               // likewise, of a udp port
	sessions atomic.Int64             // of all of these
	entrance atomic.Pointer[entrance] // of the Program of now, for new connections
	quic     wire.QUICListening       // the UDP side; nil without HTTP/3
	troubles troubles                 // with its certificates
}

// socket is a bound address. The port behind it changes when the address
// changes from one protocol to another.
type socket struct {
	open   wire.Listening
	behind atomic.Pointer[port]
}

// newPort makes a port for e that has no socket yet.
func (p *Proxy) newPort(slot int, e *entrance) (*port, error) {
	made := &port{slot: slot, addr: e.addr}
	made.entrance.Store(e)
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
	return made, nil
}

// listen opens a socket for port. Requests that come in before the Program is
// stored are answered by whatever Program there is: 503.
func (p *Proxy) listen(port *port, maxConns int) error {
	s := &socket{}
	s.behind.Store(port)
	listen := func(addr netip.AddrPort) (wire.Listening, error) { return p.listenDatagrams(port, addr) }
	accept := func(c wire.Conn, over bool) {
		behind := s.behind.Load()
		behind.doors[c.Loop().Index()].accept(behind, c, over)
	}
	opt := wire.ListenOptions{MaxConns: maxConns, Captured: port.entrance.Load().captured()}
	if !port.addr.udp {
		listen = func(addr netip.AddrPort) (wire.Listening, error) { return p.opt.Driver.Listen(addr, opt, accept) }
	}
	open, err := listen(port.addr.AddrPort)
	if port.addr.Addr() == netip.IPv6Unspecified() && (errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)) {
		// A machine without IPv6: all addresses are the IPv4 ones.
		open, err = listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port.addr.Port()))
	}
	if errors.Is(err, syscall.EACCES) && port.addr.Port() < 1024 {
		return fmt.Errorf("%w: ports below 1024 take root or the capability CAP_NET_BIND_SERVICE; others do not", err)
	}
	if err != nil {
		return err
	}
	s.open = open
	port.socket = s
	return nil
}

// retire closes the port and has its connections end with their next response,
// those of flows when the time for that is over.
func (p *port) retire() {
	for _, d := range p.doors {
		d.closing.Store(true)
		d.worker.loop.Post(d.expire)
	}
	p.close()
}

// close closes the socket, unless it is another port's by now.
func (p *port) close() {
	if p.socket != nil && p.socket.behind.Load() == p {
		p.socket.open.Close()
	}
	p.noQUIC()
	if p.secure != nil {
		p.secure.Close()
	}
}

// tls adds to a port's configuration who is told what happens to handshakes.
func (p *Proxy) tls(port *port, cfg *wire.ServerTLS) *wire.ServerTLS {
	c := *cfg
	c.Failed = func(why observe.Reason, remote netip.AddrPort, err error) {
		p.failed("tls", port, why, remote, err)
	}
	c.Reloaded = func(name string, err error) {
		port.troubles.reloaded(name, err, usable(err))
		if err != nil && !usable(err) {
			p.opt.Log.Error("changed certificate is not usable; the one before goes on serving", "certificate", name, "error", err)
			return
		}
		if err != nil {
			p.opt.Log.Warn("certificate reloaded, but doubtful", "certificate", name, "error", err)
			return
		}
		p.opt.Log.Info("certificate reloaded", "certificate", name)
	}
	return &c
}

// handshakeNote is how often the log tells of handshakes that failed for one
// reason, at most: whoever can reach a port can have them fail.
const handshakeNote = 10 * time.Second

// failed counts a handshake that failed, and tells of it. Any goroutine.
func (p *Proxy) failed(what string, port *port, why observe.Reason, remote netip.AddrPort, err error) {
	p.opt.Registry.Refused(0, why)
	level, omitted := refusalLevel(why), uint64(0)
	if level > slog.LevelDebug {
		var ok bool
		if omitted, ok = p.handshakes[why].May(time.Since(p.began), handshakeNote); !ok {
			return
		}
	}
	args := []any{"listener", port.addr, "remote", remote, "reason", why.String(), "error", err}
	if omitted > 0 {
		args = append(args, "omitted", omitted)
	}
	p.opt.Log.Log(context.Background(), level, what+" handshake failed", args...)
}

// refusalLevel is that of a failed handshake in the log: who was refused for a
// certificate may ask why; others are noise.
func refusalLevel(why observe.Reason) slog.Level {
	switch why {
	case observe.ClientCertificateMissing, observe.ClientCertificateInvalid, observe.ClientIdentity, observe.NoIdentity:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// Sockets are the open listenings of TCP on a port number, at all addresses.
func (p *Proxy) Sockets(number uint16) (all []wire.Listening) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, port := range p.ports {
		if port != nil && port.addr.Port() == number && !port.addr.udp {
			all = append(all, port.socket.open)
		}
	}
	return all
}
