package observe

import "sync/atomic"

// Counter only grows. One goroutine (one event loop) may Add, any may Load.
//
// Add is a plain addition where that is safe, see counter_plain.go: an atomic
// store is a locked instruction on amd64 (about 5 ns), and an exchange touches
// a dozen counters.
type Counter struct{ n uint64 }

// Load reads the count; from any goroutine.
func (c *Counter) Load() uint64 { return atomic.LoadUint64(&c.n) }
