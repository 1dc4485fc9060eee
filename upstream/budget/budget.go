package budget

import (
	"sync/atomic"
	"time"
)

// Settings are what a Budget allows.
type Settings struct {
	// Percent of the requests that may be tries after the first; 0 is none.
	Percent int
	// MinPerSecond is how many such tries there may be a second in any case.
	MinPerSecond int
	// TTL is how long a request counts; at least 1 s is meant, and less than
	// that is taken for 1 s.
	TTL time.Duration
}

// Batch is how many requests a loop best deposits together, unless the time comes
// before.
const Batch = 16

// slots are the parts of the ttl, which requests leave together.
const slots = 10

// Budget is what a service's requests may spend on tries after the first.
type Budget struct {
	set    Settings
	width  time.Duration // of a slot
	shares []share
}

// share is one loop's. Only that loop touches what is not atomic.
type share struct {
	slots [slots]slot
	_     [64]byte // loops stay off each other's cache lines
}

// slot is what happened in a part of the ttl.
type slot struct {
	era             atomic.Int64 // which part, counted from the clock's zero; -1: being emptied
	requests, tries atomic.Uint64
}

// New makes a Budget for loops numbered from 0.
func New(set Settings, loops int) *Budget {
	set.TTL = max(set.TTL, time.Second)
	b := &Budget{set: set, width: set.TTL / slots, shares: make([]share, max(loops, 1))}
	for i := range b.shares {
		for j := range b.shares[i].slots {
			b.shares[i].slots[j].era.Store(-1)
		}
	}
	return b
}

// Settings are those that it was made with, the ttl at least a second.
func (b *Budget) Settings() Settings { return b.set }

// Deposit counts n requests of loop at now, on a clock that does not go back and
// is the same for all loops. A loop may collect some, Batch at most, until the time
// that is returned.
func (b *Budget) Deposit(loop int, now time.Duration, n int) (until time.Duration) {
	sl, era := b.here(loop, now)
	sl.requests.Add(uint64(n))
	return time.Duration(era+1) * b.width
}

// Withdraw takes a try of loop out of the budget, and says whether there was
// one.
func (b *Budget) Withdraw(loop int, now time.Duration) bool {
	here, _ := b.here(loop, now)
	if b.Left(now) < 1 {
		return false
	}
	here.tries.Add(1)
	return true
}

// Left is how many tries may be made at now; any goroutine may ask. Below zero
// the budget was exceeded, as where requests have grown too old since.
func (b *Budget) Left(now time.Duration) float64 {
	era := int64(now / b.width)
	var requests, tries uint64
	for i := range b.shares {
		for j := range b.shares[i].slots {
			sl := &b.shares[i].slots[j]
			if e := sl.era.Load(); e > era-slots && e <= era && e >= 0 {
				requests += sl.requests.Load()
				tries += sl.tries.Load()
			}
		}
	}
	return float64(b.set.Percent)/100*float64(requests) + float64(b.set.MinPerSecond)*b.set.TTL.Seconds() - float64(tries)
}

// here is a loop's slot of now, and its era.
func (b *Budget) here(loop int, now time.Duration) (*slot, int64) {
	era := int64(now / b.width)
	sl := &b.shares[loop].slots[era%slots]
	if sl.era.Load() != era {
		sl.era.Store(-1) // nobody adds the old figures to the new time
		sl.requests.Store(0)
		sl.tries.Store(0)
		sl.era.Store(era)
	}
	return sl, era
}
