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

const (
	slots = 10 // parts of the ttl, which requests leave together
	batch = 16 // deposits that are published together
)

// Budget is what a service's requests may spend on tries after the first.
type Budget struct {
	set    Settings
	width  time.Duration // of a slot
	shares []share
}

// share is one loop's. Only that loop touches what is not atomic.
type share struct {
	pending uint64        // deposits that the others do not see yet
	until   time.Duration // the end of the slot in which they are
	slots   [slots]slot
	_       [64]byte // loops stay off each other's cache lines
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

// Deposit counts a request of loop at now, on a clock that does not go back and
// is the same for all loops.
func (b *Budget) Deposit(loop int, now time.Duration) {
	s := &b.shares[loop]
	if s.pending++; s.pending >= batch || now >= s.until {
		b.publish(s, now)
	}
}

// Withdraw takes a try of loop out of the budget, and says whether there was
// one.
func (b *Budget) Withdraw(loop int, now time.Duration) bool {
	s := &b.shares[loop]
	here := b.publish(s, now)
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

// publish shows the others what was deposited, in the slot of now, which it
// gives. What was deposited before that slot counts from now on: it is less
// than a batch.
func (b *Budget) publish(s *share, now time.Duration) *slot {
	era := int64(now / b.width)
	sl := &s.slots[era%slots]
	if sl.era.Load() != era {
		sl.era.Store(-1) // nobody adds the old figures to the new time
		sl.requests.Store(0)
		sl.tries.Store(0)
		sl.era.Store(era)
		s.until = time.Duration(era+1) * b.width
	}
	if s.pending > 0 {
		sl.requests.Add(s.pending)
		s.pending = 0
	}
	return sl
}
