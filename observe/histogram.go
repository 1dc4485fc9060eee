package observe

import (
	"math/bits"
	"time"
)

// bounds are the inclusive upper bounds of a Histogram's buckets, in
// nanoseconds, without the last (infinite) one. Each is at least twice the one
// before, so that between two powers of two lies at most one bound: that is
// what makes bucketOf a table look-up and one comparison.
var bounds = [...]int64{
	100e3, 250e3, 500e3,
	1e6, 2.5e6, 5e6,
	10e6, 25e6, 50e6,
	100e6, 250e6, 500e6,
	1e9, 2.5e9, 5e9,
	10e9, 30e9, 60e9,
}

// buckets counts the infinite one too.
const buckets = len(bounds) + 1

// firstBucket gives, for a bit length, the bucket of the smallest duration
// that has it.
var firstBucket = func() (t [65]uint8) {
	for length := range t {
		smallest := int64(0)
		if length > 0 {
			smallest = int64(min(uint64(1)<<(length-1), 1<<63-1))
		}
		for int(t[length]) < len(bounds) && smallest > bounds[t[length]] {
			t[length]++
		}
	}
	return t
}()

// bucketOf gives the bucket of a duration that is not negative.
func bucketOf(d int64) int {
	b := int(firstBucket[bits.Len64(uint64(d))])
	if b < len(bounds) && d > bounds[b] {
		b++
	}
	return b
}

// Histogram counts durations in fixed buckets from 100 µs to 60 s, three a
// decade. One goroutine may Observe, any may read.
type Histogram struct {
	counts [buckets]Counter
	nanos  Counter
}

// Observe counts one duration; a negative one counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	if d < 0 {
		d = 0
	}
	h.counts[bucketOf(int64(d))].Add(1)
	h.nanos.Add(uint64(d))
}

// Distribution is what Histograms held when they were read.
type Distribution struct {
	// Counts are per bucket (not cumulative); the last has no upper bound.
	Counts [buckets]uint64
	// Sum of all durations, in seconds.
	Sum float64
}

// Bounds are the inclusive upper bounds of Distribution.Counts in seconds,
// without the infinite last.
func Bounds() []float64 {
	s := make([]float64, len(bounds))
	for i, b := range bounds {
		s[i] = float64(b) / 1e9
	}
	return s
}

// Read adds what h holds to d.
func (h *Histogram) Read(d *Distribution) {
	for i := range h.counts {
		d.Counts[i] += h.counts[i].Load()
	}
	d.Sum += float64(h.nanos.Load()) / 1e9
}

// Total is the number of durations.
func (d *Distribution) Total() uint64 {
	var n uint64
	for _, c := range d.Counts {
		n += c
	}
	return n
}
