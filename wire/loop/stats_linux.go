package loop

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Stats are the figures of one loop since the driver started. They are as old
// as the loop's last turn.
type Stats struct {
	Waits    uint64 // times the loop asked the kernel for events
	Events   uint64 // that it was given
	Posts    uint64 // functions posted and run
	Timers   uint64 // fired
	Accepted uint64 // connections that became this loop's
	Handed   uint64 // accepted here, but given to a loop that had fewer
	Dialled  uint64
	Panics   uint64 // in handlers, posts and timers; each ended at most one connection
	Open     int    // connections, accepted and dialled
	Buffered int64  // bytes of output that the kernel has not taken
	// CPU is the processor time of the loop's thread, user and system.
	CPU time.Duration
}

const (
	countWaits = iota
	countEvents
	countPosts
	countTimers
	countAccepted
	countHanded
	countDialled
	countPanics
	countOpen
	countBuffered
	counts
)

// counters are counted by the loop without atomics and shown before each wait:
// many events pay once.
type counters struct {
	own   [counts]int64
	shown [counts]atomic.Int64
}

func (c *counters) add(which int, n int64) { c.own[which] += n }

func (c *counters) show() {
	for i := range c.own {
		if v := c.own[i]; v != c.shown[i].Load() {
			c.shown[i].Store(v)
		}
	}
}

// Stats gives the figures of every loop, by index. Any goroutine.
func (d *Driver) Stats() []Stats {
	all := make([]Stats, len(d.loops))
	for i, l := range d.loops {
		at := func(which int) uint64 { return uint64(l.count.shown[which].Load()) }
		all[i] = Stats{
			Waits: at(countWaits), Events: at(countEvents), Posts: at(countPosts), Timers: at(countTimers),
			Accepted: at(countAccepted), Handed: at(countHanded), Dialled: at(countDialled),
			Panics: at(countPanics), Open: int(at(countOpen)), Buffered: int64(at(countBuffered)),
			CPU: threadTime(l.thread.Load()),
		}
	}
	return all
}

// threadTime reads the clock of a thread of this process; the loop itself
// spends nothing on it. 0 when the thread has ended.
func threadTime(thread int32) time.Duration {
	if thread == 0 {
		return 0
	}
	const perThread, schedClock = 4, 2 // linux/posix-timers.h: CPUCLOCK_*
	var ts unix.Timespec
	if unix.ClockGettime(^thread<<3|perThread|schedClock, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
