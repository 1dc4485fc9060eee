package pace

import "time"

// Saved is how much time of a body's rate may be made up for: timers fire late,
// by 20 ms where there is nothing to do and more where there is much. It is also
// what a body passes at once when it begins: a turn is over before its bytes go.
const Saved = 100 * time.Millisecond

// How large a piece is that gets a turn: a fortieth of a second of the rate, but
// not so little that the work is all there is.
const (
	turns     = 40
	leastTurn = 512
)

// Bytes is the rate of one body: its own, that of all bodies with which it
// shares a Clock, or both.
type Bytes struct {
	own    Clock
	rate   int64 // of own, bytes a second; 0 is none
	shared *Clock
	total  int64 // of shared

	left int           // of the turn, not yet passed
	due  time.Duration // when the turn is over
}

// Begin sets the rates, in bytes a second, for a body that begins: its own, and
// that of shared, which may be nil; 0 is none.
func (b *Bytes) Begin(rate int64, shared *Clock, total int64) {
	b.own.at.Store(0)
	b.rate, b.shared, b.total, b.left, b.due = rate, shared, total, 0, 0
	if total <= 0 {
		b.shared = nil
	}
}

// Pass says how many of n bytes may pass now, and how long to wait for the next
// where that is not all.
func (b *Bytes) Pass(now time.Duration, n int) (pass int, wait time.Duration) {
	for n > pass {
		if b.left == 0 {
			b.reserve(now, n-pass)
		}
		if wait = b.due - now; wait > 0 {
			return pass, wait
		}
		take := min(b.left, n-pass)
		b.left -= take
		pass += take
	}
	return pass, 0
}

// reserve takes a turn for some of the next n bytes.
func (b *Bytes) reserve(now time.Duration, n int) {
	size := n
	for _, rate := range [...]int64{b.rate, b.total} {
		if rate > 0 {
			size = min(size, max(int(rate/turns), min(leastTurn, int(max(rate/10, 1)))))
		}
	}
	b.left, b.due = size, now
	if b.rate > 0 {
		b.wait(&b.own, now, size, b.rate)
	}
	if b.shared != nil {
		b.wait(b.shared, now, size, b.total)
	}
}

func (b *Bytes) wait(c *Clock, now time.Duration, size int, rate int64) {
	cost := time.Duration(int64(size) * int64(time.Second) / rate)
	start, _ := c.Reserve(now, cost, Saved, 1<<62)
	b.due = max(b.due, start+cost)
}
