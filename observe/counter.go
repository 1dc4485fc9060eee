package observe

import "sync/atomic"

// Counter is a count. One goroutine (one event loop) may Add, any may Load. Those
// that exporters give out as counters only grow; who has counted something that
// turns out to be otherwise may take it back, by adding ^uint64(0).
//
// Add is a plain addition where that is safe, see counter_plain.go: an atomic
// store is a locked instruction on amd64 (about 5 ns), and an exchange touches
// a dozen counters.
type Counter struct{ n uint64 }

// Load reads the count; from any goroutine.
func (c *Counter) Load() uint64 { return atomic.LoadUint64(&c.n) }
