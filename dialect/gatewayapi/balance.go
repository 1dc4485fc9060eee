package gatewayapi

import (
	"strings"

	"github.com/naru-mesh/naru/model"
)

// HashKey is a part of requests.
type HashKey struct {
	// Type is Header, Cookie, QueryParam or SourceIP.
	Type string `json:"type,omitempty"`
	// Name is that of the header, cookie or parameter.
	Name string `json:"name,omitempty"`
}

// loadBalancing reads how endpoints share requests.
func (r *reader) loadBalancing(p *backendPolicy, in *LoadBalancing) {
	const field = "spec.loadBalancing"
	switch in.Policy {
	case "", "PeakEWMA":
		p.noun.Balance = model.PeakEWMA
	case "RoundRobin":
		p.noun.Balance = model.RoundRobin
	case "LeastRequest":
		p.noun.Balance = model.LeastRequest
	case "Random":
		p.noun.Balance = model.Random
	case "RingHash":
		p.noun.Balance = model.RingHash
	case "Maglev":
		p.noun.Balance = model.Maglev
	default:
		r.unknownValue(field+".policy", in.Policy, "PeakEWMA", "RoundRobin", "LeastRequest", "Random", "RingHash", "Maglev")
	}
	for i, k := range in.Hash {
		at := item(field+".hash", i)
		key := model.HashKey{Name: k.Name}
		switch k.Type {
		case "Header":
			key.Kind = model.HashHeader
		case "Cookie":
			key.Kind = model.HashCookie
		case "QueryParam":
			key.Kind = model.HashQuery
		case "SourceIP":
			key.Kind = model.HashSource
		default:
			r.unknownValue(at+".type", k.Type, "Header", "Cookie", "QueryParam", "SourceIP")
			continue
		}
		if (key.Kind == model.HashSource) != (strings.TrimSpace(k.Name) == "") {
			r.broken(at, "bad-value", "headers, cookies and parameters have a name, a source has none", "{type: Cookie, name: session}")
			continue
		}
		p.noun.Hash = append(p.noun.Hash, key)
	}
	if p.noun.Balance.Hashes() && len(in.Hash) == 0 {
		r.broken(field+".policy", "no-hash", in.Policy+" needs hash: what requests have in common", "hash: [{type: Cookie, name: session}]")
	}
}
