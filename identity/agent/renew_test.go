package agent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// TestRenewAll replaces all at once, and one whose authority is away as soon as
// that may be asked again, without hurrying it.
func TestRenewAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := &faulty{Authority: authority(t)}
		var mu sync.Mutex
		replaced := map[identity.ID]int{}
		a := open(t, Options{Authority: root, Replaced: func(id identity.ID) {
			mu.Lock()
			defer mu.Unlock()
			replaced[id]++
		}})
		told := func(want int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if replaced[orders] != want || replaced[payments] != want {
				t.Errorf("told %v, want each %d times", replaced, want)
			}
		}
		if n, err := a.RenewAll(t.Context()); n != 0 || err != nil {
			t.Error(n, err)
		}
		a.Hold(orders)
		a.Hold(payments)
		wait(t, a, orders)
		wait(t, a, payments)
		before := a.SVID(orders).Chain[0]
		if n, err := a.RenewAll(t.Context()); n != 2 || err != nil {
			t.Error(n, err)
		}
		if a.SVID(orders).Chain[0].Equal(before) {
			t.Error("not replaced")
		}
		told(1)

		root.set(errors.New("away"))
		asked := len(root.times())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if n, err := a.RenewAll(ctx); n != 0 || err == nil || !strings.Contains(err.Error(), "no new certificate yet: away") {
			t.Error(n, err)
		}
		if n := len(root.times()) - asked; n < 2 || n > 20 {
			t.Errorf("asked %d times in ten seconds", n)
		}
		root.set(nil)
		pass(time.Minute)
		told(2)
	})
}
