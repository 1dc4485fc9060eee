package pace

import (
	"sync/atomic"
	"time"
)

// Clock is the time until which a rate is spoken for. Any goroutine may use it.
type Clock struct {
	at atomic.Int64
	_  [56]byte // a cache line of its own: loops write to it all the time
}

// Reserve takes the next turn, of length cost, and says when it begins: up to
// saved before now, which is time that nobody used and that may be made up for.
// A turn that would begin more than most after now is not taken: then ok is
// false, and start is when it would have begun.
func (c *Clock) Reserve(now, cost, saved, most time.Duration) (start time.Duration, ok bool) {
	for {
		at := c.at.Load()
		start = max(time.Duration(at), now-saved)
		if start-now > most {
			return start, false
		}
		if c.at.CompareAndSwap(at, int64(start+cost)) {
			return start, true
		}
	}
}

// Return gives back a turn of length cost that was to begin at start and is not
// used, and says whether others profit: only where none was reserved behind it.
func (c *Clock) Return(start, cost time.Duration) bool {
	return c.at.CompareAndSwap(int64(start+cost), int64(start))
}

// Interval is the time from one of n in a span to the next.
func Interval(n int, in time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	return max(in/time.Duration(n), 1)
}
