package proxy

import (
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// TestRank: critical routes and health checks come first; of the rest, responses
// that have begun before those that have not; copies and other flows last.
func TestRank(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := ranked()
	w.apply(c)
	for _, want := range []struct {
		path          string
		before, begun wire.Rank
	}{
		{"/", wire.RankLast, wire.RankBegun},
		{"/report", wire.RankLast, wire.RankBegun},
		{"/pay", wire.RankFirst, wire.RankFirst},
		{"/healthz", wire.RankFirst, wire.RankFirst},
	} {
		s := w.get(want.path)
		if got := wire.RankOf(s.sink); got != want.before {
			t.Errorf("%s: rank %d, want %d", want.path, got, want.before)
		}
		to := w.busy()
		if got := wire.RankOf(to.sink); got != want.before {
			t.Errorf("%s: rank %d at the service, want %d", want.path, got, want.before)
		}
		to.respond(200, "", false)
		if got := wire.RankOf(s.sink); got != want.begun {
			t.Errorf("%s: rank %d when the response has begun, want %d", want.path, got, want.begun)
		}
		to.data("ok", true)
		w.run()
	}
	w.settled(4)
	flow := func(p model.Priority) *half {
		return &half{of: &conversation{flow: &flow{noun: &model.Flow{Priority: p}}}}
	}
	if got := flow(model.PriorityCritical).Rank(); got != wire.RankFirst {
		t.Errorf("rank %d of a critical flow", got)
	}
	for _, last := range []wire.Ranker{&mirror{}, &half{of: &conversation{}}, flow(""), flow(model.PriorityLow), &hedge{}} {
		if got := last.Rank(); got != wire.RankLast {
			t.Errorf("%T: rank %d", last, got)
		}
	}
	if got := (&exchange{}).Rank(); got != wire.RankFirst {
		t.Errorf("rank %d before the route is known", got)
	}
}
