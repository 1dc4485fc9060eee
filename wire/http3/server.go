package http3

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Server is wire.QUICServer.
type Server struct {
	loops  []wire.Loop
	locals []*local // by loop
	next   atomic.Uint32
	over   sync.WaitGroup // goroutines and links
	// handshakes is SetHandshakes's.
	handshakes atomic.Int32

	mu      sync.Mutex
	sockets map[netip.AddrPort]*socket
	closed  bool
}

var _ wire.QUICServer = (*Server)(nil)

// New makes a server that gives its connections to loops in turn.
func New(loops []wire.Loop) *Server {
	s := &Server{loops: loops, sockets: map[netip.AddrPort]*socket{}}
	for range loops {
		s.locals = append(s.locals, &local{})
	}
	return s
}

// What QUIC may keep for one connection: windows open as far as a client that
// is quick and far away needs them.
const (
	mostStreams     = 100
	mostSides       = 8
	streamWindow    = 256 << 10
	maxStreamWindow = 1 << 20
	connWindow      = 512 << 10
	maxConnWindow   = 4 << 20
)

// A connection is given up when nothing was heard for silence; what is asked
// for every so often keeps a request alive that says nothing for longer.
const (
	silence = 60 * time.Second
	asked   = 20 * time.Second
)

// crowd is how many handshakes may be under way before a client must show
// that it is where it says (RFC 9000 section 8.1.2).
const crowd = 64

// handshakeBound is for bounds that name none.
const handshakeBound = 10 * time.Second

// socket is a UDP socket and everything that came by it.
type socket struct {
	server    *Server
	addr      netip.AddrPort
	udp       *net.UDPConn
	transport *quic.Transport
	now       atomic.Pointer[listening] // nil: nobody listens
	shaking   atomic.Int32
	refused   refused
	// Of the server's mu: who uses it besides the listening of now.
	links map[*link]*listening
}

// listening is wire.QUICListening.
type listening struct {
	socket   *socket
	opt      wire.QUICOptions
	tls      *tls.Config
	bounds   atomic.Pointer[wire.QUICBounds]
	conns    atomic.Int32
	listener *quic.Listener
}

var _ wire.QUICListening = (*listening)(nil)

var (
	errClosed = errors.New("the server is closed")
	errFull   = errors.New("too many connections")
	errBusy   = errors.New("too many handshakes for an overloaded proxy")
)

// SetHandshakes bounds how many handshakes of a socket may be under way at a time:
// who comes besides is refused at once, and may come by TCP. 0, the default, is
// no bound. Any goroutine.
func (s *Server) SetHandshakes(most int) { s.handshakes.Store(int32(most)) }

// ListenQUIC is wire.QUICServer's.
func (s *Server) ListenQUIC(addr netip.AddrPort, opt wire.QUICOptions) (wire.QUICListening, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	k := s.sockets[addr]
	if k == nil {
		var err error
		if k, err = s.bind(addr); err != nil {
			return nil, err
		}
		s.sockets[addr] = k
	}
	l := &listening{socket: k, opt: opt, tls: opt.Security.Lend("h3")}
	l.SetBounds(opt.Bounds)
	// Before Listen: connections come from within it.
	k.now.Store(l)
	var err error
	if l.listener, err = k.transport.Listen(l.tls, l.config()); err != nil {
		k.now.Store(nil)
		k.left()
		return nil, err
	}
	s.begin(l.accept)
	return l, nil
}

func (s *Server) begin(run func()) {
	s.over.Add(1)
	go func() {
		defer s.over.Done()
		run()
	}()
}

// bind opens a socket.
func (s *Server) bind(addr netip.AddrPort) (*socket, error) {
	network, to := "udp", net.UDPAddrFromAddrPort(addr)
	switch {
	case addr.Addr() == netip.IPv6Unspecified():
		to.IP = nil // of both families, where the machine has both
	case addr.Addr().Is4():
		network = "udp4"
	}
	udp, err := net.ListenUDP(network, to)
	if err != nil {
		return nil, err
	}
	k := &socket{server: s, addr: addr, udp: udp, refused: refused{lasts: lately}, links: map[*link]*listening{}}
	k.transport = &quic.Transport{
		Conn:                udp,
		VerifySourceAddress: func(net.Addr) bool { return k.shaking.Load() > crowd },
		ConnContext:         k.meet,
	}
	var key quic.StatelessResetKey
	_, _ = rand.Read(key[:]) // never fails
	k.transport.StatelessResetKey = &key
	return k, nil
}

// left closes the socket where nobody uses it any more. The server's mu is
// locked.
func (k *socket) left() {
	if k.now.Load() == nil && len(k.links) == 0 && k.server.sockets[k.addr] == k {
		delete(k.server.sockets, k.addr)
		_ = k.transport.Close()
		_ = k.udp.Close()
	}
}

// attempt is a connection before it stands. It travels in QUIC's context.
type attempt struct {
	stood atomic.Bool
}

type attemptKey struct{}

// meet is told of each new connection, before its handshake.
func (k *socket) meet(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	l := k.now.Load()
	if l == nil {
		return nil, errClosed
	}
	remote := addrPort(info.RemoteAddr)
	if k.refused.has(remote) {
		return nil, errBusy // it was told of
	}
	if most := k.server.handshakes.Load(); most > 0 && k.shaking.Load() >= most {
		k.refused.add(remote)
		l.opt.Failed(observe.ProxyOverloaded, remote, errBusy)
		return nil, errBusy
	}
	if most := l.bounds.Load().MaxConns; int(l.conns.Add(1)) > most && most > 0 {
		l.conns.Add(-1)
		k.refused.add(remote)
		l.opt.Failed(observe.TooManyConnections, remote, errFull)
		return nil, errFull
	}
	a := &attempt{}
	k.shaking.Add(1)
	context.AfterFunc(ctx, func() {
		l.conns.Add(-1)
		if a.stood.CompareAndSwap(false, true) {
			k.shaking.Add(-1)
			l.failed(context.Cause(ctx), remote)
		}
	})
	return context.WithValue(ctx, attemptKey{}, a), nil
}

// failed tells why a handshake did not succeed.
func (l *listening) failed(err error, remote netip.AddrPort) {
	var why observe.Reason
	var late *quic.HandshakeTimeoutError
	var silent *quic.IdleTimeoutError
	if errors.As(err, &late) || errors.As(err, &silent) {
		why = observe.HandshakeTimeout
	} else {
		why, err = wire.HandshakeReason(err)
	}
	l.opt.Failed(why, remote, err)
}

// config is QUIC's; bounds are asked for with each connection.
func (l *listening) config() *quic.Config {
	c := &quic.Config{
		MaxIdleTimeout: silence, KeepAlivePeriod: asked,
		InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: maxStreamWindow,
		InitialConnectionReceiveWindow: connWindow, MaxConnectionReceiveWindow: maxConnWindow,
		MaxIncomingStreams: mostStreams, MaxIncomingUniStreams: mostSides,
		RequireStreamCreditRelease: true,
	}
	base := c.Clone()
	c.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) {
		mine := base.Clone()
		switch d := l.bounds.Load().Handshake; {
		case d > 0:
			mine.HandshakeIdleTimeout = max(d/2, time.Millisecond) // the whole may take twice that
		case d == 0:
			mine.HandshakeIdleTimeout = handshakeBound / 2
		default:
			mine.HandshakeIdleTimeout = time.Hour
		}
		return mine, nil
	}
	return c
}

// accept takes connections that stand until the listening is closed.
func (l *listening) accept() {
	for {
		conn, err := l.listener.Accept(context.Background())
		if err != nil {
			return
		}
		l.take(conn)
	}
}

// take gives a connection to a loop.
func (l *listening) take(conn *quic.Conn) {
	k, s := l.socket, l.socket.server
	if a, ok := conn.Context().Value(attemptKey{}).(*attempt); ok && a.stood.CompareAndSwap(false, true) {
		k.shaking.Add(-1)
	}
	i := int(s.next.Add(1)) % len(s.loops)
	loop := s.loops[i]
	link := newLink(conn, loop, &s.over)
	s.mu.Lock()
	k.links[link] = l
	s.mu.Unlock()
	context.AfterFunc(conn.Context(), func() {
		s.mu.Lock()
		delete(k.links, link)
		k.left()
		s.mu.Unlock()
	})
	link.agreed = l.opt.Security.Agreed(conn.ConnectionState().TLS)
	loop.Post(func() {
		srv, lim := l.opt.Accept(loop)
		link.start(s.locals[i], srv, lim)
	})
}

// Conns is wire.QUICListening's.
func (l *listening) Conns() int { return int(l.conns.Load()) }

// SetBounds is wire.QUICListening's.
func (l *listening) SetBounds(b wire.QUICBounds) { l.bounds.Store(&b) }

// Close is wire.QUICListening's.
func (l *listening) Close() {
	k, s := l.socket, l.socket.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.now.CompareAndSwap(l, nil) {
		_ = l.listener.Close()
	}
	for link, of := range k.links {
		if of == l {
			link.loop.Post(func() {
				if link.session != nil {
					link.session.retire()
				}
			})
		}
	}
	k.left()
}

// Close ends every connection, and waits until nothing of them is left. The
// loops must still run.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for _, k := range s.sockets {
		if l := k.now.Swap(nil); l != nil {
			_ = l.listener.Close()
		}
		for link := range k.links {
			s.begin(func() { _ = link.conn.CloseWithError(quic.ApplicationErrorCode(codeNone), "") })
		}
		k.left()
	}
	s.mu.Unlock()
	s.over.Wait()
}
