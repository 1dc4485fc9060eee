package budget

import (
	"sync"
	"testing"
	"time"
)

var usual = Settings{Percent: 20, MinPerSecond: 10, TTL: 10 * time.Second}

// spend withdraws until nothing is left, at most 1e6 times, by the loops in turn.
func spend(b *Budget, now time.Duration) (n int) {
	for n < 1e6 && b.Withdraw(n%len(b.shares), now) {
		n++
	}
	return n
}

func TestShareOfTheRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		set      Settings
		requests int
		want     int
	}{
		{"the minimum alone", usual, 0, 100},
		{"with requests", usual, 1000, 300},
		{"no minimum", Settings{Percent: 20, TTL: 10 * time.Second}, 1000, 200},
		{"no share", Settings{MinPerSecond: 1, TTL: 10 * time.Second}, 1000, 10},
		{"nothing", Settings{TTL: 10 * time.Second}, 1000, 0},
		{"a ttl that is too short", Settings{MinPerSecond: 7, TTL: 1}, 0, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := New(c.set, 4)
			now := time.Hour
			for i := range c.requests {
				b.Deposit(i%4, now, 1)
			}
			if got := spend(b, now); got != c.want {
				t.Errorf("%d tries, want %d", got, c.want)
			}
			if b.Withdraw(0, now) {
				t.Error("one more")
			}
		})
	}
}

// TestRequestsGrowOld: what was deposited is worth nothing after the ttl, and
// what was withdrawn is forgotten with it.
func TestRequestsGrowOld(t *testing.T) {
	t.Parallel()
	b := New(Settings{Percent: 50, TTL: 10 * time.Second}, 2)
	for range 10*Batch + 1 {
		b.Deposit(1, 0, 1)
	}
	if got := b.Left(9 * time.Second); got != 80.5 {
		t.Errorf("%v left within the ttl, want 80.5", got)
	}
	if got := spend(b, 9*time.Second); got != 80 {
		t.Errorf("%d tries, want 80", got)
	}
	if got := b.Left(10 * time.Second); got != -80 {
		t.Errorf("%v left, want -80: the tries are younger than the requests", got)
	}
	if got := b.Left(19 * time.Second); got != 0 {
		t.Errorf("%v left after the ttl, want 0", got)
	}
	// A slot that is used again begins at nothing, also after a long silence.
	for range Batch + 1 {
		b.Deposit(1, 100*time.Hour, 1)
	}
	if got := b.Left(100 * time.Hour); got != (Batch+1)/2.0 {
		t.Errorf("%v left, want %v", got, (Batch+1)/2.0)
	}
}

// TestSteadyShare: over a long time the tries are the share of the requests.
func TestSteadyShare(t *testing.T) {
	t.Parallel()
	b := New(Settings{Percent: 20, TTL: 10 * time.Second}, 1)
	tries, requests := 0, 0
	for now := time.Duration(0); now < 5*time.Minute; now += time.Millisecond {
		requests++
		b.Deposit(0, now, 1)
		if b.Withdraw(0, now) {
			tries++
		}
	}
	if share := float64(tries) / float64(requests); share < 0.19 || share > 0.21 {
		t.Errorf("%.3f of the requests were tried again, want 0.20", share)
	}
}

// TestLoopsTogether: all loops spend one budget; together they exceed it by at
// most one each.
func TestLoopsTogether(t *testing.T) {
	t.Parallel()
	const loops = 8
	b := New(Settings{MinPerSecond: 100, TTL: 10 * time.Second}, loops)
	var wg sync.WaitGroup
	var got [loops]int
	for i := range loops {
		wg.Go(func() {
			for range 1000 {
				if b.Deposit(i, time.Hour, 1); b.Withdraw(i, time.Hour) {
					got[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range got {
		sum += n
	}
	if sum < 1000 || sum > 1000+loops {
		t.Errorf("%d tries, want 1000", sum)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	b := New(usual, 2)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(100, func() {
		now += 100 * time.Millisecond
		b.Deposit(0, now, 1)
		b.Withdraw(1, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDeposit(b *testing.B) {
	k := New(usual, 4)
	for i := range b.N {
		k.Deposit(1, time.Duration(i)*time.Microsecond, 1)
	}
}

func BenchmarkWithdraw(b *testing.B) {
	k := New(usual, 4)
	for i := range b.N {
		k.Withdraw(1, time.Duration(i)*time.Microsecond)
	}
}
