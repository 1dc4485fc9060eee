package observe

import (
	"sync/atomic"
	"time"
)

// Seldom lets a message that others can cause be written now and then, so that
// they cannot fill a disk with it. The zero Seldom is ready; any goroutine may
// ask it. It does not lock.
type Seldom struct {
	last atomic.Int64 // of the clock, plus one; 0 never
	left atomic.Uint64
}

// May says whether the message may be written at now, on a clock that does not
// go back: the first may, and then one in every. omitted is how many there were
// in between.
func (s *Seldom) May(now, every time.Duration) (omitted uint64, ok bool) {
	at := int64(now) + 1
	last := s.last.Load()
	if last > 0 && at-last < int64(every) || !s.last.CompareAndSwap(last, at) {
		s.left.Add(1)
		return 0, false
	}
	return s.left.Swap(0), true
}
