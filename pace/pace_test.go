package pace

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

const ms = time.Millisecond

// TestReserve follows the algorithm step by step.
func TestReserve(t *testing.T) {
	t.Parallel()
	var c Clock
	for i, step := range []struct {
		now, saved, most, start time.Duration
		ok                      bool
	}{
		// Ten a second, one at once.
		{1000 * ms, 0, 250 * ms, 1000 * ms, true},
		{1000 * ms, 0, 250 * ms, 1100 * ms, true},
		{1050 * ms, 0, 250 * ms, 1200 * ms, true},
		{1050 * ms, 0, 250 * ms, 1300 * ms, true},
		{1050 * ms, 0, 250 * ms, 1400 * ms, false},
		{1150 * ms, 0, 250 * ms, 1400 * ms, true},
		// After a quiet time, three at once: what two would have had is saved up.
		{5000 * ms, 200 * ms, 0, 4800 * ms, true},
		{5000 * ms, 200 * ms, 0, 4900 * ms, true},
		{5000 * ms, 200 * ms, 0, 5000 * ms, true},
		{5000 * ms, 200 * ms, 0, 5100 * ms, false},
		{5099 * ms, 200 * ms, 0, 5100 * ms, false},
		{5100 * ms, 200 * ms, 0, 5100 * ms, true},
	} {
		if start, ok := c.Reserve(step.now, 100*ms, step.saved, step.most); start != step.start || ok != step.ok {
			t.Errorf("step %d: %v %v, want %v %v", i, start, ok, step.start, step.ok)
		}
	}
}

func TestReturn(t *testing.T) {
	t.Parallel()
	var c Clock
	c.Reserve(time.Second, 100*ms, 0, time.Hour)
	c.Reserve(time.Second, 100*ms, 0, time.Hour)
	c.Reserve(time.Second, 100*ms, 0, time.Hour)
	if c.Return(1100*ms, 100*ms) {
		t.Error("one came back that others are behind")
	}
	if !c.Return(1200*ms, 100*ms) {
		t.Error("the last did not come back")
	}
	if start, _ := c.Reserve(time.Second, 100*ms, 0, time.Hour); start != 1200*ms {
		t.Errorf("the next begins at %v", start)
	}
}

// TestLoopsShareARate: whoever comes, the turns are one row, each its own.
func TestLoopsShareARate(t *testing.T) {
	t.Parallel()
	const loops, each = 8, 500
	var c Clock
	var mu sync.Mutex
	var starts []time.Duration
	var all sync.WaitGroup
	for range loops {
		all.Go(func() {
			var mine []time.Duration
			for range each {
				start, _ := c.Reserve(time.Second, ms, 0, time.Hour)
				mine = append(mine, start)
			}
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, mine...)
		})
	}
	all.Wait()
	slices.Sort(starts)
	for i, s := range starts {
		if s != time.Second+time.Duration(i)*ms {
			t.Fatalf("turn %d begins at %v", i, s)
		}
	}
}

// passed runs bodies of one size from time 0 on, each with a timer that fires up
// to late too late, and says when each has passed.
func passed(r *rand.Rand, bodies []*Bytes, size int, late time.Duration) []time.Duration {
	left, at, done := make([]int, len(bodies)), make([]time.Duration, len(bodies)), make([]time.Duration, len(bodies))
	for i := range left {
		left[i], at[i] = size, time.Second
	}
	for {
		next := -1
		for i := range bodies {
			if left[i] > 0 && (next < 0 || at[i] < at[next]) {
				next = i
			}
		}
		if next < 0 {
			return done
		}
		n, wait := bodies[next].Pass(at[next], left[next])
		if left[next] -= n; left[next] == 0 {
			done[next] = at[next] - time.Second
		}
		at[next] += wait
		if wait > 0 && late > 0 {
			at[next] += time.Duration(r.Int64N(int64(late)))
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name        string
		rate, total int64
		bodies      int
		size        int
		late        time.Duration
		want        time.Duration
	}{
		{"one a second", 1, 0, 1, 10, 0, 9900 * ms},
		{"slow", 1 << 10, 0, 1, 10 << 10, 20 * ms, 9900 * ms},
		{"a megabyte", 1 << 20, 0, 1, 10 << 20, 20 * ms, 9900 * ms},
		{"a gigabyte", 1 << 30, 0, 1, 10 << 30, 20 * ms, 9900 * ms},
		{"timers that are late", 100 << 10, 0, 1, 1 << 20, 70 * ms, 10140 * ms},
		{"together", 0, 1 << 20, 20, 1 << 19, 20 * ms, 9900 * ms},
		{"each less than its share", 10 << 10, 1 << 20, 20, 100 << 10, 20 * ms, 9900 * ms},
		{"each more than its share", 1 << 20, 1 << 20, 20, 1 << 19, 20 * ms, 9900 * ms},
	} {
		var shared Clock
		bodies := make([]*Bytes, c.bodies)
		for i := range bodies {
			bodies[i] = &Bytes{}
			bodies[i].Begin(c.rate, &shared, c.total)
		}
		done := passed(r, bodies, c.size, c.late)
		first, last := slices.Min(done), slices.Max(done)
		if off := last - c.want; off < -100*ms || off > 150*ms {
			t.Errorf("%s: passed after %v, want about %v", c.name, last, c.want)
		}
		// They go in turn, so they end together, but for what was saved.
		if float64(first) < 0.7*float64(last) {
			t.Errorf("%s: the first was through after %v, the last after %v", c.name, first, last)
		}
	}
}

// TestBytesComeInPieces: what is not all there keeps its rate, and no quiet time
// is made up for beyond what timers may be late.
func TestBytesComeInPieces(t *testing.T) {
	t.Parallel()
	var b Bytes
	b.Begin(1000, nil, 0)
	now := time.Second
	if n, wait := b.Pass(now, 100); n != 100 || wait != 0 {
		t.Fatalf("of the first 100 pass %d, wait %v", n, wait)
	}
	if n, wait := b.Pass(now, 100); n != 0 || wait <= 0 {
		t.Fatalf("of the next 100 pass %d, wait %v", n, wait)
	}
	now += time.Minute
	n, wait := b.Pass(now, 1000)
	if n < 100 || n > 250 || wait <= 0 {
		t.Errorf("after a minute %d pass at once, wait %v", n, wait)
	}
	b.Begin(0, nil, 0)
	if n, wait := b.Pass(now, 1<<20); n != 1<<20 || wait != 0 {
		t.Errorf("without a rate %d pass, wait %v", n, wait)
	}
}

func TestInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    int
		in   time.Duration
		want time.Duration
	}{{0, time.Second, 0}, {10, time.Second, 100 * ms}, {30, time.Minute, 2 * time.Second}, {1e6, time.Microsecond, 1}} {
		if got := Interval(c.n, c.in); got != c.want {
			t.Errorf("%d in %v: %v", c.n, c.in, got)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	var c Clock
	var b Bytes
	b.Begin(1<<20, &c, 1<<20)
	now := time.Second
	if n := testing.AllocsPerRun(100, func() {
		now += ms
		b.Pass(now, 1<<10)
		c.Reserve(now, ms, 0, ms)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
