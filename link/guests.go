package link

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// Bounds of who shows no certificate. That is how a machine comes that joins, and
// so anybody: each may say one thing, which is short, and does not stay.
const (
	// guestBytes is what one may send in all. A request to join has about 2 KB.
	mostGuests, guestBytes = 512, 32 << 10
	// guestTime is how long one may stay, guestTurn is how long one is sure to.
	guestTime, guestTurn = time.Minute, 10 * time.Second
)

// guests are the connections of those.
type guests struct {
	mu  sync.Mutex
	all []*guest // the oldest first
}

// guest is one of them.
type guest struct {
	net.Conn
	of   *guests
	left int // bytes that it may send; of the reader
	came time.Time
	late *time.Timer
}

var errGuest, errGuests = errors.New("link: without a certificate one may join, and say no more"), errors.New("link: too many join at once")

// admit bounds a connection. Where there are too many it is refused, or the oldest
// ends if that has had its turn: nobody keeps others out by staying, and of many
// machines that join at once none is ended by the next.
func (g *guests) admit(c net.Conn, now time.Time) (net.Conn, error) {
	x := &guest{Conn: c, of: g, left: guestBytes, came: now}
	g.mu.Lock()
	var oldest *guest
	if len(g.all) >= mostGuests {
		if oldest = g.all[0]; now.Sub(oldest.came) < guestTurn {
			g.mu.Unlock()
			return nil, errGuests
		}
	}
	x.late = time.AfterFunc(guestTime, func() { _ = x.Close() })
	g.all = append(g.all, x)
	g.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return x, nil
}

// Read implements net.Conn.
func (x *guest) Read(b []byte) (int, error) {
	if x.left == 0 {
		return 0, errGuest
	}
	n, err := x.Conn.Read(b[:min(len(b), x.left)])
	x.left -= n
	return n, err
}

// Close implements net.Conn.
func (x *guest) Close() error {
	x.of.mu.Lock()
	if i := slices.Index(x.of.all, x); i >= 0 {
		x.of.all = slices.Delete(x.of.all, i, i+1)
	}
	x.late.Stop()
	x.of.mu.Unlock()
	return x.Conn.Close()
}
