package observe

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreRight(t *testing.T) {
	t.Parallel()
	slow := func(d int64) int {
		i := slices.IndexFunc(bounds[:], func(b int64) bool { return d <= b })
		if i < 0 {
			return len(bounds)
		}
		return i
	}
	try := []int64{0, 1, math.MaxInt64}
	for _, b := range bounds {
		try = append(try, b-1, b, b+1)
	}
	for shift := range 63 {
		p := int64(1) << shift
		try = append(try, p-1, p, p+1)
	}
	for d := int64(3); d < int64(2*time.Minute); d += d/7 + 1 {
		try = append(try, d)
	}
	for _, d := range try {
		if got, want := bucketOf(d), slow(d); got != want {
			t.Fatalf("%v is in bucket %d, want %d", time.Duration(d), got, want)
		}
	}
}

// TestBoundsDouble guards what bucketOf relies on.
func TestBoundsDouble(t *testing.T) {
	t.Parallel()
	for i := 1; i < len(bounds); i++ {
		if bounds[i] < 2*bounds[i-1] {
			t.Errorf("%v is less than twice %v", bounds[i], bounds[i-1])
		}
	}
	b := Bounds()
	if b[0] != 0.0001 || b[len(b)-1] != 60 {
		t.Errorf("bounds %v", b)
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h Histogram
	for _, d := range []time.Duration{-5, 0, 100 * time.Microsecond, 101 * time.Microsecond, time.Hour} {
		h.Observe(d)
	}
	var d Distribution
	h.Read(&d)
	if d.Counts[0] != 3 || d.Counts[1] != 1 || d.Counts[len(bounds)] != 1 || d.Total() != 5 {
		t.Errorf("counts %v", d.Counts)
	}
	if want := 3600.000201; math.Abs(d.Sum-want) > 1e-9 {
		t.Errorf("sum %v, want %v", d.Sum, want)
	}
}
