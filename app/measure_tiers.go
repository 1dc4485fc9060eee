package app

import (
	"math"
	"strconv"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
)

// measureTiers adds how requests are shared by priority and place. Services
// have one tier that gets everything unless they say more: those are left out, but
// in a panic or with a subset.
func (g *gateway) measureTiers() {
	tier := func(name, help string, value func(*upstream.TierStats) float64) {
		g.registry.Func(name, help, observe.KindGauge, []string{"service", "priority", "distance", "zone"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) {
				for i := range s.Tiers {
					t := &s.Tiers[i]
					if len(s.Tiers) == 1 && !t.Panics && t.Used == t.Healthy {
						break
					}
					emit(value(t), s.Service, strconv.Itoa(t.Priority), t.Distance.String(), t.Zone)
				}
			})
		})
	}
	tier("naru_service_tier_load", "Share of the service's requests, 0 to 1, that the endpoints of a priority at a distance get by how many of them are healthy. What cannot be connected to is passed over besides, and counts as spilled in naru_service_choices_total.", func(t *upstream.TierStats) float64 { return math.Round(t.Load*1e6) / 1e6 })
	tier("naru_service_tier_endpoints", "Endpoints of the tier.", func(t *upstream.TierStats) float64 { return float64(t.Total) })
	tier("naru_service_tier_endpoints_healthy", "Of these, those to which requests should go.", func(t *upstream.TierStats) float64 { return float64(t.Healthy) })
	tier("naru_service_tier_endpoints_used", "Endpoints of the tier that requests can go to: the healthy ones, of which a subset leaves some out; in a panic all.", func(t *upstream.TierStats) float64 { return float64(t.Used) })
	tier("naru_service_tier_panic", "1 where all endpoints of the tier are used, healthy or not, because too few are healthy.", func(t *upstream.TierStats) float64 {
		if t.Panics {
			return 1
		}
		return 0
	})
	count := func(name, help string, value func(*upstream.ServiceStats) uint64) {
		g.registry.Func(name, help, observe.KindCounter, []string{"service"}, func(emit func(float64, ...string)) {
			g.clusters.Stats(func(s *upstream.ServiceStats) { emit(float64(value(s)), s.Service) })
		})
	}
	count("naru_service_panics_total", "Times that endpoints of the service began to be used that are not healthy, because too few are.", func(s *upstream.ServiceStats) uint64 { return s.Panics })
	count("naru_service_panic_picks_total", "Times that an endpoint was chosen that is not healthy, because too few are.", func(s *upstream.ServiceStats) uint64 { return s.Panicked })
	count("naru_service_key_diverted_picks_total", "Times that a key led past its endpoint to another, because that had more than hashBalanceFactor allows.", func(s *upstream.ServiceStats) uint64 { return s.Diverted })
	count("naru_service_keyless_picks_total", "Times that a request had no key where the service is balanced by keys: what is named is not there, or an expression fails.", func(s *upstream.ServiceStats) uint64 { return s.Keyless })
	count("naru_service_other_zone_picks_total", "Times that an endpoint was chosen that is not in the proxy's own zone, as far as both are known.", func(s *upstream.ServiceStats) uint64 { return s.OtherZone })
}
