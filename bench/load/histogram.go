package load

import (
	"math/bits"
	"time"
)

// histogram counts durations in steps of 1/64 of their power of two: a
// quantile is exact to 1.6%. Not for concurrent use.
type histogram struct {
	counts [64 * stepsOf]uint32
	total  uint64
	most   time.Duration
}

const (
	stepBits = 6
	stepsOf  = 1 << stepBits
)

func (h *histogram) add(d time.Duration) {
	h.counts[stepOf(uint64(max(d, 0)))]++
	h.total++
	h.most = max(h.most, d)
}

func stepOf(v uint64) int {
	if v < stepsOf {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - stepBits
	return (shift+1)<<stepBits + int(v>>shift)&(stepsOf-1)
}

// valueOf is the middle of a step.
func valueOf(step int) time.Duration {
	if step < stepsOf {
		return time.Duration(step)
	}
	shift := step>>stepBits - 1
	low := uint64(stepsOf+step&(stepsOf-1)) << shift
	return time.Duration(low + 1<<shift>>1)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.most = max(h.most, o.most)
}

// quantile gives the duration that the share q of all does not exceed; 0 when
// nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	want := uint64(q*float64(h.total) + 0.5)
	seen := uint64(0)
	for i, n := range h.counts {
		seen += uint64(n)
		if n > 0 && seen >= want {
			return min(valueOf(i), h.most)
		}
	}
	return 0
}
