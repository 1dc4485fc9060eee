package loop

import (
	"math"
	"sync/atomic"
	"time"
)

// never is the due time of a loop without timers.
const never = math.MaxInt64

// clock sleeps for all loops, so that none of them waits with a time-out
// (which costs a kernel timer for each wait).
//
// A loop publishes when its next timer is due, but only ever lowers what it
// has published: a time-out that is armed and stopped for each request costs
// nothing, and now and then a loop is woken for nothing. The clock takes a due
// time back to never when it wakes the loop for it.
type clock struct {
	base   time.Time
	loops  []sleeper
	target atomic.Int64  // what the clock sleeps towards
	kicks  chan struct{} // an earlier due time was published
	stop   chan struct{}
	done   chan struct{}
}

// sleeper is what the clock knows of a loop.
type sleeper struct {
	due  *atomic.Int64
	wake func()
}

func newClock(base time.Time) *clock {
	c := &clock{base: base, kicks: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	c.target.Store(never)
	return c
}

// publish lowers a loop's due time, on that loop.
func (c *clock) publish(due *atomic.Int64, at int64) {
	due.Store(at)
	if at < c.target.Load() {
		select {
		case c.kicks <- struct{}{}:
		default: // one is on its way
		}
	}
}

// run sleeps and wakes until stop is closed.
func (c *clock) run() {
	defer close(c.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := c.ring(int64(time.Since(c.base)))
		c.target.Store(next)
		// A loop that published before it could see this target did not kick.
		if c.earliest() < next {
			continue
		}
		if next == never {
			timer.Stop()
		} else {
			timer.Reset(time.Duration(next) - time.Since(c.base))
		}
		select {
		case <-timer.C:
		case <-c.kicks:
		case <-c.stop:
			return
		}
	}
}

// ring wakes the loops that are due and says when the next is.
func (c *clock) ring(now int64) (next int64) {
	for _, l := range c.loops {
		if at := l.due.Load(); at <= now && l.due.CompareAndSwap(at, never) {
			l.wake()
		}
	}
	return c.earliest()
}

func (c *clock) earliest() int64 {
	next := int64(never)
	for _, l := range c.loops {
		next = min(next, l.due.Load())
	}
	return next
}
