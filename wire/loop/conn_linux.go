package loop

import (
	"syscall"
	"unsafe"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// phase is where a connection is in its life.
type phase uint8

const (
	// open: the handler is told what happens. A dialled connection is open
	// from the start, with dialling set until it stands.
	open phase = iota
	// flushing: Close was called; what is buffered is sent, nobody is told.
	flushing
	// finishing: Finish was called; as flushing, but input is thrown away,
	// also after the end of our stream.
	finishing
	// closed: there is no socket any more.
	closed
)

// rare is what few connections need.
type rare struct {
	end wire.Timer // bounds flushing and finishing
	relay
}

// extra gives c room for what few need.
func (c *conn) extra() *rare {
	if c.rare == nil {
		c.rare = &rare{end: wire.Timer{Handler: c}}
	}
	return c.rare
}

// conn is one connection. It holds no buffer while idle.
type conn struct {
	loop    *loop
	handler wire.ConnHandler
	peer    wire.Peer
	from    *listenSocket // that accepted it; nil when dialled
	rare    *rare         // what few connections need; nil before

	// Output that the kernel did not take: full chunks but for the last.
	head, tail *chunk
	buffered   int32

	fd         int32 // -1 when closed, or when dialling failed at once
	id         int32 // in the loop's table
	generation int32 // of that id
	// errno, when set, says that the connection is broken: output is dropped,
	// input that came before is still delivered, then OnClose is told. All of
	// the kernel's are below 256.
	errno uint8
	phase phase
	// gathered is which of the loop's gathered writes is its, from 1; 0 is none.
	gathered uint8

	dialling bool // connect is in progress
	paused   bool
	readable bool // the socket may hold input
	hungUp   bool // end of stream or an error waits behind the input
	eof      bool // OnEOF was told
	shut     bool // CloseWrite was called
	finSent  bool // and the kernel knows
	high     bool // buffered passed LowWater: OnDrained is due
	queued   bool // in the ready list
	bulk     bool // what came last was firstRead or more

	pending uint16 // events that the loop has put off; 0: it is not in the backlog
}

// Warm implements wire.Warmer.
func (c *conn) Warm() uint64 {
	return uint64(uintptr(unsafe.Pointer(c.loop))) + uint64(c.buffered) + uint64(c.generation)
}

func (c *conn) Loop() wire.Loop { return c.loop }

func (c *conn) SetHandler(h wire.ConnHandler) { c.handler = h }

// Peer fills in the local address when it is first asked for: with a wildcard
// listener, and for a dialled connection, it takes a system call.
func (c *conn) Peer() *wire.Peer {
	if !c.peer.Local.IsValid() && !c.dialling && c.fd >= 0 {
		var name sockaddr
		if socketName(c.fd, &name) == 0 {
			c.peer.Local = decode(&name)
		}
	}
	return &c.peer
}

// Waiting looks without taking.
func (c *conn) Waiting() bool {
	if c.fd < 0 || c.dialling {
		return false
	}
	e := peek(c.fd)
	return e != syscall.EAGAIN && e != syscall.EINTR
}

func (c *conn) Pause() {
	c.paused = true
	if c.hungUp && !c.eof {
		c.queue() // to tell that
	}
}

func (c *conn) Resume() {
	if !c.paused {
		return
	}
	c.paused = false
	if c.phase == open && c.readable && !c.dialling {
		c.queue()
	}
}

// queue has the loop look at c from its top, before it waits.
func (c *conn) queue() {
	if !c.queued {
		c.queued = true
		c.loop.ready = append(c.loop.ready, c)
	}
}

// register makes the loop hear of the socket, once and for all.
func (c *conn) register() syscall.Errno {
	l := c.loop
	c.id = l.table.add(c)
	l.generation++
	c.generation = l.generation
	const both = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	e := epollControl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, both, c.id, c.generation)
	if e != 0 {
		l.table.remove(c.id)
		return e
	}
	l.count.add(countOpen, 1)
	return 0
}

// event handles what epoll reports.
func (c *conn) event(events uint32) {
	if c.dialling && !c.connected(events) {
		return
	}
	if c.phase != open {
		c.endEvent(events)
		return
	}
	if events&unix.EPOLLOUT != 0 && c.head != nil {
		c.flush()
		if c.phase != open {
			return
		}
	}
	if events&unix.EPOLLOUT != 0 && c.rare != nil {
		c.fed()
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return
	}
	c.readable = true
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.hungUp = true
		// After our own end of stream EPOLLHUP only says that the peer ended
		// too, and input may wait: that is an end to be read, not an error.
		broken := events&unix.EPOLLERR != 0 || events&unix.EPOLLHUP != 0 && !c.finSent
		if broken && (c.paused || c.eof || c.stuck()) {
			e := socketError(c.fd)
			if e == 0 {
				e = syscall.ECONNRESET
			}
			c.lost(e)
			return
		}
	}
	if !c.paused {
		c.read()
	} else if c.hungUp {
		c.tellHangUp()
	}
}

// tellHangUp tells a handler that has paused what it would read of in the end.
func (c *conn) tellHangUp() {
	if h, ok := c.handler.(wire.HangUpHandler); ok && !c.eof {
		h.OnHangUp(unread(c.fd))
	}
}

// attend handles c's place in the ready list.
func (c *conn) attend() {
	c.queued = false
	switch {
	case c.phase == finishing:
		c.discard()
	case c.phase != open:
	case c.errno != 0 && c.dialling:
		c.refused(syscall.Errno(c.errno))
	case c.errno != 0 && (c.paused || c.eof || c.stuck()):
		c.lost(syscall.Errno(c.errno))
	case c.readable && !c.paused && !c.dialling:
		c.read()
	case c.paused && c.hungUp:
		c.tellHangUp()
	}
}

// broke notes an error that a write met. It is told from the ready list, after
// the input that came before it (perhaps the answer that explains it).
func (c *conn) broke(e syscall.Errno) {
	c.dropOutput()
	c.errno = uint8(e)
	c.readable = true
	c.queue()
}

// lost ends the connection and tells the handler why.
func (c *conn) lost(err error) {
	h := c.handler
	tell := c.phase == open && h != nil
	c.release()
	if tell {
		h.OnClose(err)
	}
}

// release gives everything back; c does nothing from now on.
func (c *conn) release() {
	if c.phase == closed {
		return
	}
	l := c.loop
	c.phase = closed
	c.forget()
	c.dropOutput()
	c.unrelay()
	if c.rare != nil {
		l.wheel.Disarm(&c.rare.end)
	}
	if c.fd < 0 {
		return // never stood
	}
	l.table.remove(c.id)
	closeSocket(c.fd)
	c.fd = -1
	l.count.add(countOpen, -1)
	if c.from != nil {
		c.from.open.Add(-1)
	}
}
