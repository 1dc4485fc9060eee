package outlier

import (
	"math/bits"
	"time"
)

// Buckets is how many a Histogram has: two for each doubling, from 64 µs to
// about a minute; what is faster or slower is in the first and the last.
const Buckets = 42

// firstBits is the upper bound of the first bucket, as a power of two of µs.
const firstBits = 6

// Histogram is how many answers took how long, by Bucket.
type Histogram [Buckets]uint32

// Bucket is where d is counted.
func Bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < 1<<firstBits {
		return 0
	}
	octave := bits.Len64(us) - 1
	half := int(us >> (octave - 1) & 1) // the upper half of the doubling
	return min(1+2*(octave-firstBits)+half, Buckets-1)
}

// bound is the upper end of bucket i.
func bound(i int) time.Duration {
	if i == 0 {
		return (1 << firstBits) * time.Microsecond
	}
	octave := firstBits + (i-1)/2
	us := int64(1) << octave
	if (i-1)%2 == 0 {
		return time.Duration(us+us/2) * time.Microsecond
	}
	return time.Duration(2*us) * time.Microsecond
}

// since makes h what was counted between before and now.
func (h *Histogram) since(now, before *Histogram) {
	for i := range h {
		h[i] = now[i] - before[i]
	}
}

func (h *Histogram) count() (n uint64) {
	for _, k := range h {
		n += uint64(k)
	}
	return n
}

// median is of what h counts; within a bucket answers are taken to be evenly
// spread.
func (h *Histogram) median() time.Duration {
	half := float64(h.count()) / 2
	if half == 0 {
		return 0
	}
	below := 0.0
	for i, k := range h {
		if below+float64(k) >= half {
			low := time.Duration(0)
			if i > 0 {
				low = bound(i - 1)
			}
			return low + time.Duration((half-below)/float64(k)*float64(bound(i)-low))
		}
		below += float64(k)
	}
	return bound(Buckets - 1)
}
