package loop

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestClock: each loop is woken at its due time, once; a later one does not
// disturb, an earlier one is not missed.
func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock(time.Now())
		type loop struct {
			due   atomic.Int64
			woken []time.Duration
		}
		loops := make([]loop, 3)
		for i := range loops {
			l := &loops[i]
			l.due.Store(never)
			c.loops = append(c.loops, sleeper{&l.due, func() { l.woken = append(l.woken, time.Since(c.base)) }})
		}
		go c.run()
		synctest.Wait()
		c.publish(&loops[0].due, int64(time.Hour))
		c.publish(&loops[1].due, int64(2*time.Second))
		synctest.Wait()
		c.publish(&loops[2].due, int64(time.Second))
		synctest.Wait()
		if c.target.Load() != int64(time.Second) {
			t.Errorf("the clock sleeps towards %v", time.Duration(c.target.Load()))
		}
		<-time.After(3 * time.Second) // in fake time
		synctest.Wait()
		for i, want := range []time.Duration{0, 2 * time.Second, time.Second} {
			got := loops[i].woken
			if want == 0 && len(got) != 0 || want != 0 && (len(got) != 1 || got[0] != want) {
				t.Errorf("loop %d was woken at %v, want %v", i, got, want)
			}
		}
		if c.target.Load() != int64(time.Hour) {
			t.Errorf("the clock sleeps towards %v", time.Duration(c.target.Load()))
		}
		close(c.stop)
		<-c.done
	})
}
