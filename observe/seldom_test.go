package observe

import (
	"testing"
	"time"
)

func TestSeldom(t *testing.T) {
	t.Parallel()
	var s Seldom
	for _, step := range []struct {
		at      time.Duration
		omitted uint64
		ok      bool
	}{
		{0, 0, true}, {0, 0, false}, {9 * time.Second, 0, false}, {10 * time.Second, 2, true},
		{11 * time.Second, 0, false}, {time.Hour, 1, true}, {2 * time.Hour, 0, true},
	} {
		if omitted, ok := s.May(step.at, 10*time.Second); omitted != step.omitted || ok != step.ok {
			t.Errorf("at %v: %d %v, want %d %v", step.at, omitted, ok, step.omitted, step.ok)
		}
	}
}
