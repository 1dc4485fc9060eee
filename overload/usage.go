package overload

import (
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"
)

const (
	// collectAfter is how old the last collection of garbage may be while memory is
	// short: what is needed is only known after one. collectSeldom is how old it may
	// become where collecting does not help.
	collectAfter  = time.Second
	collectSeldom = 30 * time.Second
)

// Usage reads what the process uses. It is for one goroutine.
type Usage struct {
	processors float64
	cpu        time.Duration
	figures    []metrics.Sample
	waits      []uint64 // of the runtime's histogram, when last read
	cycles     uint64   // collections
	collected  time.Time
	patience   time.Duration // until one is asked for
}

// The runtime's figures.
const (
	runtimeTotal = iota
	runtimeReleased
	runtimeFree
	runtimeObjects
	runtimeLive
	runtimeWaits
	runtimeCycles
)

// NewUsage makes one; the process may use so many processors.
func NewUsage(processors float64) *Usage {
	u := &Usage{processors: processors, patience: collectAfter}
	for _, name := range [...]string{
		runtimeTotal: "/memory/classes/total:bytes", runtimeReleased: "/memory/classes/heap/released:bytes",
		runtimeFree: "/memory/classes/heap/free:bytes", runtimeObjects: "/memory/classes/heap/objects:bytes",
		runtimeLive: "/gc/heap/live:bytes", runtimeWaits: "/sched/latencies:seconds", runtimeCycles: "/gc/cycles/total:gc-cycles",
	} {
		u.figures = append(u.figures, metrics.Sample{Name: name})
	}
	return u
}

// Processors is how many the process may use.
func (u *Usage) Processors() float64 { return u.processors }

// Read fills in memory, processors and how long goroutines have waited.
func (u *Usage) Read(s *Sample, took time.Duration) {
	metrics.Read(u.figures)
	n := func(i int) int64 {
		if u.figures[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int64(u.figures[i].Value.Uint64())
	}
	// Free pages and garbage are there to be used. What was allocated since the last
	// collection counts as garbage; near the bound collections are frequent.
	s.Memory = n(runtimeTotal) - n(runtimeReleased) - n(runtimeFree) - max(n(runtimeObjects)-n(runtimeLive), 0)
	if c := uint64(n(runtimeCycles)); c != u.cycles {
		u.cycles, u.collected = c, time.Now()
	}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		now := time.Duration(r.Utime.Nano() + r.Stime.Nano())
		if took > 0 && u.cpu > 0 {
			s.CPU = float64(now-u.cpu) / float64(took) / u.processors
		}
		u.cpu = now
	}
	if u.figures[runtimeWaits].Value.Kind() == metrics.KindFloat64Histogram {
		h := u.figures[runtimeWaits].Value.Float64Histogram()
		s.Wait = median(h, u.waits)
		u.waits = append(u.waits[:0], h.Counts...)
	}
}

// leastWaits is how many goroutines must have been waiting for a processor before
// the middle of their waits says anything.
const leastWaits = 20

// median is the lower end of the bucket with the middle of what has come to a
// histogram since it held before; nil: since it began.
func median(h *metrics.Float64Histogram, before []uint64) time.Duration {
	if len(before) != len(h.Counts) {
		return 0
	}
	total := uint64(0)
	for i, n := range h.Counts {
		total += n - before[i]
	}
	if total < leastWaits {
		return 0
	}
	at := uint64(0)
	for i, n := range h.Counts {
		if at += n - before[i]; at*2 >= total {
			return time.Duration(max(h.Buckets[i], 0) * float64(time.Second))
		}
	}
	return 0
}

// Collect has garbage collected where memory is short and nobody has for a while:
// an idle process does not, and what is needed would stay what it was. Where that
// does not help it does so less and less often.
func (u *Usage) Collect(now time.Time, short bool) {
	switch {
	case !short:
		u.patience = collectAfter
	case now.Sub(u.collected) >= u.patience:
		u.collected, u.patience = now, min(2*u.patience, collectSeldom)
		runtime.GC()
	}
}
