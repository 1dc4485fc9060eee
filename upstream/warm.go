package upstream

import (
	"math"
	"time"

	"github.com/naru-mesh/naru/model"
)

// slowStart is a model.SlowStart made ready; no window is no slow start.
type slowStart struct {
	window   time.Duration
	exponent float64 // 1 / aggression
	floor    float64 // share to begin with
}

func slowStartOf(m *model.SlowStart) (s slowStart) {
	if m == nil || m.Window <= 0 {
		return s
	}
	s = slowStart{window: min(m.Window, longest), exponent: 1, floor: float64(m.Floor) / 100}
	if m.Aggression > 0 {
		s.exponent = 1 / m.Aggression
	}
	if m.Floor <= 0 {
		s.floor = model.DefaultSlowStartFloor / 100.0
	}
	return s
}

// fromFirstLook begins when a pick first comes upon the endpoint.
const fromFirstLook = -1

// warm begins the endpoint's slow start, where its service has one, at now: a
// loop's clock, or fromFirstLook where no loop is at hand. What was known of how
// long it takes is from another life, and is forgotten: it is asked once and
// then as it answers. It is for an endpoint that has arrived or has come back
// (after an ejection). Any goroutine.
func (ep *Endpoint) warm(now time.Duration) {
	if now != fromFirstLook {
		now = max(now, 1)
	}
	ep.warming.Store(int64(now))
	ep.latency.forget()
}

// passed says whether the endpoint passes this turn because it has begun only
// now. It may have weight x max(floor, (t / window)^(1 / aggression)) of what it
// would have (Envoy's formula).
func (ep *Endpoint) passed(cur *cursor, s *slowStart, now time.Duration) bool {
	since := ep.warming.Load()
	switch {
	case since == 0:
		return false
	case since == fromFirstLook:
		ep.warming.CompareAndSwap(since, int64(max(now, 1)))
		since = int64(now)
	}
	t := max(now-time.Duration(since), 0)
	if t >= s.window {
		ep.warming.CompareAndSwap(since, 0)
		return false
	}
	share := max(s.floor, math.Pow(float64(t)/float64(s.window), s.exponent))
	return float64(cur.next()>>11)/(1<<53) >= share
}
