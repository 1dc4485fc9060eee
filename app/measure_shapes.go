package app

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/proxy"
	"github.com/naru-mesh/naru/upstream"
)

// measureShapes counts what waits for the rates of routes.
func (g *gateway) measureShapes() {
	each := func(name, help string, kind observe.Kind, value func(proxy.ShapeStats) float64) {
		g.registry.Func(name, help, kind, []string{"route"}, func(emit func(float64, ...string)) {
			g.proxy.Shapes(func(s proxy.ShapeStats) { emit(value(s), s.Route) })
		})
	}
	each("naru_shape_delayed_total", "Requests that have waited for their turn, of a route with a shape.", observe.KindCounter,
		func(s proxy.ShapeStats) float64 { return float64(s.Delayed) })
	each("naru_shape_delay_seconds_total", "Time that the requests of a route with a shape were made to wait together, in seconds.", observe.KindCounter,
		func(s proxy.ShapeStats) float64 { return s.Waited.Seconds() })
	each("naru_shape_refused_total", "Requests of a route with a shape that were refused: too many waited.", observe.KindCounter,
		func(s proxy.ShapeStats) float64 { return float64(s.Refused) })
	each("naru_shape_waiting", "Requests that wait for their turn now, of a route with a shape.", observe.KindGauge,
		func(s proxy.ShapeStats) float64 { return float64(s.Waiting) })
}

// measureChoices counts why endpoints were chosen, and passed over.
func (g *gateway) measureChoices() {
	each := func(name, help string, skips bool) {
		g.registry.Func(name, help, observe.KindCounter, []string{"service", "why"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				s.Choices.Each(func(skip bool, why string, n uint64) {
					if skip == skips {
						emit(float64(n), s.Service, why)
					}
				})
			})
		})
	}
	each("naru_service_choices_total", "Times an endpoint of the service was chosen, by why: balanced, hashed, only (there is no other), elsewhere (another than was tried), spilled (of a zone or priority that is not the first), panic (not well, but too few are), session, named (by the caller), probe (of an ejected one).", false)
	each("naru_service_skips_total", "Times an endpoint of the service was meant and passed over, by why: tried (by the same request), aside (it could not be connected to a moment ago), unwell (checks or failure detection speak against it), session (the client's is gone, or any of these).", true)
}
