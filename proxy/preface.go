package proxy

import (
	"net/netip"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// introduction is a model.ProxyProtocol compiled.
type introduction struct{ from []netip.Prefix }

func introductionOf(p *model.ProxyProtocol) *introduction {
	if p == nil {
		return nil
	}
	in := &introduction{}
	for _, s := range p.From {
		if n, err := netip.ParsePrefix(s); err == nil { // Validate has seen to it
			in.from = append(in.from, n.Masked())
		}
	}
	return in
}

// expected says whether a connection from remote must begin with the header.
// From nobody else is one believed.
func (in *introduction) expected(remote netip.AddrPort) bool {
	ip := remote.Addr().Unmap().WithZone("")
	for _, n := range in.from {
		if n.Contains(ip) || ip.Is4() && n.Addr().Is4In6() && n.Contains(netip.AddrFrom16(ip.As16())) {
			return true
		}
	}
	return len(in.from) == 0
}

// first is what a connection begins with, read until it is complete: a PROXY
// header or a ClientHello. It is the handler of the connection until then.
type first struct {
	door  *door
	conn  wire.Conn
	held  []byte // what came so far, if that was not complete
	timer wire.Timer
	// read looks at what there is, all of it from the beginning. It returns
	// false to be asked again with more; with true, the connection is no longer
	// the first's.
	read func(b []byte) bool
	// late is why the connection is ended when nothing complete comes in time;
	// silent, if set, is called instead.
	late   observe.Reason
	silent func(held []byte, eof bool)
	within time.Duration // in place of the time for a handshake
}

// listen reads the beginning of c, for as long as its entrance lets a handshake
// take.
func (f *first) listen(e *entrance, had []byte) {
	f.timer.Handler = f
	f.conn.SetHandler(f)
	if f.within > 0 {
		f.door.worker.loop.Arm(&f.timer, f.within)
	} else if d := min(pick(e.limited.Limits.Handshake, model.DefaultLimits.Handshake), longest); d > 0 {
		f.door.worker.loop.Arm(&f.timer, d)
	}
	if len(had) > 0 {
		f.OnData(had)
	}
}

func (f *first) OnOpen()    {}
func (f *first) OnDrained() {}

func (f *first) OnData(b []byte) {
	if len(f.held) > 0 {
		f.held = append(f.held, b...)
		b = f.held
	}
	if f.read(b) {
		f.end()
	} else if len(f.held) == 0 {
		f.held = append(f.held, b...)
	}
}

func (f *first) end() { f.door.worker.loop.Disarm(&f.timer) }

// OnEOF: a port check, or a client that thought better of it.
func (f *first) OnEOF() {
	f.end()
	if f.silent != nil && len(f.held) > 0 {
		f.silent(f.held, true)
		return
	}
	f.conn.Close()
}

func (f *first) OnClose(error) { f.end() }

func (f *first) OnTimer(*wire.Timer) {
	if f.silent != nil {
		f.silent(f.held, false)
		return
	}
	f.refuse(f.late)
}

// refuse counts why and ends the connection.
func (f *first) refuse(why observe.Reason) {
	f.end()
	w := f.door.worker
	w.proxy.opt.Registry.Refused(w.index, why)
	f.conn.Abort()
}

// meet reads from the PROXY header of c who it is from, and then admits it.
func (d *door) meet(port *port, e *entrance, c wire.Conn) {
	f := &first{door: d, conn: c, late: observe.ProxyHeaderTimeout}
	f.read = func(b []byte) bool {
		h, n, err := wire.ParseProxyHeader(b)
		if err != nil {
			d.worker.proxy.opt.Log.Debug("bad PROXY header", "listener", port.addr.AddrPort, "remote", c.Peer().Remote)
			f.refuse(observe.BadProxyHeader)
			return true
		}
		if n == 0 {
			return false
		}
		f.end()
		if h.Remote.IsValid() {
			// From here on everything sees the client: X-Forwarded-For, the log,
			// trusted hops.
			c.Peer().Remote = h.Remote
		}
		if e.protocol.OfFlows() {
			d.converse(port, e, c, h.Local, b[n:])
			return true
		}
		handOver(c, b[n:], func(c wire.Conn) { d.admit(port, e, c) })
		return true
	}
	f.listen(e, nil)
}

// handOver gives a connection of which more was read than its beginning to
// somebody else, from within OnData. rest is lent.
func handOver(c wire.Conn, rest []byte, to func(wire.Conn)) {
	if len(rest) == 0 {
		to(c)
		return
	}
	r := &readFrom{Conn: c}
	to(r)
	if r.handler != nil && !r.ended {
		r.handler.OnData(rest)
	}
}

// readFrom is a Conn that knows its handler.
type readFrom struct {
	wire.Conn
	handler wire.ConnHandler
	ended   bool
}

func (r *readFrom) SetHandler(h wire.ConnHandler) {
	r.handler = h
	r.Conn.SetHandler(h)
}

func (r *readFrom) Close()  { r.ended = true; r.Conn.Close() }
func (r *readFrom) Finish() { r.ended = true; r.Conn.Finish() }
func (r *readFrom) Abort()  { r.ended = true; r.Conn.Abort() }

// converse finds out which flow c is for, and begins it. asked is the address
// that the PROXY header says the client has asked for; had is what came behind
// that, lent.
func (d *door) converse(port *port, e *entrance, c wire.Conn, asked netip.AddrPort, had []byte) {
	begin := func(c wire.Conn, name string, l *listener, held []byte) {
		k := &conversation{door: d, w: d.worker, name: name, listener: l, asked: asked}
		k.began = d.worker.loop.Now()
		k.begin(c, held)
	}
	end := func(c wire.Conn, had []byte) {
		handOver(c, had, func(c wire.Conn) {
			port.secure.Secure(c, func(plain wire.Conn) {
				name := plain.Peer().TLS.ServerName
				l, _ := e.hosts.FindString(name)
				begin(plain, name, l, nil)
			})
		})
	}
	switch {
	case e.protocol == model.TCP:
		begin(c, "", e.listeners[0], had)
	case !e.sniff:
		end(c, had)
	default:
		f := &first{door: d, conn: c, late: observe.HandshakeTimeout}
		f.read = func(b []byte) bool {
			name, done, err := wire.SniffServerName(b)
			if err != nil {
				d.worker.proxy.opt.Log.Debug("no TLS to pass through", "listener", port.addr.AddrPort, "remote", c.Peer().Remote, "error", err)
				f.refuse(observe.HandshakeFailed)
			}
			if err != nil || !done {
				return err != nil
			}
			f.end()
			if l, _ := e.hosts.FindString(name); l == nil || l.noun.Passthrough {
				begin(c, name, l, b)
			} else {
				end(c, b)
			}
			return true
		}
		f.listen(e, had)
	}
}

// idleOf is a Flow's idle time as it is kept: 0 is none.
func idleOf(set, def time.Duration) time.Duration { return bound(pick(set, def)) }
