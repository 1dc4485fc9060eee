package wire

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// Driver is the set of event loops of a process.
type Driver interface {
	// Loops gives all loops; their number never changes.
	Loops() []Loop
	// Listen opens addr on every loop and accepts until the Listening is
	// closed. accept runs on the accepting connection's loop; it must set a
	// handler or close the connection before it returns. The address is bound
	// when Listen returns; the error names it ("listen 0.0.0.0:80: permission
	// denied").
	Listen(addr netip.AddrPort, opt ListenOptions, accept Acceptor) (Listening, error)
	// Close aborts every connection, ends every loop and waits for them.
	Close()
}

// ListenOptions of one listening address.
type ListenOptions struct {
	// Backlog of the kernel; 0 is 4096.
	Backlog int
	// MaxConns is how many accepted connections may be open at once, over all
	// loops; 0 is no bound. A connection beyond it is still given to the
	// Acceptor, with over set, so that it can be refused in its own language.
	MaxConns int
	// Captured: connections were brought here that were meant for other
	// addresses; each tells which (Peer.Original), by SO_ORIGINAL_DST or by its
	// local address. It costs one or two system calls a connection.
	Captured bool
}

// Acceptor is called with a new connection, on its loop. over says that the
// listener had MaxConns open already: answer and close.
type Acceptor func(c Conn, over bool)

// Listening is an open listening address.
type Listening interface {
	// Addr is what was bound; the port is filled in where 0 was asked for.
	Addr() netip.AddrPort
	// Conns is how many accepted connections are open now. Any goroutine.
	Conns() int
	// SetOptions replaces MaxConns while listening. Any goroutine.
	SetOptions(opt ListenOptions)
	// Close accepts what the kernel has queued already, then stops. It returns
	// when no loop listens any more; open connections live on.
	Close()
}

// Loop is one event loop: a goroutine that owns its thread, its connections,
// its timers and its buffers.
type Loop interface {
	// Index counts from 0 to len(Driver.Loops())-1.
	Index() int
	// Now is the time since the driver started, read once for each event, and
	// for a few together where many are in hand: monotonic, and cheap.
	Now() time.Duration
	// Wall is Now as a wall-clock time, good to about a millisecond.
	Wall() time.Time
	// Post runs fn on the loop, soon, after the event in hand. It may be called
	// from any goroutine, the loop's own too; order is kept for one caller. It
	// never blocks. After Driver.Close the function is dropped.
	Post(fn func())
	// Dial starts a connection and returns at once. The Conn may be written to
	// immediately: what is written waits for the connection. Success is told by
	// ConnHandler.OnOpen, failure by OnClose with a *DialError; there is no
	// time-out but the caller's.
	Dial(addr netip.AddrPort, h ConnHandler) Conn
	// Arm sets t to fire once, at or within 20 ms after Now()+d (d up to 24 h); an armed timer is
	// moved. d <= 0 fires at the next turn. The Timer must stay alive and in
	// place until it fired or was disarmed.
	Arm(t *Timer, d time.Duration)
	// Disarm stops t; it does nothing when t is not armed.
	Disarm(t *Timer)
}

// MarkedDialer is a Loop that can mark single connections (SO_MARK), where
// firewalls or package capture tell some of them from others.
type MarkedDialer interface {
	// DialMarked is Loop.Dial. Where the mark may not be set (it needs
	// CAP_NET_ADMIN) the dial fails.
	DialMarked(addr netip.AddrPort, mark uint32, h ConnHandler) Conn
}

// NamespaceDialer is a Loop that can dial from another network namespace.
type NamespaceDialer interface {
	// DialFrom is Loop.Dial from the network namespace that the file netns is,
	// which is needed until it returns (network_namespaces(7)). It takes
	// CAP_SYS_ADMIN; where the namespace cannot be entered the dial fails.
	DialFrom(netns int, addr netip.AddrPort, h ConnHandler) Conn
}

// ConnHandler receives the events of a Conn, on its loop. Codecs and
// wire/secure implement it.
type ConnHandler interface {
	// OnOpen: a dialled connection is established (after Dial only; through
	// wire/secure: the handshake is complete).
	OnOpen()
	// OnData: bytes arrived. They are lent until OnData returns. The handler
	// must take all of them, or Pause and keep what it has not used.
	OnData(b []byte)
	// OnEOF: the peer will send no more; writing may go on (half-close).
	OnEOF()
	// OnDrained: Buffered, having been above LowWater, is at most LowWater
	// again.
	OnDrained()
	// OnClose: the connection is gone, by the peer or by an error. It is the
	// last call, and does not come when the handler itself called Close, Finish
	// or Abort.
	OnClose(err error)
}

// Deaf hears nothing: the handler of a connection that is being refused.
type Deaf struct{}

func (Deaf) OnOpen()       {}
func (Deaf) OnData([]byte) {}
func (Deaf) OnEOF()        {}
func (Deaf) OnDrained()    {}
func (Deaf) OnClose(error) {}

// Watermarks of a Conn's output. A producer stops (pauses its source) when
// Buffered passes HighWater and goes on at OnDrained.
const (
	LowWater  = 64 << 10
	HighWater = 256 << 10
)

// Conn is one stream of bytes. All methods are called on its Loop.
type Conn interface {
	Loop() Loop
	// Peer describes the other side. It belongs to the Conn.
	Peer() *Peer
	// SetHandler replaces who receives events.
	SetHandler(h ConnHandler)
	// Write sends a, then b, as one write; either may be empty. What the
	// kernel does not take is copied and sent later, so the slices are free
	// when Write returns. After Close, Finish, Abort or an error it does
	// nothing.
	Write(a, b []byte)
	// Buffered is how many bytes were written and not yet taken by the kernel.
	Buffered() int
	// Waiting asks the kernel whether the peer has sent something, or has ended,
	// that no event told yet. It takes a system call: it is for an idle
	// connection whose quiet is in doubt.
	Waiting() bool
	// Pause stops OnData and OnEOF (an error is still told); Resume lets them
	// come again, later, from the loop's top. A new Conn is not paused. Both
	// are cheap: no system call.
	Pause()
	Resume()
	// CloseWrite sends end of stream after what is buffered; reading goes on.
	CloseWrite()
	// Close sends what is buffered (for at most 5 s), then closes.
	Close()
	// Finish is Close for a connection on which the peer may still be sending:
	// it sends what is buffered, ends the stream, and throws away what arrives
	// for up to 2 s, so that the peer can read the last answer before a reset
	// could destroy it (RFC 9112 section 9.6).
	Finish()
	// Abort resets the connection now; nothing buffered is sent.
	Abort()
}

// Peer is who is at the other end of a connection.
type Peer struct {
	Remote netip.AddrPort
	Local  netip.AddrPort
	// Original is where a captured connection wanted to go (ListenOptions.Captured);
	// the zero AddrPort where it was made to this address.
	Original netip.AddrPort
	// TLS is nil on a plain connection.
	TLS *TLSState
}

// TLSState is what was agreed in a handshake; it does not change afterwards.
type TLSState struct {
	Version    uint16 // tls.VersionTLS12, tls.VersionTLS13
	Cipher     uint16
	ServerName string // SNI, lower case
	Protocol   string // ALPN, "" if none
	Resumed    bool
	// Listener data of the acceptor: which credential set was chosen.
	Credential any
	// Certificate is what the peer has shown and was checked, nil where it has
	// shown none or (ClientAuth.Optional) one that is not valid: then Invalid
	// says why.
	Certificate *x509.Certificate
	Invalid     error
	// Identity is the peer's SPIFFE ID, "" where it has proved none.
	Identity string
	// Tunnel: what comes is in a tunnel of the peer's, who need not have written it
	// (Tunneler).
	Tunnel bool
	// Subject and Forwarded are Certificate in the access log and in an element
	// of X-Forwarded-Client-Cert; "" without one, and on dialled connections.
	Subject, Forwarded string
}

// DialError is why a Dial failed.
type DialError struct {
	Addr netip.AddrPort
	Err  error // a syscall.Errno for plain connections
	TLS  bool  // the TCP connection stood, the handshake failed
}

func (e *DialError) Error() string {
	op := "connect "
	if e.TLS {
		op = "tls handshake with "
	}
	return op + e.Addr.String() + ": " + e.Err.Error()
}

func (e *DialError) Unwrap() error { return e.Err }

// DialReason tells why a connection could not be made.
func DialReason(err error) observe.Reason {
	var d *DialError
	var peer *PeerError
	switch {
	case errors.As(err, &peer):
		return peer.Why
	case errors.As(err, &d) && d.TLS:
		return observe.UpstreamTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return observe.ConnectRefused
	case errors.Is(err, syscall.ETIMEDOUT):
		return observe.ConnectTimeout
	}
	return observe.ConnectFailed
}

// LostReason tells why a connection to a service that stood is gone.
func LostReason(err error) observe.Reason {
	if d := (*DialError)(nil); errors.As(err, &d) {
		// TLS 1.3: the service has judged us after we thought it done.
		return DialReason(err)
	}
	return observe.UpstreamReset
}

// ErrClosed is OnClose's error when the peer closed in an orderly way while
// nobody could be told by OnEOF.
var ErrClosed = net.ErrClosed

// ErrEnded is the error of an exchange whose service has closed the connection in
// an orderly way before its response was complete.
var ErrEnded = errors.New("the service closed the connection before its response was complete")

// Warmer is a ConnHandler, or another party to a connection, that can read
// ahead. Warm reads what the next call into it will need, and does nothing else:
// the processor fetches it from memory meanwhile. The result means nothing; it
// keeps the reads from being optimized away. It must not allocate.
type Warmer interface{ Warm() uint64 }

// Rank is how soon a loop that has more to do than it can comes to what happens on a
// connection.
type Rank uint8

const (
	// RankFirst: at once, in order. It is that of whatever says nothing.
	RankFirst Rank = iota
	// RankBegun: after that, as it belongs to what is nearly done.
	RankBegun
	// RankLast: when there is time.
	RankLast
)

// Ranker is a ConnHandler, or another party to a connection, that knows how much
// what comes next there matters. It is asked while its loop is behind, only then.
type Ranker interface{ Rank() Rank }

// Sorter is a Loop that puts off what matters less while it is behind: for what comes
// together and does not matter alike, as what one Post tells, or one connection
// carries. Both are called on it.
type Sorter interface {
	// Behind says whether the loop is behind. It is asked where something has
	// happened that it has not been asked about.
	Behind() bool
	// PutOff has OnTurn called when the turn has come of what is of a rank, which is
	// not RankFirst, while it is behind.
	PutOff(rank Rank, who Latecomer)
}

// Latecomer is whose turn a loop has put off. Nobody takes that back: whoever has
// ended meanwhile does nothing.
type Latecomer interface{ OnTurn() }

// RankOf asks party, which may be anything.
func RankOf(party any) Rank {
	if r, ok := party.(Ranker); ok {
		return r.Rank()
	}
	return RankFirst
}
