package loop

import (
	"errors"
	"math"
	"net/netip"
	"syscall"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// Dial starts a connection. A failure found at once is told later too, from
// the ready list.
func (l *loop) Dial(addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
	return l.DialMarked(addr, l.driver.mark, h)
}

// DialMarked is Dial with SO_MARK; 0 is none. It implements wire.MarkedDialer.
func (l *loop) DialMarked(addr netip.AddrPort, mark uint32, h wire.ConnHandler) wire.Conn {
	return l.dial(addr, h, mark, ownNamespace)
}

// DialFrom is Dial from another network namespace. It implements
// wire.NamespaceDialer.
func (l *loop) DialFrom(netns int, addr netip.AddrPort, h wire.ConnHandler) wire.Conn {
	return l.dial(addr, h, l.driver.mark, netns)
}

// ownNamespace stands for the one that the loops are in.
const ownNamespace = math.MinInt

func (l *loop) dial(addr netip.AddrPort, h wire.ConnHandler, mark uint32, netns int) wire.Conn {
	c := &conn{loop: l, handler: h, fd: -1, dialling: true}
	c.peer.Remote = addr
	if l.stopping {
		c.phase = closed
		return c
	}
	if l.dials++; l.dials > dialsPerTurn {
		l.undialled = append(l.undialled, call{c, mark, netns})
		return c
	}
	c.start(mark, netns)
	return c
}

// dialsPerTurn is how many connections a loop begins in one turn: what many of
// them take of the kernel is shared out over turns in which others go on. The
// rest wait for the next ones.
const dialsPerTurn = 6

// call is a connection that was asked for and is not begun.
type call struct {
	conn  *conn
	mark  uint32
	netns int
}

// dialLater begins what the last turn did not: of a loop that is behind, those that
// matter first, however many they are.
func (l *loop) dialLater() {
	n := min(len(l.undialled), dialsPerTurn)
	if l.behind {
		first := 0
		for i, c := range l.undialled {
			if wire.RankOf(c.conn.handler) == wire.RankFirst {
				copy(l.undialled[first+1:i+1], l.undialled[first:i])
				l.undialled[first] = c
				first++
			}
		}
		n = max(n, first)
	}
	for _, c := range l.undialled[:n] {
		if c.conn.phase != closed { // it may not be wanted any more
			l.dials++
			c.conn.start(c.mark, c.netns)
		}
	}
	rest := copy(l.undialled, l.undialled[n:])
	clear(l.undialled[rest:])
	l.undialled = l.undialled[:rest]
}

// start begins to connect.
func (c *conn) start(mark uint32, netns int) {
	if e := c.dial(c.peer.Remote, mark, netns); e != 0 {
		if c.fd >= 0 {
			closeSocket(c.fd)
			c.fd = -1
		}
		c.errno = uint8(e)
		c.queue()
		return
	}
	c.loop.count.add(countDialled, 1)
}

func (c *conn) dial(addr netip.AddrPort, mark uint32, netns int) syscall.Errno {
	var to sockaddr
	size, err := encode(addr, &to)
	if err != nil || !addr.IsValid() {
		return syscall.EADDRNOTAVAIL // a zone that is not here
	}
	fd, err := c.loop.socketIn(netns, family(addr))
	if err != nil {
		e := syscall.EADDRNOTAVAIL
		errors.As(err, &e)
		return e
	}
	c.fd = int32(fd)
	setNoDelay(c.fd)
	if mark != 0 {
		if e := setMark(c.fd, mark); e != 0 {
			return e // whoever asked for a mark must not be seen without it
		}
	}
	if e := connect(c.fd, &to, size); e != 0 && e != syscall.EINPROGRESS {
		return e
	}
	return c.register()
}

// connected handles the first events of a dialled connection; true when it
// stands and the rest of the event is to be looked at.
func (c *conn) connected(events uint32) bool {
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		e := socketError(c.fd)
		if e == 0 {
			e = syscall.ECONNREFUSED
		}
		c.refused(e)
		return false
	}
	if events&unix.EPOLLOUT == 0 {
		return false
	}
	if c.toItself() {
		c.refused(syscall.ECONNREFUSED)
		return false
	}
	c.dialling = false
	if c.phase == open {
		c.handler.OnOpen()
	}
	if c.phase != closed && c.head == nil && c.shut {
		c.flushed()
	}
	return c.phase != closed
}

// toItself: where nobody listens on a local port from the ephemeral range, the
// kernel may pick that very port for our end, and TCP's simultaneous open
// connects the socket with itself.
func (c *conn) toItself() bool {
	to := netip.AddrPortFrom(c.peer.Remote.Addr().Unmap(), c.peer.Remote.Port())
	if !to.Addr().IsLoopback() {
		return false
	}
	var name sockaddr
	return socketName(c.fd, &name) == 0 && decode(&name) == to
}

// refused ends a connection that never stood.
func (c *conn) refused(e syscall.Errno) {
	c.lost(&wire.DialError{Addr: c.peer.Remote, Err: e})
}
