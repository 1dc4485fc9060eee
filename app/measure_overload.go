package app

import (
	"strconv"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/overload"
)

// measureOverload adds how far the proxy itself has too much to do. Figures are of
// when it was last looked at, which is four times a second while there is traffic.
func (g *gateway) measureOverload() {
	r, guard := g.registry, g.guard
	r.Func("naru_overload_level", "How far the proxy is overloaded: 0 not, 1 is near it, and accepts more slowly where memory or processors are short, 2 refuses low priority, 3 normal, 4 critical.", observe.KindGauge, nil,
		func(emit func(float64, ...string)) {
			guard.mu.Lock()
			defer guard.mu.Unlock()
			emit(float64(guard.level))
		})
	r.Func("naru_overload_pressure", "What is used of a resource as a share of its bound; 1 is at the bound.", observe.KindGauge, []string{"resource"},
		func(emit func(float64, ...string)) {
			guard.mu.Lock()
			defer guard.mu.Unlock()
			b, s := guard.bounds, &guard.last
			if b.Memory > 0 {
				emit(float64(s.Memory)/float64(b.Memory), overload.Memory.String())
			}
			if b.CPU > 0 {
				emit(s.CPU/b.CPU, overload.CPU.String())
			}
			if b.Delay > 0 {
				worst := 0.0
				for _, d := range guard.longer {
					worst = max(worst, float64(d)/float64(b.Delay))
				}
				emit(worst, overload.QueueDelay.String())
			}
		})
	r.Func("naru_overload_shed_total", "Requests and new connections refused because the proxy was overloaded, by its level and the priority of their route.", observe.KindCounter, []string{"level", "priority"},
		func(emit func(float64, ...string)) {
			guard.eachShed(func(l overload.Level, c overload.Class, n uint64) { emit(float64(n), l.String(), c.String()) })
		})
	r.Func("naru_loop_queue_delay_seconds", "How long the loop's events wait for their turn, in seconds: what is always waited for, or what is put off because others go first.", observe.KindGauge, []string{"loop"},
		func(emit func(float64, ...string)) {
			guard.mu.Lock()
			defer guard.mu.Unlock()
			for i, d := range guard.longer {
				emit(d.Seconds(), strconv.Itoa(i))
			}
		})
}
