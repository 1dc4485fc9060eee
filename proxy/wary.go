package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// suspect looks at what a client sends before anything of it is passed on: what
// a service could read as HTTP comes to it as HTTP, by way of the policies and
// without what a caller has made up of who it is.
func (k *conversation) suspect(b []byte) {
	k.held = append(k.held, b...)
	switch s := wire.Suspect(k.held); s {
	case wire.Undecided:
	case wire.SpeaksHTTP1, wire.SpeaksHTTP2:
		k.turn(s)
	default:
		k.trust()
	}
}

// hear looks at what a service says before anything of its client has passed on.
// No server of HTTP speaks first, but one of HTTP/2 may, with its settings: these
// wait for what the client begins with, as a codec that serves it has its own.
func (k *conversation) hear(b []byte) {
	k.greeting = append(k.greeting, b...)
	if wire.Greets(k.greeting) == wire.SpeaksOther {
		k.trust()
	} else if len(k.greeting) > mostGreeting {
		k.service.conn.Pause()
	}
}

// mostGreeting bounds what waits so, about.
const mostGreeting = 16 << 10

// trust passes on what was held, and lets pass what comes.
func (k *conversation) trust() {
	if k.shed() {
		return
	}
	held, greeting := k.held, k.greeting
	k.wary, k.held, k.greeting = false, nil, nil
	if len(greeting) > 0 {
		k.service.OnForwarded(len(greeting))
		k.client.conn.Write(greeting, nil)
		k.service.conn.Resume()
	}
	if len(held) > 0 {
		k.service.conn.Write(held, nil)
		k.client.OnForwarded(len(held))
	}
	k.join()
}

// turn has a codec serve the client, of which nothing has passed.
func (k *conversation) turn(s wire.Spoken) {
	c, held := k.client.conn, k.held
	k.held, k.greeting, k.turned = nil, nil, true
	k.service.conn.Abort()
	k.end()
	if k.early {
		c.Close() // it asks, and does not wait for the answer
		return
	}
	k.door.request(c, s, held)
}

// requests serves a tunnel to what takes requests alone. It is granted at once:
// what stands behind it each request finds out.
func (d *door) requests(c wire.Conn) {
	e := d.inForce()
	if e == nil {
		d.gone(c)
		return
	}
	c.Resume()
	f := &first{door: d, conn: c}
	f.read = func(b []byte) bool {
		s := wire.Detect(b, false)
		if s == wire.Undecided {
			return false
		}
		f.end()
		d.request(c, s, b)
		return true
	}
	f.silent = func(held []byte, eof bool) {
		if eof {
			c.Close() // a part of a request
			return
		}
		d.request(c, wire.Undecided, held)
	}
	f.listen(e, nil)
}

// request has a codec serve c, which has sent held, lent. What is no HTTP at all
// HTTP/1's answers.
func (d *door) request(c wire.Conn, s wire.Spoken, held []byte) {
	p := d.worker.proxy
	e := d.inForce()
	if e == nil {
		d.gone(c)
		return
	}
	codec := p.opt.Server
	if s == wire.SpeaksHTTP2 && p.opt.HTTP2 != nil {
		codec = p.opt.HTTP2
		if peer := c.Peer(); peer.TLS != nil && peer.TLS.Identity != "" {
			p.callers.enter(peer.TLS.Identity, 0) // it tells of the end of each (Left)
		}
	}
	handOver(c, held, func(c wire.Conn) { codec.Serve(c, d, e.within) })
}

// gone ends a connection whose door is not configured any more.
func (d *door) gone(c wire.Conn) {
	d.worker.proxy.opt.Registry.Refused(d.worker.index, observe.PortRemoved)
	c.Abort()
}

// inForce is what the Program of now has behind the door; nil: nothing.
func (d *door) inForce() *entrance {
	prog := d.worker.proxy.program.Load()
	if prog == nil || d.slot >= len(prog.doors) {
		return nil
	}
	return prog.doors[d.slot]
}
