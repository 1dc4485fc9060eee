package loop

import (
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

const (
	// packetBase is where the numbers of sockets for datagrams begin in events:
	// above those of connections.
	packetBase = 1 << 30
	// batchesPerTurn bounds how long a socket that always has more keeps the
	// others waiting. It is level triggered: what is left is reported again.
	batchesPerTurn = 4
	// packetBuffer is what the kernel may hold for a listening socket. By
	// itself it holds about 200 small messages, less than a burst that comes
	// while the loop is busy with something else for a millisecond.
	packetBuffer = 4 << 20
)

// packetSocket is a socket for datagrams, listening or dialled. It implements
// wire.DatagramConn.
type packetSocket struct {
	loop       *loop
	handler    wire.DatagramHandler
	remote     netip.AddrPort // of a dialled socket; otherwise invalid
	fd         int32          // -1 when closed
	id         int32          // in the loop's table
	generation int32
	six        bool // of the family of IPv6
	anyLocal   bool // bound to every address: the kernel is asked which was meant
}

var (
	_ wire.DatagramDriver    = (*Driver)(nil)
	_ wire.DatagramListening = (*packetListening)(nil)
	_ wire.DatagramConn      = (*packetSocket)(nil)
)

func (s *packetSocket) Loop() wire.Loop { return s.loop }

// Close closes the socket.
func (s *packetSocket) Close() { s.release() }

func (s *packetSocket) release() {
	if s.fd < 0 {
		return
	}
	s.loop.packets.remove(s.id)
	closeSocket(s.fd)
	s.fd = -1
}

// register makes the loop hear of the socket.
func (s *packetSocket) register() syscall.Errno {
	l := s.loop
	if l.batch == nil {
		l.batch = newBatch()
	}
	s.id = l.packets.add(s)
	l.generation++
	s.generation = l.generation
	e := epollControl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, unix.EPOLLIN, packetBase+s.id, s.generation)
	if e != 0 {
		l.packets.remove(s.id)
	}
	return e
}

// ready takes what has arrived, on the loop.
func (s *packetSocket) ready() {
	b := s.loop.batch
	for range batchesPerTurn {
		n, e := b.receive(s)
		switch {
		case e == syscall.EINTR:
			continue
		case e == syscall.EAGAIN:
			return
		case e != 0:
			// An ICMP message about what was sent; it is told once.
			s.handler.OnDatagramError(e)
			return
		}
		s.handler.OnDatagrams(b.list[:n])
		if s.fd < 0 || n < batchMost {
			return
		}
	}
}

// Send sends the messages.
func (s *packetSocket) Send(list []wire.Datagram) (sent int) {
	for len(list) > 0 && s.fd >= 0 {
		n, e := s.loop.batch.send(s, list[:min(len(list), batchMost)])
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			// The first could not be sent: too large, no way, no room. A message
			// that the network refused (of which an earlier one is told here) is
			// worth another try, once.
			if e == syscall.ECONNREFUSED {
				if n, e = s.loop.batch.send(s, list[:1]); e == 0 {
					sent += n
				}
			}
			list = list[1:]
			continue
		}
		sent += n
		list = list[n:]
	}
	return sent
}

// DialDatagrams makes a socket for one peer.
func (d *Driver) DialDatagrams(wl wire.Loop, addr netip.AddrPort, h wire.DatagramHandler) (wire.DatagramConn, error) {
	l := wl.(*loop)
	fail := func(err error) (wire.DatagramConn, error) { return nil, &wire.DialError{Addr: addr, Err: err} }
	var to sockaddr
	size, err := encode(addr, &to)
	if err != nil || !addr.IsValid() {
		return fail(syscall.EADDRNOTAVAIL)
	}
	if l.stopping {
		return fail(errDriverClosed)
	}
	fd, err := unix.Socket(family(addr), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	s := &packetSocket{loop: l, handler: h, remote: addr, fd: int32(fd)}
	e := connect(s.fd, &to, size)
	if e == 0 {
		e = s.register()
	}
	if e != 0 {
		closeSocket(s.fd)
		return fail(e)
	}
	return s, nil
}

// packetListening is an address that datagrams arrive at, on every loop.
type packetListening struct {
	driver  *Driver
	addr    netip.AddrPort
	sockets []*packetSocket
	once    sync.Once
}

// ListenDatagrams opens addr on every loop; the kernel gives each loop the
// messages of its share of the clients (SO_REUSEPORT).
func (d *Driver) ListenDatagrams(addr netip.AddrPort, open func(wire.DatagramConn) wire.DatagramHandler) (wire.DatagramListening, error) {
	g := &packetListening{driver: d, addr: addr}
	fail := func(err error) (wire.DatagramListening, error) {
		for _, s := range g.sockets {
			closeSocket(s.fd)
		}
		return nil, fmt.Errorf("listen udp %v: %w", addr, err)
	}
	if addr.Port() != 0 {
		fd, err := bindPackets(addr, false)
		if err != nil {
			return fail(err)
		}
		closeSocket(fd)
	}
	for _, l := range d.loops {
		fd, err := bindPackets(g.addr, true)
		if err != nil {
			return fail(err)
		}
		g.sockets = append(g.sockets, &packetSocket{loop: l, fd: fd, six: addr.Addr().Is6(), anyLocal: addr.Addr().IsUnspecified()})
		if g.addr.Port() == 0 {
			var name sockaddr
			if e := socketName(fd, &name); e != 0 {
				return fail(e)
			}
			g.addr = netip.AddrPortFrom(addr.Addr(), decode(&name).Port())
		}
	}
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return fail(errDriverClosed)
	}
	failed := make([]syscall.Errno, len(g.sockets))
	if !g.each(func(i int, s *packetSocket) {
		if failed[i] = s.register(); failed[i] == 0 {
			s.handler = open(s)
		}
	}) {
		return fail(errDriverClosed)
	}
	for _, e := range failed {
		if e != 0 {
			g.Close()
			g.sockets = nil
			return fail(e)
		}
	}
	return g, nil
}

// Addr is what was bound.
func (g *packetListening) Addr() netip.AddrPort { return g.addr }

// Close closes the socket of every loop.
func (g *packetListening) Close() {
	g.once.Do(func() { g.each(func(_ int, s *packetSocket) { s.release() }) })
}

// each runs do on the loop of each socket and waits; false when the driver has
// closed before.
func (g *packetListening) each(do func(int, *packetSocket)) bool {
	done := make(chan struct{}, len(g.sockets))
	for i, s := range g.sockets {
		s.loop.Post(func() {
			do(i, s)
			done <- struct{}{}
		})
	}
	for range g.sockets {
		select {
		case <-done:
		case <-g.driver.ended:
			return false // what was posted and did not run is dropped
		}
	}
	return true
}

// bindPackets makes a socket for addr; shared lets other loops have one too.
func bindPackets(addr netip.AddrPort, shared bool) (int32, error) {
	if !addr.Addr().IsValid() {
		return -1, syscall.EINVAL
	}
	var name sockaddr
	size, err := encode(addr, &name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(family(addr), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, option, value)
		}
	}
	if shared {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		// As much as the system allows (net.core.rmem_max).
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, packetBuffer)
	}
	any := addr.Addr().IsUnspecified()
	if addr.Addr().Is6() {
		only := 1
		if any {
			only = 0
			set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	} else if any {
		set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if err == nil {
		if e := bindName(int32(fd), &name, size); e != 0 {
			err = e
		}
	}
	if err != nil {
		closeSocket(int32(fd))
		return -1, err
	}
	return int32(fd), nil
}
