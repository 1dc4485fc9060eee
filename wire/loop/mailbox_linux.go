package loop

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// mailbox is how other goroutines reach a loop. Locking is not on the request
// path.
//
// No wake-up is lost: the loop sets asleep, then looks at waiting (and at the
// published due time); a sender sets waiting, then looks at asleep. Whichever
// comes second sees the other.
type mailbox struct {
	waiting atomic.Bool // something can be taken
	asleep  atomic.Bool // the loop waits, or is about to
	wakers  atomic.Int32
	gone    atomic.Bool // eventfd is closed, or about to be
	eventfd int32

	mu     sync.Mutex
	posts  []func()
	handed []handed
	closed bool
}

// handed is a connection that another goroutine accepted for this loop.
type handed struct {
	fd   int32
	peer netip.AddrPort
	from *listenSocket
	over bool
}

// post adds fn; a closed mailbox drops it.
func (m *mailbox) post(fn func()) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.posts = append(m.posts, fn)
	m.waiting.Store(true)
	m.mu.Unlock()
	m.wake()
}

// give adds an accepted connection; false when the mailbox is closed: the
// connection stays the caller's.
func (m *mailbox) give(h handed) bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.handed = append(m.handed, h)
	m.waiting.Store(true)
	m.mu.Unlock()
	m.wake()
	return true
}

// take gives out all that came, in order, and keeps the emptied slices for
// what comes next.
func (m *mailbox) take(posts []func(), accepted []handed) ([]func(), []handed) {
	m.mu.Lock()
	m.posts, posts = posts[:0], m.posts
	m.handed, accepted = accepted[:0], m.handed
	m.waiting.Store(false)
	m.mu.Unlock()
	return posts, accepted
}

// wake ends the loop's wait; it does nothing when the loop is awake.
func (m *mailbox) wake() {
	if !m.asleep.CompareAndSwap(true, false) {
		return
	}
	// The number of eventfd may belong to another file once it is closed:
	// close waits for the wakers.
	m.wakers.Add(1)
	if !m.gone.Load() {
		signalEventfd(m.eventfd)
	}
	m.wakers.Add(-1)
}

// close refuses what comes later and gives back the connections that nobody
// took.
func (m *mailbox) close() []handed {
	m.mu.Lock()
	m.closed = true
	left := m.handed
	m.posts, m.handed = nil, nil
	m.mu.Unlock()
	return left
}
