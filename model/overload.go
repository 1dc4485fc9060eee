package model

import "time"

// Overload says when the proxy itself has too much to do, and refuses what
// matters less. A field of 0 is the default, one below 0 has no bound.
type Overload struct {
	// Off: nothing is measured and nothing refused.
	Off bool `json:"off,omitempty"`
	// Memory is what the process may need, in bytes. The default is what the
	// system gives it (cgroup), or GOMEMLIMIT; none where there is neither.
	Memory int64 `json:"memory,omitempty"`
	// CPU is how much of the processors that the process may use, in percent, is
	// too much, where work beside the event loops (TLS handshakes, QUIC) waits for
	// them as well. The default is DefaultOverload.CPU.
	CPU int `json:"cpu,omitempty"`
	// QueueDelay is how long the events of a loop may wait for their turn without
	// end. The default is DefaultOverload.QueueDelay.
	QueueDelay time.Duration `json:"queueDelay,omitempty"`
}

// DefaultOverload is what holds where nothing is said. docs/explanation/overload.md
// has the reasons.
var DefaultOverload = Overload{CPU: 95, QueueDelay: 200 * time.Millisecond}

// Filled gives o, which may be nil, with its defaults.
func (o *Overload) Filled() Overload {
	f := DefaultOverload
	if o == nil {
		return f
	}
	f.Off, f.Memory = o.Off, o.Memory
	if o.CPU != 0 {
		f.CPU = o.CPU
	}
	if o.QueueDelay != 0 {
		f.QueueDelay = o.QueueDelay
	}
	return f
}

// Bounds of an Overload's fields.
const (
	// LeastOverloadMemory is about what a proxy without traffic needs.
	LeastOverloadMemory = 32 << 20
	LeastQueueDelay     = time.Millisecond
	MostQueueDelay      = 10 * time.Second
)

func (o *Overload) write(b *content) {
	b.bool(o.Off)
	b.int(o.Memory)
	b.int(int64(o.CPU))
	b.time(o.QueueDelay)
}
