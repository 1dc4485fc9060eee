package workloadapi

import (
	"net"
	"sync"

	"github.com/naru-mesh/naru/identity"
)

// mostConnections is of a user who is not root: the process's files are for all.
const mostConnections = 500

// bounded is a listener that takes no more connections of a user than there
// may be, and closes the others.
type bounded struct {
	net.Listener
	mu   sync.Mutex
	open map[uint32]int
}

func newBounded(l net.Listener) *bounded { return &bounded{Listener: l, open: map[uint32]int{}} }

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		u, ok := c.(*net.UnixConn)
		if !ok {
			return c, nil // the handshake refuses it
		}
		p, err := identity.PeerProcess(u)
		if err != nil || !b.enter(p.UID) {
			u.Close()
			continue
		}
		return &held{UnixConn: u, of: b, uid: p.UID}, nil
	}
}

func (b *bounded) enter(uid uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if uid != 0 && b.open[uid] >= mostConnections {
		return false
	}
	b.open[uid]++
	return true
}

func (b *bounded) leave(uid uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[uid]--; b.open[uid] <= 0 {
		delete(b.open, uid)
	}
}

// held is a connection that is counted until it is closed.
type held struct {
	*net.UnixConn
	of   *bounded
	uid  uint32
	once sync.Once
}

// Close implements net.Conn.
func (h *held) Close() error {
	h.once.Do(func() { h.of.leave(h.uid) })
	return h.UnixConn.Close()
}
