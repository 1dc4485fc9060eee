package loop

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// defaultBacklog of a listening socket; the kernel lowers it to somaxconn.
const defaultBacklog = 4096

// listening is one address, open on every loop. It implements wire.Listening.
type listening struct {
	driver *Driver
	addr   netip.AddrPort
	accept wire.Acceptor
	max    atomic.Int64 // MaxConns; 0 is no bound
	// captured: connections tell where they wanted to go.
	captured bool
	sockets  []*listenSocket
}

// Listen opens addr on every loop: each has its own socket, and the kernel
// spreads connections over them (SO_REUSEPORT).
func (d *Driver) Listen(addr netip.AddrPort, opt wire.ListenOptions, accept wire.Acceptor) (wire.Listening, error) {
	g := &listening{driver: d, addr: addr, accept: accept, captured: opt.Captured}
	g.max.Store(int64(opt.MaxConns))
	backlog := opt.Backlog
	if backlog <= 0 {
		backlog = defaultBacklog
	}
	fail := func(err error) (wire.Listening, error) {
		for _, s := range g.sockets {
			closeSocket(s.fd)
		}
		return nil, fmt.Errorf("listen %v: %w", addr, err)
	}
	if err := alone(addr); err != nil {
		return fail(err)
	}
	for _, l := range d.loops {
		fd, err := bind(g.addr, true)
		if err != nil {
			return fail(err)
		}
		g.sockets = append(g.sockets, &listenSocket{of: g, loop: l, fd: fd})
		if g.addr.Port() == 0 {
			var name sockaddr
			if e := socketName(fd, &name); e != 0 {
				return fail(e)
			}
			g.addr = netip.AddrPortFrom(addr.Addr(), decode(&name).Port())
		}
	}
	// All are bound before the first is open: no connection is lost when one
	// cannot be bound.
	for _, s := range g.sockets {
		if err := unix.Listen(int(s.fd), backlog); err != nil {
			return fail(err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fail(errDriverClosed)
	}
	for _, s := range g.sockets {
		s.init()
		if e := s.loop.sockets.add(s); e != 0 {
			for _, s := range g.sockets {
				s.close() // the first may have accepted already
			}
			g.sockets = nil
			return fail(e)
		}
	}
	d.listening[g] = struct{}{}
	return g, nil
}

// alone fails when somebody listens on addr already. SO_REUSEPORT would let a
// second process of the same user share the port, and a gateway that was
// started twice by mistake would answer half the requests by each of two
// configurations.
func alone(addr netip.AddrPort) error {
	if addr.Port() == 0 {
		return nil
	}
	fd, err := bind(addr, false)
	if err == nil {
		closeSocket(fd)
	}
	return err
}

// bind makes a socket for addr that can listen; shared lets other loops have
// one too. What is set here is inherited by the connections it accepts:
// TCP_NODELAY need not be set on each.
func bind(addr netip.AddrPort, shared bool) (int32, error) {
	if !addr.Addr().IsValid() {
		return -1, syscall.EINVAL
	}
	var name sockaddr
	size, err := encode(addr, &name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(family(addr), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, option, value)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if shared {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if addr.Addr().Is6() {
		only := 1
		if addr.Addr().IsUnspecified() {
			only = 0 // "::" is for both families
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
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

// Addr is what was bound.
func (g *listening) Addr() netip.AddrPort { return g.addr }

// Conns is how many accepted connections are open, those beyond MaxConns too.
func (g *listening) Conns() int {
	n := int64(0)
	for _, s := range g.sockets {
		n += s.open.Load()
	}
	return int(n)
}

// SyscallConn gives the listening socket of the first loop to whoever has to
// name it to the kernel (package capture). Control works until the listening
// is closed; reading and writing are not to be had.
func (g *listening) SyscallConn() (syscall.RawConn, error) { return rawListening{g.sockets[0]}, nil }

// rawListening implements syscall.RawConn.
type rawListening struct{ s *listenSocket }

// Control keeps the socket open while fn looks at it.
func (r rawListening) Control(fn func(fd uintptr)) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.fd < 0 {
		return wire.ErrClosed
	}
	fn(uintptr(r.s.fd))
	return nil
}

func (rawListening) Read(func(fd uintptr) bool) error  { return syscall.EINVAL }
func (rawListening) Write(func(fd uintptr) bool) error { return syscall.EINVAL }

// SetOptions replaces MaxConns.
func (g *listening) SetOptions(opt wire.ListenOptions) { g.max.Store(int64(opt.MaxConns)) }

// Close accepts what the kernel has queued and closes the sockets. It does so
// on the caller's goroutine, so that it may be called on a loop too.
func (g *listening) Close() {
	d := g.driver
	d.mu.Lock()
	delete(d.listening, g)
	d.mu.Unlock()
	for _, s := range g.sockets {
		s.shun()
	}
	for _, s := range g.sockets {
		s.close()
	}
}

// sockets are the listening sockets of one loop. Others add and remove them.
type sockets struct {
	mu   sync.Mutex
	last int32
	byID map[int32]*listenSocket
}

// add has the loop's epoll report s, as long as it is readable.
func (t *sockets) add(s *listenSocket) syscall.Errno {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = map[int32]*listenSocket{}
		t.last = probeID
	}
	t.last--
	s.id = t.last
	t.byID[s.id] = s
	return epollControl(s.loop.epoll, unix.EPOLL_CTL_ADD, s.fd, unix.EPOLLIN, s.id, 0)
}

func (t *sockets) remove(s *listenSocket) {
	t.mu.Lock()
	delete(t.byID, s.id)
	t.mu.Unlock()
}

func (t *sockets) event(id int32) {
	t.mu.Lock()
	s := t.byID[id]
	t.mu.Unlock()
	if s != nil {
		s.ready()
	}
}
