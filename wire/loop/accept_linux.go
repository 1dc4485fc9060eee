package loop

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

const (
	// acceptsPerTurn bounds how long arrivals, and what they bring along, keep
	// connections waiting; the
	// socket is level triggered, so what is left is reported again.
	acceptsPerTurn = 4
	// acceptsBehind is for a loop that is behind: those whose requests matter are
	// among them, and its turns are a slice.
	acceptsBehind = 16
	// acceptsMany is for PaceMany.
	acceptsMany = 256
	// acceptRest is how long a socket is left alone after a failing accept (out of
	// descriptors or memory, it would be reported again and again), and after each
	// connection while the process is short of memory (PaceRest).
	acceptRest = 100 * time.Millisecond
	// acceptNote is how often a loop logs that at most.
	acceptNote = time.Second
)

// accepts are how many connections a turn takes, by Pace.
var accepts = [...]int{PaceAll: acceptsPerTurn, PaceMany: acceptsMany, PaceTurn: 1, PaceRest: 1}

// listenSocket is the socket of one listening on one loop.
type listenSocket struct {
	of   *listening
	loop *loop
	id   int32        // in events
	open atomic.Int64 // accepted connections on this loop
	rest wire.Timer   // of the loop

	// mu keeps fd from being closed, and its number from being another file's,
	// between a look at it and the system call.
	mu sync.Mutex
	fd int32 // -1 when closed
}

func (s *listenSocket) init() { s.rest.Handler = s }

// ready accepts what has arrived, on the loop.
func (s *listenSocket) ready() {
	pace := Pace(s.loop.driver.pace.Load())
	most := accepts[pace]
	if pace == PaceAll && s.loop.behind {
		most = acceptsBehind
	}
	for range most {
		h, e := s.next()
		switch e {
		case 0:
			s.place(h)
			if pace == PaceRest {
				s.pause()
			}
		case syscall.EAGAIN, syscall.EBADF:
			return
		case syscall.EINTR, syscall.ECONNABORTED, syscall.EPROTO:
		default:
			s.tired(e)
			return
		}
	}
}

// next accepts one connection; EBADF when the socket is closed.
func (s *listenSocket) next() (handed, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return handed{}, syscall.EBADF
	}
	var from sockaddr
	fd, e := accept(s.fd, &from)
	if e != 0 {
		return handed{}, e
	}
	return handed{fd: fd, peer: decode(&from)}, 0
}

// place decides which loop gets the connection, and brings it there.
func (s *listenSocket) place(h handed) {
	s.choose(&h)
	if h.from == s {
		s.loop.adopt(h)
		return
	}
	s.loop.count.add(countHanded, 1)
	if !h.from.loop.box.give(h) {
		h.drop()
	}
}

// choose counts the connection for the loop that shall have it. The kernel's
// choice is a hash: with few long-lived connections one loop may get most of
// them.
func (s *listenSocket) choose(h *handed) {
	total, mine := int64(0), s.open.Load()
	least, fewest := s, mine
	for _, o := range s.of.sockets {
		n := o.open.Load()
		total += n
		if n < fewest {
			least, fewest = o, n
		}
	}
	if most := s.of.max.Load(); most > 0 && total >= most {
		h.over = true
	}
	h.from = s
	// Up to a quarter more is not worth the cost of a hand-over.
	if mine > fewest+fewest/4 {
		h.from = least
	}
	h.from.open.Add(1)
}

// adopt makes an accepted descriptor a connection of the loop.
func (l *loop) adopt(h handed) {
	c := &conn{loop: l, from: h.from, fd: h.fd}
	c.peer.Remote = h.peer
	if local := h.from.of.addr; !local.Addr().IsUnspecified() {
		c.peer.Local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	}
	if h.from.of.captured {
		c.original(h.from.of.addr)
	}
	if l.stopping || c.register() != 0 {
		h.drop()
		return
	}
	l.count.add(countAccepted, 1)
	l.current = c
	h.from.of.accept(c, h.over)
	if c.phase == open && c.handler == nil {
		l.driver.log.Error("an accepted connection was given no handler", "listening", h.from.of.addr)
		c.Abort()
	}
	l.current = nil
}

// drop closes a connection that no loop will have.
func (h handed) drop() {
	closeSocket(h.fd)
	h.from.open.Add(-1)
}

// tired leaves the socket alone for a while, and says why.
func (s *listenSocket) tired(e syscall.Errno) {
	l := s.loop
	s.pause()
	if l.now-l.noted >= acceptNote {
		l.noted = l.now
		l.driver.log.Error("cannot accept connections", "listening", s.of.addr, "err", e)
	}
}

// pause leaves the socket alone for a while.
func (s *listenSocket) pause() {
	s.report(0)
	s.loop.wheel.Arm(&s.rest, s.loop.now, acceptRest)
}

// OnTimer ends the rest.
func (s *listenSocket) OnTimer(*wire.Timer) { s.report(unix.EPOLLIN) }

// report says which events of the socket the loop hears of.
func (s *listenSocket) report(events uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		epollControl(s.loop.epoll, unix.EPOLL_CTL_MOD, s.fd, events, s.id, 0)
	}
}

// shun lets nobody in who is not on the way already.
func (s *listenSocket) shun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		shun(s.fd)
	}
}

// close accepts what is queued, for the loops, and closes the socket. Any
// goroutine.
func (s *listenSocket) close() {
	for {
		h, e := s.next()
		if e == syscall.EINTR || e == syscall.ECONNABORTED {
			continue
		}
		if e != 0 {
			break
		}
		s.choose(&h)
		if !h.from.loop.box.give(h) {
			h.drop()
		}
	}
	s.loop.sockets.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		closeSocket(s.fd)
		s.fd = -1
	}
}
