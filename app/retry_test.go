package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/model"
)

// feed has one Snapshot, and another when it is given one.
type feed struct {
	first *model.Snapshot
	next  chan *model.Snapshot
}

func (f *feed) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	if after != f.first.Version {
		return f.first, nil
	}
	select {
	case s := <-f.next:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestRetrying: what is not in force is offered again, less and less often, and
// anything new at once.
func TestRetrying(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{&model.Snapshot{Version: "a"}, make(chan *model.Snapshot, 1)}
		lacking := true
		r := &retrying{Feed: f, lacking: func() bool { return lacking }}
		ask := func(after model.Version, want model.Version, in time.Duration) {
			t.Helper()
			began := time.Now()
			s, err := r.Next(t.Context(), after)
			if err != nil || s.Version != want || time.Since(began) != in {
				t.Errorf("%v, %v, after %v; want %s after %v", s, err, time.Since(began), want, in)
			}
		}
		ask("", "a", 0)
		for _, pause := range []time.Duration{2, 4, 8, 15, 15} {
			ask("a", "a", pause*time.Second)
		}
		f.next <- &model.Snapshot{Version: "b"}
		ask("a", "b", 0)
		lacking = false
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := r.Next(ctx, "a"); err == nil {
			t.Error("what is in force is offered again")
		}
		lacking = true
		if _, err := r.Next(ctx, "a"); err == nil {
			t.Error("the end of the context is not seen")
		}
	})
}

// TestLooking: the access log is there before the first request can be.
func TestLooking(t *testing.T) {
	t.Parallel()
	var seen []*model.Snapshot
	s := &model.Snapshot{Version: "1"}
	l := &looking{Feed: onlyFeed{s}, look: func(s *model.Snapshot) { seen = append(seen, s) }}
	if got, err := l.Next(t.Context(), ""); got != s || err != nil || len(seen) != 1 || seen[0] != s {
		t.Errorf("%v, %v, seen %v", got, err, seen)
	}
	if _, err := l.Next(t.Context(), "1"); err == nil || len(seen) != 1 {
		t.Errorf("error %v, seen %v", err, seen)
	}
}

// onlyFeed has one Snapshot.
type onlyFeed struct{ s *model.Snapshot }

func (f onlyFeed) Next(_ context.Context, after model.Version) (*model.Snapshot, error) {
	if after == f.s.Version {
		return nil, errors.New("there is no other")
	}
	return f.s, nil
}
