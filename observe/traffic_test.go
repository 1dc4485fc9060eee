package observe

import (
	"maps"
	"reflect"
	"sync"
	"testing"
	"time"
)

func TestTrafficCounts(t *testing.T) {
	t.Parallel()
	g := NewRegistry(2)
	a, b := g.Traffic(ScopeRoute, "r", 0), g.Traffic(ScopeRoute, "r", 1)
	for status, times := range map[int]int{200: 3, 208: 2, 404: 1, 499: 1, 599: 1, 100: 1, 0: 1, 600: 1, -7: 1, 1 << 40: 1} {
		for i := range times {
			one := a
			if i%2 == 1 {
				one = b
			}
			one.Begin()
			one.Done(&Record{Status: status, Duration: time.Second, BytesIn: 2, BytesOut: 3})
		}
	}
	a.Begin()
	b.Begin()
	s := g.Totals(ScopeRoute, "r")
	got := map[string]uint64{}
	s.Codes(func(code string, count uint64) { got[code] = count })
	if want := map[string]uint64{"200": 3, "2xx": 2, "404": 1, "499": 1, "5xx": 1, "1xx": 1, "none": 4}; !maps.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
	if s.Requests() != 13 || s.Active != 2 || s.BytesIn != 26 || s.BytesOut != 39 || s.Duration.Total() != 13 || s.Duration.Sum != 13 {
		t.Errorf("totals %+v", s)
	}
	if s := g.Totals(ScopeService, "r"); s.Requests() != 0 {
		t.Errorf("a service was counted as a route: %+v", s)
	}
}

// TestTrafficIsWholeCacheLines guards what keeps loops out of each other's way.
func TestTrafficIsWholeCacheLines(t *testing.T) {
	t.Parallel()
	if n := reflect.TypeFor[Traffic]().Size(); n%64 != 0 || n > 640 {
		t.Errorf("a Traffic has %d bytes", n)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	g := NewRegistry(1)
	r := Record{Status: 200, Duration: time.Millisecond}
	one := g.Traffic(ScopeRoute, "r", 0)
	if n := testing.AllocsPerRun(100, func() {
		one.Begin()
		one.Done(&r)
		g.Refused(0, NoRoute)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestReadersAndWriters is for the race detector, and sees that no reader ever
// finds fewer begun than done.
func TestReadersAndWriters(t *testing.T) {
	t.Parallel()
	const loops, times = 2, 5000
	g := NewRegistry(loops)
	var all sync.WaitGroup
	for loop := range loops {
		all.Go(func() {
			r := Record{Status: 200, Duration: time.Millisecond, Loop: loop}
			one := g.Traffic(ScopeRoute, "r", loop)
			for range times {
				one.Begin()
				one.Done(&r)
				g.Refused(loop, NoRoute)
			}
		})
	}
	all.Go(func() {
		for range 200 {
			if s := g.Totals(ScopeRoute, "r"); s.Active > s.begun || s.begun < s.Requests() {
				t.Errorf("%d active of %d begun, %d done", s.Active, s.begun, s.Requests())
			}
			g.Collect(func(f Family) { f.Each(func(*Sample) {}) })
			g.Keep(ScopeService, func(string) bool { return false })
		}
	})
	all.Wait()
	if s := g.Totals(ScopeRoute, "r"); s.Requests() != loops*times || s.Active != 0 {
		t.Errorf("%d requests, %d active", s.Requests(), s.Active)
	}
}

func BenchmarkDone(b *testing.B) {
	t := NewRegistry(1).Traffic(ScopeRoute, "r", 0)
	r := Record{Status: 200, BytesIn: 100, BytesOut: 1000}
	random := uint64(1)
	for b.Loop() {
		random = random*6364136223846793005 + 1442695040888963407
		r.Duration = time.Duration(random >> 34)
		t.Begin()
		t.Done(&r)
	}
}
