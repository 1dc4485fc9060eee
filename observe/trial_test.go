package observe

import (
	"testing"
	"time"
)

// TestTimes: each duration is in the bucket that begins at or before it, and ends
// behind it; a quantile is at most an eighth too long.
func TestTimes(t *testing.T) {
	t.Parallel()
	for d := time.Duration(1); d < 2*time.Minute; d += d/7 + 1 {
		b := timesBucket(d)
		if from := timesFrom(b); from > d || b+1 < len(Times{}) && timesFrom(b+1) <= d {
			t.Fatalf("%v is in bucket %d, which begins at %v", d, b, from)
		}
		var one Times
		one.Observe(d)
		q := one.Quantile(95)
		if b > 0 && b+1 < len(one) && (q < d || q > d+d/8+1) {
			t.Errorf("the quantile of %v is %v", d, q)
		}
		if one.Slower(q) != 0 && b+1 < len(one) || one.Slower(d+1) > 0 && timesFrom(b) < d+1 {
			t.Errorf("%v is slower than its own quantile %v", d, q)
		}
	}
	var all Times
	for ms := 1; ms <= 100; ms++ {
		all.Observe(time.Duration(ms) * time.Millisecond)
	}
	if q := all.Quantile(95); q < 95*time.Millisecond || q > 108*time.Millisecond {
		t.Errorf("p95 of 1 to 100 ms is %v", q)
	}
	if n := all.Slower(90 * time.Millisecond); n > 11 || n < 3 {
		t.Errorf("%d of 100 take 90 ms or more", n)
	}
}

// TestTrials: loops are added up, runs that nobody wants are forgotten.
func TestTrials(t *testing.T) {
	t.Parallel()
	g := NewRegistry(2)
	for loop := range 2 {
		tr := g.Trial("run", loop)
		tr.Done(Canary, true, 5*time.Millisecond)
		tr.Done(Canary, false, 5*time.Millisecond)
		tr.Done(Baseline, true, 0) // without a head
		tr.GaveUp(Canary, time.Second)
	}
	if one := g.Trial("run", 1); one != g.Trial("run", 1) {
		t.Error("a trial is not the same each time")
	}
	all := g.Trials()
	if len(all) != 1 || all[0].Run != "run" {
		t.Fatalf("%v", all)
	}
	c, b := all[0].Arms[Canary], all[0].Arms[Baseline]
	if c.Requests != 4 || c.Failed != 2 || c.Times.Total() != 6 || c.Times.Slower(time.Second/2) != 2 || b.Requests != 2 || b.Failed != 2 || b.Times.Total() != 0 {
		t.Errorf("%+v", all)
	}
	g.KeepTrials(func(string) bool { return false })
	if len(g.Trials()) != 0 {
		t.Error("a run is not forgotten")
	}
}
