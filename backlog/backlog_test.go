package backlog

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// TestOrder: what has begun goes before what is fresh, each in its order; and now
// and then what is fresh has its turn whatever goes on.
func TestOrder(t *testing.T) {
	t.Parallel()
	var b Backlog[int]
	if _, ok := b.Next(0); ok || b.Len() != 0 || b.Wait(5*ms, 0) != 0 {
		t.Error("something waits at the beginning")
	}
	b.Fresh(1, 0)
	b.Fresh(2, 1*ms)
	b.Begun(3, 2*ms)
	b.Begun(4, 3*ms)
	for _, want := range []int{3, 4, 1, 2} {
		if v, ok := b.Next(10 * ms); !ok || v != want {
			t.Errorf("%d, %v; want %d", v, ok, want)
		}
	}
	if b.Len() != 0 {
		t.Errorf("%d wait after all are taken", b.Len())
	}

	for i := range 10 {
		b.Fresh(i, 0)
	}
	next, turns := 0, 0
	for ; next < 10; turns++ {
		b.Begun(-1, 0)
		if v, _ := b.Next(0); v >= 0 {
			if v != next {
				t.Fatalf("%d comes, want %d", v, next)
			}
			next++
		}
	}
	if turns != 10*(fair+1) {
		t.Errorf("ten that are fresh have their turns within %d, want %d", turns, 10*(fair+1))
	}
	// Where nothing fresh waits, no turns are counted against what has begun.
	for range 3 * fair {
		b.Begun(-1, 0)
		b.Next(0)
	}
	if b.row != 0 {
		t.Errorf("%d turns are counted", b.row)
	}
}

// TestWait: the wait is known before anybody has waited for it, at any pace, and
// follows a pace that changes.
func TestWait(t *testing.T) {
	t.Parallel()
	var b Backlog[int]
	now := time.Duration(0)
	for i := range 40 {
		b.Fresh(i, now)
	}
	if w := b.Wait(3*ms, 0); w != 3*ms {
		t.Errorf("where nothing is known of the pace the wait is %v, want that of the oldest", w)
	}
	for range few {
		now += 10 * ms
		b.Next(now)
	}
	if w := b.Wait(now, 0); w != 360*ms {
		t.Errorf("36 at one in 10 ms: %v", w)
	}
	// Three come where one goes: what the last will wait for, not what the first has.
	for range 10 {
		now += 10 * ms
		for i := range 3 {
			b.Fresh(i, now)
		}
		b.Next(now)
	}
	if w := b.Wait(now, 0); w < 550*ms || w > 570*ms {
		t.Errorf("56 at one in 10 ms: %v", w)
	}
	// Five times slower: known within the window and the one before.
	for range 5 {
		now += 50 * ms
		b.Next(now)
	}
	if w := b.Wait(now, 0); w < 51*20*ms || w > 51*51*ms {
		t.Errorf("51 at one in 50 ms: %v", w)
	}
	if w, more := b.Wait(now, 0), b.Wait(now, 51); more < w*19/10 || more > w*21/10 {
		t.Errorf("%v, and %v with as many on the way", w, more)
	}
	// A process that is stopped nine tenths of the time, as a quota does it, is as slow as it is.
	now = time.Hour
	b = Backlog[int]{}
	for i := range 1000 {
		b.Fresh(i, now)
	}
	for i := range 400 {
		now += ms
		if b.Next(now); i%10 == 9 {
			now += 90 * ms
		}
		if w, want := b.Wait(now, 0), time.Duration(b.Len())*10*ms; i > 40 && (w < want/2 || w > want*2) {
			t.Fatalf("%d at ten in 100 ms: %v", b.Len(), w)
		}
	}
	for b.Len() > 0 {
		b.Next(now)
	}
	b.Begun(1, now)
	if w := b.Wait(now+5*ms, 0); w != 0 {
		t.Errorf("no fresh work waits, but for %v", w)
	}
}

// TestSteps: where work takes some steps, the wait is that for all of them, also when
// much begins at once.
func TestSteps(t *testing.T) {
	t.Parallel()
	var b Backlog[int]
	now := time.Duration(0)
	for range 100 {
		b.Fresh(5, now) // steps
	}
	for b.Len() > 0 {
		now += ms
		if left, _ := b.Next(now); left > 1 {
			b.Begun(left-1, now)
		}
		if w, want := b.Wait(now, 0), time.Duration(b.fresh.len())*5*ms; now > 100*ms && (w < want*2/3 || w > want*3/2) {
			t.Fatalf("after %v %d wait for %v, want %v", now, b.fresh.len(), w, want)
		}
	}
	now += time.Minute
	for range 10 {
		b.Fresh(5, now)
	}
	for range few { // they are continued later
		now += ms
		b.Next(now)
	}
	if w := b.Wait(now, 0); w < 20*ms || w > 40*ms {
		t.Errorf("6 of 5 steps of 1 ms, when nothing has been continued yet: %v", w)
	}
}

// TestMemory: a queue that never ends takes as much memory as waits in it, and one
// that was long gives it back.
func TestMemory(t *testing.T) {
	var b Backlog[int]
	for i := range 100 {
		b.Fresh(i, 0)
	}
	for i := range 100000 {
		b.Fresh(100+i, 0)
		if v, _ := b.Next(0); v != i {
			t.Fatalf("%d comes, want %d", v, i)
		}
	}
	if n := cap(b.fresh.items); n > keep {
		t.Errorf("room for %d, where 100 wait", n)
	}
	for i := range 10 * keep {
		b.Fresh(i, 0)
	}
	for b.Len() > 0 {
		b.Next(0)
	}
	if n := cap(b.fresh.items); n > keep {
		t.Errorf("room for %d is kept", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		b.Fresh(1, 0)
		b.Begun(1, 0)
		b.Next(0)
		b.Next(0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
