package gatewayapi

import (
	"math"
	"strconv"
	"time"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Rollout moves the requests of a route to a new version step by step while that
// does well, and back by itself when it does not. Rules whose backendRefs do not
// name the new version are left as they are.
type Rollout struct {
	// To is the new version, one of the route's backendRefs, whose weight there does
	// not count; the others share what is left.
	To RolloutBackend `json:"to"`
	// Steps ascend; 1, 5, 25, 50 and 100 percent by default.
	Steps []RolloutStep `json:"steps,omitempty"`
	// Every is how long a step lasts that says nothing, 100ms to 720h; default 1m.
	Every gateway.Duration `json:"every,omitempty"`
	// SuccessPercent is the share of the requests that must succeed; default 99.5.
	SuccessPercent *float64 `json:"successPercent,omitempty"`
	// Latency bounds the time to the response's head.
	Latency *RolloutLatency `json:"latency,omitempty"`
	// MinRequests is how many of the new version's requests a step has at least;
	// default 50.
	MinRequests int `json:"minRequests,omitempty"`
	// MaxWait is how much longer than its time a step waits for these; then it is
	// rolled back. Default 1h.
	MaxWait gateway.Duration `json:"maxWait,omitempty"`
	// Version names what is rolled out, where Services keep their names: another
	// one begins anew.
	Version string `json:"version,omitempty"`
}

// RolloutBackend is a port of a Service in the policy's namespace.
type RolloutBackend struct {
	Name string `json:"name"`
	Port int    `json:"port"`
}

// RolloutStep is a share of the requests, and for how long.
type RolloutStep struct {
	Percent float64          `json:"percent"`
	For     gateway.Duration `json:"for,omitempty"` // default that of every
}

// RolloutLatency says how slow the new version may be: 1.5 times as slow as the
// others, at the 95th percentile, by default.
type RolloutLatency struct {
	Disabled   bool             `json:"disabled,omitempty"` // it is not looked at
	Percentile int              `json:"percentile,omitempty"`
	Ratio      float64          `json:"ratio,omitempty"` // times that of the others
	Max        gateway.Duration `json:"max,omitempty"`   // instead of ratio
}

// rollout reads a Rollout, for the policy or route of a name.
func (r *reader) rollout(field, name string, in *Rollout) *model.Rollout {
	out := &model.Rollout{Name: name, MinRequests: in.MinRequests, Version: in.Version}
	switch {
	case in.To.Name == "":
		r.broken(field+".to", "missing-field", "name is missing", "to: {name: orders-next, port: 80}")
	case in.To.Port < 1 || in.To.Port > 65535:
		r.broken(field+".to", "bad-value", "port is 1 to 65535", "that of the backendRef: to: {name: "+in.To.Name+", port: 80}")
	default:
		out.To = r.home + "/" + in.To.Name + ":" + strconv.Itoa(in.To.Port)
	}
	lasts := func(field string, text gateway.Duration) time.Duration {
		d := r.bound(field, text)
		if d > model.MostRolloutHold || d > 0 && d < model.LeastRolloutHold {
			r.broken(field, "bad-value", "a step lasts 100ms to 720h", "")
		}
		return d
	}
	out.Hold = lasts(field+".every", in.Every)
	if out.MaxWait = r.bound(field+".maxWait", in.MaxWait); out.MaxWait > model.MostRolloutHold {
		r.broken(field+".maxWait", "bad-value", "maxWait is at most 720h", "")
	}
	const whole = model.Million / 100
	switch p := in.SuccessPercent; {
	case p == nil:
	case !(*p > 0 && *p < 100):
		r.broken(field+".successPercent", "bad-value", "successPercent is more than 0 and less than 100: a few requests always fail, whatever runs", "for example 99.5")
	default:
		out.Success = max(int(math.Round(*p*whole)), 1) // 0 is the default
	}
	if in.MinRequests < 0 {
		r.broken(field+".minRequests", "bad-value", "minRequests is at least 1", "")
	}
	if len(in.Steps) > model.MostRolloutSteps {
		r.broken(field+".steps", "bad-value", "a rollout has at most 100 steps", "")
		return out
	}
	last := 0
	for i, s := range in.Steps {
		at := item(field+".steps", i)
		if !(s.Percent > 0 && s.Percent <= 100) {
			r.broken(at+".percent", "bad-value", "percent is more than 0 and at most 100", "")
			continue
		}
		share := max(int(math.Round(s.Percent*whole)), 1)
		if share <= last {
			r.broken(at+".percent", "bad-value", "steps ascend, and "+model.Percent(share)+" comes after "+model.Percent(last), "")
		}
		last = share
		out.Steps = append(out.Steps, model.RolloutStep{Share: share, Hold: lasts(at+".for", s.For)})
	}
	if in.Latency != nil {
		out.Latency = r.rolloutLatency(field+".latency", in.Latency)
	}
	return out
}

func (r *reader) rolloutLatency(field string, in *RolloutLatency) *model.RolloutLatency {
	out := &model.RolloutLatency{Off: in.Disabled, Quantile: in.Percentile, Most: r.bound(field+".max", in.Max)}
	switch {
	case in.Disabled && (in.Percentile != 0 || in.Ratio != 0 || in.Max != ""):
		r.broken(field, "conflict", "latency is disabled or has a bound, not both", "remove one of them")
	case in.Percentile != 0 && (in.Percentile < 50 || in.Percentile > 99):
		r.broken(field+".percentile", "bad-value", "percentile is 50 to 99", "")
	case in.Ratio != 0 && in.Max != "":
		r.broken(field, "conflict", "latency has a ratio or a max, not both", "remove one of them")
	case in.Ratio != 0 && !(in.Ratio >= 1 && in.Ratio <= 1000):
		r.broken(field+".ratio", "bad-value", "ratio is 1 to 1000", "for example 1.5")
	default:
		out.Ratio = int(math.Round(in.Ratio * 100))
	}
	return out
}
