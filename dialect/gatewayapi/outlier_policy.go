package gatewayapi

import (
	"math"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// OutlierDetection is how endpoints that do worse than the rest are found and
// spared. Without a field its default counts; a negative number switches its
// detector off.
type OutlierDetection struct {
	// Disabled: no endpoint is ejected.
	Disabled bool `json:"disabled,omitempty"`
	// ConsecutiveFailures is how many requests in a row fail; default 5.
	ConsecutiveFailures int `json:"consecutiveFailures,omitempty"`
	// ConsecutiveConnectFailures is how many connections in a row are not made;
	// default 5.
	ConsecutiveConnectFailures int `json:"consecutiveConnectFailures,omitempty"`
	// SuccessRatePercent is how many of the requests within 10 s must succeed;
	// default 80.
	SuccessRatePercent int `json:"successRatePercent,omitempty"`
	// Deviation is how many standard deviations below the mean of the other
	// endpoints the success rate may be; default 1.9.
	Deviation float64 `json:"deviation,omitempty"`
	// Slowness is how many times the median latency of the other endpoints that of
	// one may be; default 3.
	Slowness float64 `json:"slowness,omitempty"`
	// MaxEjectedPercent is the share of endpoints at which no more are ejected;
	// default 50.
	MaxEjectedPercent int `json:"maxEjectedPercent,omitempty"`
	// Backoff is until a request probes an ejected endpoint; it doubles up to
	// MaxBackoff. Defaults 1s and 60s.
	Backoff    gateway.Duration `json:"backoff,omitempty"`
	MaxBackoff gateway.Duration `json:"maxBackoff,omitempty"`

	_ struct{} `also:"consecutive5xxErrors,consecutiveGatewayErrors,consecutive5xx,consecutiveErrors" hint:"did you mean consecutiveFailures?"`
	_ struct{} `also:"consecutiveLocalOriginFailures" hint:"did you mean consecutiveConnectFailures? Those are always apart"`
	_ struct{} `also:"baseEjectionTime,ejectionTime" hint:"did you mean backoff? It doubles with each failed probe"`
	_ struct{} `also:"maxEjectionTime" hint:"did you mean maxBackoff?"`
	_ struct{} `also:"maxEjectionPercent" hint:"did you mean maxEjectedPercent?"`
	_ struct{} `also:"interval,window" hint:"requests of the last 10s count; there is no interval to set"`
	_ struct{} `also:"minHealthPercent" hint:"below how many healthy endpoints all are used is locality: {panic: 50}"`
}

// outlierDetection reads how endpoints are spared.
func (r *reader) outlierDetection(in *OutlierDetection) *model.Ejection {
	const field = "spec.outlierDetection"
	out := &model.Ejection{
		Off:         in.Disabled,
		Failures:    in.ConsecutiveFailures,
		Connects:    in.ConsecutiveConnectFailures,
		SuccessRate: in.SuccessRatePercent,
		Deviation:   r.hundredths(field+".deviation", in.Deviation, 100),
		Slowness:    r.hundredths(field+".slowness", in.Slowness, 1e6),
		MaxEjected:  in.MaxEjectedPercent,
		Backoff:     r.bound(field+".backoff", in.Backoff),
		MaxBackoff:  r.bound(field+".maxBackoff", in.MaxBackoff),
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"successRatePercent", out.SuccessRate}, {"maxEjectedPercent", out.MaxEjected}} {
		if f.value > 100 {
			r.broken(field+"."+f.name, "bad-value", f.name+" is at most 100", "")
		}
	}
	if out.Slowness > 0 && in.Slowness <= 1 {
		r.broken(field+".slowness", "bad-value", "slowness is more than 1: half of all endpoints are slower than the others", "for example slowness: 3")
	}
	if out.Backoff > 0 && out.MaxBackoff > 0 && out.MaxBackoff < out.Backoff {
		r.broken(field+".maxBackoff", "bad-value", "maxBackoff is at least backoff", "")
	}
	return out
}

// hundredths reads a number of which two decimals count, up to most; a negative one
// is off.
func (r *reader) hundredths(field string, number, most float64) int {
	switch scaled := math.Round(100 * number); {
	case number < 0:
		return -1
	case number > most, scaled == 0 && number != 0:
		r.broken(field, "bad-value", field[strings.LastIndexByte(field, '.')+1:]+" is 0.01 to "+strconv.FormatFloat(most, 'f', -1, 64)+", or negative for off", "leave it out for its default")
		return 0
	default:
		return int(scaled)
	}
}
