package adaptive

import (
	"testing"
	"time"
)

// full runs so many windows in which as many requests run as are let in. Gives
// the limit, and how long answers took, in the last ten seconds.
func (s *server) full(l *Limit, windows int) (limit int, took time.Duration) {
	const last = 100
	var sum time.Duration
	for i := range windows {
		sample, _ := s.window(l.Now())
		l.Update(sample)
		if i >= windows-last {
			sum += sample.Mean
			limit += l.Now()
		}
	}
	return limit / last, sum / last
}

// An overload that lasts does not become what is usual, after a quiet time and
// without one.
func TestLongOverload(t *testing.T) {
	t.Parallel()
	for _, quiet := range []int{600, 0} {
		for _, workers := range []int{6, 8, 50} {
			s := newServer(workers, 20*time.Millisecond)
			l := New(0, 0)
			for range quiet {
				sample, _ := s.window(min(workers, 5))
				l.Update(sample)
			}
			for minute := range 30 {
				limit, took := s.full(l, 600)
				if minute > 0 && (limit < workers || took > 60*time.Millisecond) {
					t.Errorf("%d workers, %d windows of quiet: in minute %d the limit is %d, and an answer takes %v in place of 20ms", workers, quiet, minute, limit, took)
					break
				}
			}
		}
	}
}

// A service that takes longer by itself is not held back for that, however many
// ask.
func TestSlowerForGood(t *testing.T) {
	t.Parallel()
	for _, slower := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond} {
		s := newServer(400, 20*time.Millisecond)
		l := New(0, 0)
		s.full(l, 600)
		s.takes = slower
		if limit, _ := s.full(l, 1800); limit < 300 {
			t.Errorf("of 400 requests that it can do at once, each in %v, %d are let in", slower, limit)
		}
	}
}

// A trial ends when less comes, and when the service says that it is too much;
// the limit is then what it was.
func TestTrialEnds(t *testing.T) {
	t.Parallel()
	for _, s := range []Sample{{Mean: time.Millisecond, Most: 1}, {Mean: time.Second, Most: 1000, Dropped: true}} {
		l := New(20, 100)
		for l.trial.left == 0 {
			l.Update(Sample{Mean: time.Second, Most: 1000})
		}
		before, long := l.trial.before, l.long
		if l.Now() >= int(before) {
			t.Fatalf("%d is tried in place of %v", l.Now(), before)
		}
		l.Update(s)
		if l.trial.left != 0 || l.limit > before || l.limit < before*backOff || l.long != long {
			t.Errorf("%+v after %+v", l, s)
		}
	}
}

// Where half is less than the least, twice as many are tried, and where there is
// no room either, nothing is.
func TestTrialKeepsToTheBounds(t *testing.T) {
	t.Parallel()
	s := newServer(1000, 50*time.Millisecond)
	l := New(100, 4096)
	l.limit, l.long, l.windows = 100, 0.001, memory
	lowest := 100
	for range 3000 {
		sample, _ := s.window(l.Now())
		lowest = min(lowest, l.Update(sample))
	}
	if lowest < 100 || l.Now() < 500 {
		t.Errorf("the limit was %d and is %d", lowest, l.Now())
	}
	l = New(10, 10)
	for range 500 {
		if sample, _ := s.window(l.Now()); l.Update(sample) != 10 {
			t.Fatalf("the limit is %d", l.Now())
		}
	}
}

// A window without a good answer says nothing of how quick the service is.
func TestOnlyDropped(t *testing.T) {
	t.Parallel()
	l := New(0, 0)
	l.Update(Sample{Mean: 20 * time.Millisecond, Most: 5})
	for range 50 {
		l.Update(Sample{Most: 5, Dropped: true})
	}
	if l.long != 0.02 {
		t.Errorf("it is taken for as quick as %vs", l.long)
	}
}
