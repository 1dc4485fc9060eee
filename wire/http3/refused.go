package http3

import (
	"net/netip"
	"sync"
	"time"
)

// A client that is refused has often sent more than one packet by then: its hello
// is longer than one (ML-KEM), and QUIC does not remember whom it has refused. The
// second one, where a place was free again, took it until the handshake's time was
// over, for a client that had gone: a proxy that refused many had no place for
// anybody. What comes from the same address and port shortly afterwards is
// therefore refused, too. A client that tries again does so from another port, or
// later: who has not heard of the refusal sends its hello again after a second
// (RFC 9002 section 6.2.2).
const lately = 900 * time.Millisecond

// refusedKept is how many clients are remembered: two of one place in the list are
// told apart, and the newer one takes it.
const refusedKept = 1024

// refused remembers who was refused lately.
type refused struct {
	mu    sync.Mutex
	lasts time.Duration // how long it is remembered
	list  []refusal     // nil: nobody ever was
}

type refusal struct {
	who netip.AddrPort
	at  time.Time
}

func place(who netip.AddrPort) int {
	b := who.Addr().As16()
	return (int(who.Port()) ^ int(b[15])<<2 ^ int(b[14])<<5) % refusedKept
}

// add remembers who.
func (r *refused) add(who netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = make([]refusal, refusedKept)
	}
	r.list[place(who)] = refusal{who, time.Now()}
}

// has says whether who was refused lately.
func (r *refused) has(who netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		return false
	}
	e := &r.list[place(who)]
	return e.who == who && time.Since(e.at) < r.lasts
}
