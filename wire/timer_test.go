package wire

import (
	"testing"
	"time"
)

// deadlineLoop is as much of a Loop as a Deadline needs, with a Wheel and a
// time of its own.
type deadlineLoop struct {
	Loop
	wheel Wheel
	now   time.Duration
	arms  int
}

func (l *deadlineLoop) Now() time.Duration { return l.now }

func (l *deadlineLoop) Arm(t *Timer, d time.Duration) {
	l.arms++
	l.wheel.Arm(t, l.now, d)
}

// pass lets time go by and gives the times at which d was over.
func (l *deadlineLoop) pass(d *Deadline, by time.Duration) (over []time.Duration) {
	for end := l.now + by; l.now < end; {
		l.now = min(l.now+Tick, end)
		l.wheel.Advance(l.now)
		for t := l.wheel.Pop(); t != nil; t = l.wheel.Pop() {
			if d.Over(l) {
				over = append(over, l.now)
			}
		}
	}
	return over
}

func within(t *testing.T, over []time.Duration, want time.Duration) {
	t.Helper()
	if len(over) != 1 || over[0] < want || over[0] > want+2*Tick {
		t.Errorf("over at %v, want once at %v", over, want)
	}
}

func TestDeadlineEndsOnce(t *testing.T) {
	t.Parallel()
	var d Deadline
	l := &deadlineLoop{now: time.Hour}
	d.Set(l, time.Second)
	if !d.IsSet() {
		t.Error("it is not set")
	}
	within(t, l.pass(&d, 5*time.Second), time.Hour+time.Second)
	if d.IsSet() || d.Armed() {
		t.Error("it is still set")
	}
}

func TestDeadlineMovesLaterForNothing(t *testing.T) {
	t.Parallel()
	var d Deadline
	l := &deadlineLoop{}
	for range 1000 { // a request a millisecond, each in time
		d.Set(l, time.Second)
		if over := l.pass(&d, time.Millisecond); over != nil {
			t.Fatalf("over at %v", over)
		}
		d.Stop()
	}
	if l.arms > 2 {
		t.Errorf("armed %d times for 1000 requests", l.arms)
	}
	d.Set(l, time.Second)
	within(t, l.pass(&d, 3*time.Second), 2*time.Second)
}

func TestDeadlineMovesEarlier(t *testing.T) {
	t.Parallel()
	var d Deadline
	l := &deadlineLoop{}
	d.Set(l, time.Minute)
	d.Set(l, time.Second)
	within(t, l.pass(&d, 2*time.Minute), time.Second)
}

func TestDeadlineStopped(t *testing.T) {
	t.Parallel()
	var d Deadline
	l := &deadlineLoop{}
	d.Set(l, time.Second)
	d.Stop()
	if over := l.pass(&d, time.Minute); over != nil || d.Armed() {
		t.Errorf("over at %v, armed %v", over, d.Armed())
	}
}

func TestDeadlineAtOnce(t *testing.T) {
	t.Parallel()
	var d Deadline
	l := &deadlineLoop{now: time.Minute}
	d.Set(l, time.Second)
	d.Set(l, 0)
	within(t, l.pass(&d, time.Minute), time.Minute)
}
