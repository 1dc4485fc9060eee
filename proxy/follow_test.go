package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/model"
)

// late is a Feed that offers its next Snapshot, or error, after a while.
type late struct {
	after time.Duration
	err   error
}

func (f late) Next(ctx context.Context, _ model.Version) (*model.Snapshot, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(f.after):
		return &model.Snapshot{Version: "new"}, f.err
	}
}

// What a change has left behind is collected once when nothing more comes soon,
// and never before the first.
func TestIdleAfterAChange(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		feed  late
		after model.Version
		idle  int
	}{
		{"the first", late{time.Minute, nil}, "", 0},
		{"one soon after", late{calm / 2, nil}, "old", 0},
		{"one later", late{time.Minute, nil}, "old", 1},
		{"a failure soon", late{calm / 2, broken}, "old", 0},
		{"a failure later", late{time.Minute, broken}, "old", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			idle, began := 0, time.Now()
			s, err := next(t.Context(), c.feed, c.after, func() { idle++ })
			if idle != c.idle || !errors.Is(err, c.feed.err) || s == nil || s.Version != "new" {
				t.Errorf("%s: idle %d times; %v %v", c.name, idle, s, err)
			}
			if took := time.Since(began); took < c.feed.after || took > c.feed.after+calm {
				t.Errorf("%s: it took %v", c.name, took)
			}
			ctx, cancel := context.WithTimeout(t.Context(), calm/2)
			defer cancel()
			if _, err := next(ctx, late{after: time.Hour}, c.after, func() { idle++ }); !errors.Is(err, context.DeadlineExceeded) || idle != c.idle {
				t.Errorf("%s: after its end: %v, idle %d times", c.name, err, idle)
			}
		})
	}
}
