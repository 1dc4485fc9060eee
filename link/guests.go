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
	mostGuests = 512
	// guestBytes is what one may send in all. A request to join has about 2 KB.
	guestBytes = 32 << 10
	// guestTime is how long one may stay; a client waits as long for its answer.
	guestTime = time.Minute
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
	late *time.Timer
}

var errGuest = errors.New("link: without a certificate one may join, and say no more")

// admit bounds a connection. Where there are too many the oldest ends: who joins
// needs a moment, so that nobody keeps others out by staying.
func (g *guests) admit(c net.Conn) net.Conn {
	x := &guest{Conn: c, of: g, left: guestBytes}
	g.mu.Lock()
	var oldest *guest
	if len(g.all) >= mostGuests {
		oldest = g.all[0]
	}
	g.all = append(g.all, x)
	x.late = time.AfterFunc(guestTime, func() { _ = x.Close() })
	g.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return x
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
