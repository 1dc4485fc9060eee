package gatewayapi

import (
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// RetryBudget bounds the tries after the first of all requests to a Service:
// what retries of single routes allow, this may refuse.
type RetryBudget struct {
	// Percent of the requests of the last ttl, 0 to 1000; default 20.
	Percent *int `json:"percent,omitempty"`
	// MinPerSecond are allowed in any case; default 10.
	MinPerSecond *int `json:"minPerSecond,omitempty"`
	// TTL is how long a request counts, 1s to 60s; default 10s.
	TTL gateway.Duration `json:"ttl,omitempty"`
}

// retryBudget reads a budget. In the model 0 is the default, and negative is
// none.
func (r *reader) retryBudget(in *RetryBudget) *model.RetryBudget {
	if in == nil {
		return nil
	}
	const field = "spec.retryBudget"
	read := func(name string, n *int, most int) int {
		switch {
		case n == nil:
			return 0
		case *n < 0 || *n > most:
			r.broken(field+"."+name, "bad-value", name+" of a retry budget is 0 or more", "retryBudget: {percent: 20, minPerSecond: 10, ttl: 10s}")
			return 0
		case *n == 0:
			return -1
		}
		return *n
	}
	return &model.RetryBudget{
		Percent:      read("percent", in.Percent, model.MostBudgetPercent),
		MinPerSecond: read("minPerSecond", in.MinPerSecond, 1e6),
		TTL:          r.bound(field+".ttl", in.TTL),
	}
}
