package adaptive

import (
	"math/rand/v2"
	"testing"
	"time"
)

// server answers with so many workers, each after service time; the rest waits.
type server struct {
	workers int
	takes   time.Duration
	r       *rand.Rand
}

// window runs one window with as many requests at once as were let in, and
// gives the sample and how many were answered.
func (s *server) window(running int) (Sample, int) {
	takes := time.Duration(float64(s.takes) * (0.9 + 0.2*s.r.Float64()))
	mean := takes
	done := int(Window/takes) * min(running, s.workers)
	if running > s.workers { // by Little's law
		mean = takes * time.Duration(running) / time.Duration(s.workers)
	}
	return Sample{Mean: mean, Most: running}, done
}

func newServer(workers int, takes time.Duration) *server {
	return &server{workers, takes, rand.New(rand.NewPCG(3, 4))}
}

// TestOverload: offered three times what it can do, the service is kept busy
// and its queue short; when the load ends, it is as before.
func TestOverload(t *testing.T) {
	t.Parallel()
	s := newServer(8, 10*time.Millisecond)
	l := New(0, 0)
	for range 600 { // a quiet minute
		sample, _ := s.window(min(5, l.Now()))
		l.Update(sample)
	}
	if l.Now() != Initial {
		t.Errorf("a limit that was not used is %d", l.Now())
	}
	done, longest := 0, time.Duration(0)
	const windows = 100
	for i := range windows { // more comes than is let in
		sample, n := s.window(l.Now())
		l.Update(sample)
		if done += n; i > windows/2 {
			longest = max(longest, sample.Mean)
		}
	}
	if share := float64(done) / (windows * 80); share < 0.9 {
		t.Errorf("it did %.2f of what it could", share)
	}
	if longest > 60*time.Millisecond {
		t.Errorf("requests wait for %v in it", longest)
	}
	before := l.Now()
	for range 50 {
		sample, _ := s.window(min(5, l.Now()))
		l.Update(sample)
	}
	if l.Now() < before {
		t.Errorf("the limit fell from %d to %d when the load had ended", before, l.Now())
	}
}

// TestSlower: a service that becomes slower for good gets a new limit, and one
// that becomes quicker is used.
func TestSlower(t *testing.T) {
	t.Parallel()
	s := newServer(40, 5*time.Millisecond)
	l := New(0, 0)
	run := func(windows int) int {
		for range windows {
			sample, _ := s.window(l.Now())
			l.Update(sample)
		}
		return l.Now()
	}
	quick := run(600)
	s.workers = 10
	if slow := run(100); slow >= quick {
		t.Errorf("with a quarter of the workers the limit went from %d to %d", quick, slow)
	}
	s.workers = 100
	slow := l.Now()
	if again := run(600); again <= slow {
		t.Errorf("with ten times the workers the limit went from %d to %d", slow, again)
	}
}

// TestBounds: whatever comes, the limit stays within its bounds.
func TestBounds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	l := New(5, 50)
	for range 10_000 {
		got := l.Update(Sample{
			Mean: time.Duration(r.Int64N(int64(20 * time.Second))), Most: r.IntN(100), Dropped: r.IntN(5) == 0,
		})
		if got < 5 || got > 50 || got != l.Now() {
			t.Fatalf("limit %d", got)
		}
	}
	for range 100 {
		l.Update(Sample{Mean: time.Millisecond, Most: 50, Dropped: true})
	}
	if l.Now() != 5 {
		t.Errorf("after many drops the limit is %d", l.Now())
	}
	if l := New(10, 5); l.Now() != 10 {
		t.Errorf("bounds the wrong way round: %d", l.Now())
	}
}
