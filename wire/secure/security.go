package secure

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// Security implements wire.Security. One for a process is enough; it lives as
// long as the driver's loops, and has nothing to close.
type Security struct {
	desks sync.Map // wire.Loop to *desk; read once for each connection
	// Two gates, so that a flood of clients does not keep us from services.
	accepting, dialling gate
	plainBytes          int
	verified            atomic.Uint64
}

var _ wire.Security = (*Security)(nil)

// handshakeBound is for a ServerTLS that names none.
const handshakeBound = 10 * time.Second

// New makes a Security in which at most computing handshakes compute at the
// same time, for clients and for services each; the others wait their turn in
// the order in which they came. A handshake that waits for its peer does not
// count. 0 is GOMAXPROCS as it is now: with as many loops as processors, a
// flood of handshakes then leaves the loops about half of the machine.
func New(computing int) *Security {
	if computing <= 0 {
		computing = runtime.GOMAXPROCS(0)
	}
	return &Security{accepting: newGate(computing), dialling: newGate(computing), plainBytes: plainBytes}
}

// desk gives the buffers of a loop.
func (s *Security) desk(l wire.Loop) *desk {
	if d, ok := s.desks.Load(l); ok {
		return d.(*desk)
	}
	d, _ := s.desks.LoadOrStore(l, &desk{plain: make([]byte, s.plainBytes), join: make([]byte, recordPlain)})
	return d.(*desk)
}

// Verified is how many clients have shown a valid certificate, by connections
// and in this process's life. Any goroutine.
func (s *Security) Verified() uint64 { return s.verified.Load() }

func (s *Security) count(t *wire.TLSState) {
	if t.Certificate != nil {
		s.verified.Add(1)
	}
}

// gate lets a bounded number in, first come, first served.
type gate chan struct{}

func newGate(n int) gate { return make(gate, n) }

// enter waits for a place; it gives up, with false, when gone is closed.
func (g gate) enter(gone <-chan struct{}) bool {
	select {
	case <-gone:
		return false
	default:
	}
	select {
	case g <- struct{}{}:
		return true
	case <-gone:
		return false
	}
}

func (g gate) leave() { <-g }
