package gatewayapi

import "github.com/naru-mesh/naru/model"

// loadBalancing reads how endpoints share requests.
func (r *reader) loadBalancing(p *backendPolicy, in *LoadBalancing) {
	switch in.Policy {
	case "", "PeakEWMA":
		p.noun.Balance = model.PeakEWMA
	case "RoundRobin":
		p.noun.Balance = model.RoundRobin
	case "LeastRequest":
		p.noun.Balance = model.LeastRequest
	case "Random":
		p.noun.Balance = model.Random
	default:
		r.unknownValue("spec.loadBalancing.policy", in.Policy, "PeakEWMA", "RoundRobin", "LeastRequest", "Random")
	}
}
