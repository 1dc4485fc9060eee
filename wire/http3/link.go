package http3

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/naru-mesh/naru/wire"
)

// link is a connection of QUIC, of which one loop is told.
type link struct {
	conn     *quic.Conn
	loop     wire.Loop
	sorter   wire.Sorter     // loop, where it is one
	done     <-chan struct{} // closed with the connection
	patience time.Duration   // for a client that takes nothing; negative: endless
	waiting  atomic.Int64    // bytes in all streams that QUIC has not taken
	begin    func(run func())
	agreed   *wire.TLSState

	// The loop's own.
	session *session
	control *pipe
	gone    bool

	mu     sync.Mutex
	ready  []*pipe
	spare  []*pipe
	posted bool
}

var _ carrier = (*link)(nil)

// newLink makes a link whose goroutines count in over; so does the link, until
// the loop has heard that the connection is gone.
func newLink(conn *quic.Conn, l wire.Loop, over *sync.WaitGroup) *link {
	over.Add(1)
	k := &link{conn: conn, loop: l, done: conn.Context().Done()}
	k.sorter, _ = l.(wire.Sorter)
	context.AfterFunc(conn.Context(), func() {
		l.Post(func() {
			if k.gone = true; k.session != nil {
				k.session.gone()
			}
			over.Done()
		})
	})
	k.begin = func(run func()) {
		over.Add(1)
		go func() {
			defer over.Done()
			run()
		}()
	}
	return k
}

// start makes the session, on the loop.
func (k *link) start(loc *local, srv wire.Server, lim *wire.Limits) {
	if k.gone {
		return
	}
	k.patience = lim.Write
	out, err := k.conn.OpenUniStream()
	if err != nil {
		// A client that allows no control stream cannot speak HTTP/3.
		k.end(codeStreamCreation, "no control stream")
		return
	}
	k.control = newPipe(k, uint64(out.StreamID()), nil, out, func(outlet) inlet { return nobody{} })
	k.session = newSession(k.loop, loc, k, k.peer(), srv, lim)
	k.begin(k.acceptStreams)
	k.begin(k.acceptSides)
}

// peer describes the client.
func (k *link) peer() wire.Peer {
	return wire.Peer{Remote: addrPort(k.conn.RemoteAddr()), Local: addrPort(k.conn.LocalAddr()), TLS: k.agreed}
}

// addrPort gives an address of UDP.
func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort()
	}
	return netip.AddrPort{}
}

func (k *link) acceptStreams() {
	for {
		s, err := k.conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		newPipe(k, uint64(s.StreamID()), s, s, k.session.open).start()
	}
}

func (k *link) acceptSides() {
	for {
		s, err := k.conn.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		newPipe(k, uint64(s.StreamID()), s, nil, k.session.openSide).start()
	}
}

// notify has p's turn come on the loop. One function is posted for all.
func (k *link) notify(p *pipe) {
	k.mu.Lock()
	post := false
	if !p.listed {
		p.listed = true
		k.ready = append(k.ready, p)
		post = !k.posted
		k.posted = true
	}
	k.mu.Unlock()
	if post {
		k.loop.Post(k.turn)
	}
}

// turn tells what the streams of the connection have to tell, or puts it off where
// the loop is behind.
func (k *link) turn() {
	k.mu.Lock()
	list := k.ready
	k.ready, k.spare = k.spare[:0], nil
	k.posted = false
	for _, p := range list {
		p.listed = false
	}
	k.mu.Unlock()
	behind := k.sorter != nil && k.sorter.Behind()
	for _, p := range list {
		if !behind || !p.putOff(k.sorter) {
			p.turn()
		}
	}
	clear(list)
	k.mu.Lock()
	k.spare = list[:0]
	k.mu.Unlock()
}

// say is carrier's.
func (k *link) say(b []byte) { k.control.write(b, nil, false) }

// end is carrier's. Closing waits for quic-go.
func (k *link) end(with code, text string) {
	k.begin(func() { _ = k.conn.CloseWithError(quic.ApplicationErrorCode(with), text) })
}

func (k *link) remote() netip.AddrPort { return addrPort(k.conn.RemoteAddr()) }

// nobody hears of a stream on which nothing can happen that matters.
type nobody struct{}

func (nobody) onData([]byte, bool) {}
func (nobody) onReset()            {}
func (nobody) onStopped()          {}
func (nobody) onDrained()          {}
func (nobody) onSent()             {}
func (nobody) onStuck()            {}
func (nobody) onRoused()           {}
