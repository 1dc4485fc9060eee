package app

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// measureTries counts how tries on endpoints went: which instance it is that
// fails, and how.
func (g *gateway) measureTries() {
	g.registry.Func("naru_service_endpoint_tries_total", "Tries on the endpoint, by how they went: good, bad (a status, or gRPC status, that failure detection counts), busy (429, RESOURCE_EXHAUSTED), unreached (no connection could be made), broken (it ended before the response), late (no response in time), torn (it failed within a response that was good until then), abandoned (nobody waited any more).",
		observe.KindCounter, []string{"service", "endpoint", "how"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for i := range s.Endpoints {
					ep := &s.Endpoints[i]
					ep.Tries(func(how string, n uint64) { emit(float64(n), s.Service, ep.Addr.String(), how) })
				}
			})
		})
	g.registry.Func("naru_service_endpoint_latency_seconds", "How long the endpoint takes to answer as balancing by peak EWMA has it now, in seconds: failures count as slow answers, and it falls by half in seven seconds.",
		observe.KindGauge, []string{"service", "endpoint"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for i := range s.Endpoints {
					if l := s.Endpoints[i].Latency; l > 0 {
						emit(l.Seconds(), s.Service, s.Endpoints[i].Addr.String())
					}
				}
			})
		})
}
