package app

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// measureLimits counts what the limits of services do.
func (g *gateway) measureLimits() {
	each := func(name, help string, kind observe.Kind, value func(*upstream.ServiceStats) (n float64, ok bool)) {
		g.registry.Func(name, help, kind, []string{"service"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				if n, ok := value(s); ok {
					emit(n, s.Service)
				}
			})
		})
	}
	each("naru_service_pending", "Requests that wait for their turn at the service, or for a connection that is being made.", observe.KindGauge,
		func(s *upstream.ServiceStats) (float64, bool) { return float64(s.Pending), true })
	each("naru_service_waited_total", "Requests that had to wait for their turn, because a limit of the service was met.", observe.KindCounter,
		func(s *upstream.ServiceStats) (float64, bool) { return float64(s.Waited), true })
	each("naru_service_pending_limit", "Requests that may wait at the service at once.", observe.KindGauge,
		func(s *upstream.ServiceStats) (float64, bool) { return float64(s.MaxPending), s.MaxPending > 0 })
	each("naru_service_connections_limit", "Connections that may be open to the service.", observe.KindGauge,
		func(s *upstream.ServiceStats) (float64, bool) { return float64(s.MaxConnections), s.MaxConnections > 0 })
	g.registry.Func("naru_service_limited_total", "Requests, connections of flows and retries that a limit of the service has not let in, by limit: requests, connections, endpoint_connections, pending, retries.", observe.KindCounter, []string{"service", "limit"},
		func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for _, l := range upstream.Limits() {
					if n := s.Limited[l]; n > 0 {
						emit(float64(n), s.Service, l.String())
					}
				}
			})
		})
}
