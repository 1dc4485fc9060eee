package load

import (
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	var a, b histogram
	for i := 1; i <= 1000; i++ {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.add(time.Duration(i) * time.Microsecond)
	}
	a.merge(&b)
	for q, want := range map[float64]time.Duration{0.5: 500, 0.99: 990, 1: 1000} {
		want *= time.Microsecond
		if got := a.quantile(q); got < want*98/100 || got > want*102/100 {
			t.Errorf("quantile %v: %v, want about %v", q, got, want)
		}
	}
	if a.most != time.Millisecond || new(histogram).quantile(0.5) != 0 {
		t.Errorf("most %v", a.most)
	}
}

func TestStepsAreInOrder(t *testing.T) {
	t.Parallel()
	last := -1
	for v := uint64(1); v < 1<<62; v += v/50 + 1 {
		step := stepOf(v)
		if step < last || step >= len(histogram{}.counts) {
			t.Fatalf("step of %d is %d after %d", v, step, last)
		}
		last = step
		if mid := uint64(valueOf(step)); mid > v+v/50+1 || mid < v-v/50-1 {
			t.Fatalf("%d became %d", v, mid)
		}
	}
}
