package model

import "time"

// Ejection is how the endpoints of a Service that do worse than the rest are
// found, by how requests on them go, and spared until they work again. It is on
// for every Service; a number that is 0 is its default, a negative one switches
// its detector off.
type Ejection struct {
	// Off: no endpoint is ejected.
	Off bool `json:"off,omitempty"`
	// Failures is how many requests in a row fail (5xx but 501 and 505, no answer
	// in time, a connection that breaks; of gRPC UNKNOWN, DEADLINE_EXCEEDED,
	// INTERNAL, UNAVAILABLE, DATA_LOSS) until the endpoint is ejected. Default 5.
	Failures int `json:"failures,omitempty"`
	// Connects is the same for connections that cannot be made. Default 5.
	Connects int `json:"connects,omitempty"`
	// SuccessRate is the percentage of requests, and of connects, within 10 s that
	// must succeed; what chance may bring about does not count. Default 80.
	SuccessRate int `json:"successRate,omitempty"`
	// Deviation is how many hundredths of a standard deviation below the mean of
	// the peers the success rate may be, with 5 endpoints of 100 requests each.
	// Default 190.
	Deviation int `json:"deviation,omitempty"`
	// Slowness is how many hundredths of the median latency of the peers that of
	// an endpoint may be. Default 300.
	Slowness int `json:"slowness,omitempty"`
	// MaxEjected is the percentage of endpoints at which no more are ejected. The
	// last one never is. Default 50.
	MaxEjected int `json:"maxEjected,omitempty"`
	// Backoff is until a request probes the endpoint for the first time; each
	// failure doubles that, up to MaxBackoff. Defaults 1 s and 60 s.
	Backoff    time.Duration `json:"backoff,omitempty"`
	MaxBackoff time.Duration `json:"maxBackoff,omitempty"`
}

func (e *Ejection) write(b *content) {
	if e == nil {
		return // at the end of a Service: nothing else changes where it is not set
	}
	b.text("ejection")
	b.bool(e.Off)
	for _, n := range [...]int{e.Failures, e.Connects, e.SuccessRate, e.Deviation, e.Slowness, e.MaxEjected} {
		b.int(int64(n))
	}
	b.time(e.Backoff)
	b.time(e.MaxBackoff)
}
