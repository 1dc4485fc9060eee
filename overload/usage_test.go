package overload

import (
	"runtime/metrics"
	"testing"
	"time"
)

// TestUsage: the figures of this process are there, garbage is not needed, and a
// collection is asked for when memory is short, less and less often.
func TestUsage(t *testing.T) {
	u := NewUsage(2)
	var s Sample
	u.Read(&s, time.Second)
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	u.Collect(time.Now().Add(time.Hour), true)
	if u.patience != 2*collectAfter {
		t.Errorf("the next collection is asked for after %v", u.patience)
	}
	var with, without Sample
	u.Read(&with, time.Second)
	if held[4096] != 1 { // until here it is held
		t.Fatal()
	}
	held = nil
	u.Collect(time.Now().Add(2*time.Hour), true)
	u.Read(&without, time.Second)
	if with.Memory < s.Memory+60<<20 || without.Memory > with.Memory-60<<20 {
		t.Errorf("%d bytes are needed, %d with 64 MiB more, %d after them", s.Memory, with.Memory, without.Memory)
	}
	if without.CPU < 0 || u.cpu <= 0 || u.Processors() != 2 {
		t.Errorf("processors: %+v", u)
	}
	before := u.collected
	u.Collect(before.Add(time.Millisecond), true)
	if u.collected != before {
		t.Error("a collection is asked for at once again")
	}
	u.Collect(before, false)
	if u.patience != collectAfter {
		t.Errorf("when memory is not short: %v", u.patience)
	}
}

// TestMedian: the middle of what has come since.
func TestMedian(t *testing.T) {
	t.Parallel()
	h := &metrics.Float64Histogram{Counts: []uint64{100, 10, 15, 0}, Buckets: []float64{0, 0.001, 0.1, 1, 10}}
	for _, c := range []struct {
		before []uint64
		want   time.Duration
	}{
		{nil, 0},
		{[]uint64{0, 0, 0, 0}, 0},
		{[]uint64{100, 0, 0, 0}, 100 * time.Millisecond},
		{[]uint64{95, 0, 14, 0}, 0},
		{[]uint64{100, 0, 12, 0}, 0},
		{[]uint64{90, 0, 14, 0}, time.Millisecond},
	} {
		if got := median(h, c.before); got != c.want {
			t.Errorf("%v: %v, want %v", c.before, got, c.want)
		}
	}
}
