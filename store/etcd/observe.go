package etcd

import (
	"context"
	"sync"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// Observe adds how the store stands to g. Each scrape asks etcd at most once a
// second, and waits a second at most.
func (s *Store) Observe(g *observe.Registry) {
	recent := recently(time.Second, func() (Status, bool) {
		ctx, cancel := context.WithTimeout(s.life, time.Second)
		defer cancel()
		status, err := s.Status(ctx)
		return status, err == nil
	})
	gauge := func(name, help string, value func(*Status) (float64, bool)) {
		g.Func(name, help, observe.KindGauge, nil, func(emit func(float64, ...string)) {
			if status, ok := recent(); ok {
				if v, ok := value(&status); ok {
					emit(v)
				}
			}
		})
	}
	g.Func("naru_store_up", "1 while the store of the control plane answers, 0 while not.", observe.KindGauge, nil,
		func(emit func(float64, ...string)) {
			if _, ok := recent(); ok {
				emit(1)
			} else {
				emit(0)
			}
		})
	gauge("naru_store_has_leader", "1 while the member of the store that was asked knows a leader, 0 while nothing can be written.",
		func(t *Status) (float64, bool) {
			if t.Leader == "" {
				return 0, true
			}
			return 1, true
		})
	gauge("naru_store_revision", "Changes that the store has seen.",
		func(t *Status) (float64, bool) { return float64(t.Revision), true })
	gauge("naru_store_size_bytes", "Size of the store's database, in bytes.",
		func(t *Status) (float64, bool) { return float64(t.Size), true })
	gauge("naru_store_used_bytes", "What of the store's database is in use, in bytes.",
		func(t *Status) (float64, bool) { return float64(t.InUse), true })
	gauge("naru_store_disk_free_bytes", "What the disk of an embedded store has left, in bytes.",
		func(t *Status) (float64, bool) { return float64(t.Free), t.Free >= 0 })
	gauge("naru_store_lag", "Writes that are agreed on and not yet visible at the member of the store that was asked.",
		func(t *Status) (float64, bool) { return float64(t.Lag), true })
	gauge("naru_store_problems", "What the store says is wrong with it, such as a full database.",
		func(t *Status) (float64, bool) { return float64(len(t.Problems)), true })
}

// recently asks again only when the last answer is older than age.
func recently(age time.Duration, ask func() (Status, bool)) func() (Status, bool) {
	var mu sync.Mutex
	var at time.Time
	var status Status
	var ok bool
	return func() (Status, bool) {
		mu.Lock()
		defer mu.Unlock()
		if at.IsZero() || time.Since(at) >= age {
			status, ok = ask()
			at = time.Now()
		}
		return status, ok
	}
}
