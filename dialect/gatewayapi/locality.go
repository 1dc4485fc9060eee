package gatewayapi

import "github.com/naru-mesh/naru/model"

// Locality says which endpoints go before others. Where they are says their
// EndpointSlice, where the proxy is its --zone.
type Locality struct {
	// Prefer is Zone (the default: those of the own zone, as far as they can carry
	// its share), Region (those of the region alike) or None.
	Prefer string `json:"prefer,omitempty"`
	// MinEndpoints: with fewer endpoints in the region its zones are alike;
	// default 6.
	MinEndpoints int `json:"minEndpoints,omitempty"`
	// Overprovisioning is how much of their share healthy endpoints can carry, in
	// percent, 100 to 1000; default 140.
	Overprovisioning int `json:"overprovisioning,omitempty"`
	// Panic is the percentage of healthy endpoints below which all are used, where
	// those that are healthy cannot carry everything; default 0: where none is.
	Panic int `json:"panic,omitempty"`
}

// locality reads a Locality.
func (r *reader) locality(in *Locality) *model.Locality {
	const field = "spec.locality"
	out := &model.Locality{MinEndpoints: in.MinEndpoints, Overprovisioning: in.Overprovisioning, Panic: in.Panic}
	switch in.Prefer {
	case "", "Zone":
	case "Region":
		out.Prefer = model.PreferRegion
	case "None":
		out.Prefer = model.PreferNone
	default:
		r.unknownValue(field+".prefer", in.Prefer, "Zone", "Region", "None")
	}
	if in.MinEndpoints < 0 {
		r.broken(field+".minEndpoints", "bad-value", "minEndpoints is at least 1", "leave it out for 6")
	}
	if in.Overprovisioning != 0 && (in.Overprovisioning < 100 || in.Overprovisioning > 1000) {
		r.broken(field+".overprovisioning", "bad-value", "overprovisioning is 100 to 1000 percent", "leave it out for 140")
	}
	if in.Panic < 0 || in.Panic > 100 {
		r.broken(field+".panic", "bad-value", "panic is 0 to 100 percent", "leave it out for 0: only where none is healthy")
	}
	if *out == (model.Locality{}) {
		return nil
	}
	return out
}
