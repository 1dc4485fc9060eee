package gatewayapi

import (
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Limits bounds what runs on a Service at once, through one proxy.
type Limits struct {
	// Requests may run at once; with adaptive it is the most that the limit may
	// become.
	Requests int `json:"requests,omitempty"`
	// Adaptive finds the limit from how long the Service takes to answer.
	Adaptive bool `json:"adaptive,omitempty"`
	// Least and Most bound an adaptive limit; 8 and 4096 by default.
	Least int `json:"least,omitempty"`
	Most  int `json:"most,omitempty"`
	// Connections may be open at once. By default as many as a quarter of the
	// files that naru may open, and of protocol http2 as many requests, too; -1 is
	// no bound.
	Connections int `json:"connections,omitempty"`
	// EndpointConnections may be open to each endpoint; no bound by default.
	EndpointConnections int `json:"endpointConnections,omitempty"`
	// Pending requests may wait at once for their turn or for a connection. By
	// default a quarter of the files that naru may open, from 64 to 8192; -1 is no
	// bound.
	Pending int `json:"pending,omitempty"`
	// Wait is how long a request waits for its turn; default 1s, 0s is not at all.
	Wait gateway.Duration `json:"wait,omitempty"`
	// Retries is how many tries after the first may run at once; by default only
	// the retryBudget bounds them.
	Retries int `json:"retries,omitempty"`

	_ struct{} `also:"maxConnections" hint:"did you mean connections?"`
	_ struct{} `also:"maxRequests,http2MaxRequests,maxParallelRequests" hint:"did you mean requests?"`
	_ struct{} `also:"maxPendingRequests,http1MaxPendingRequests,maxPending" hint:"did you mean pending?"`
	_ struct{} `also:"maxRetries,maxParallelRetries" hint:"did you mean retries?"`
}

// limits checks l; nil has none of its own.
func (r *reader) limits(l *Limits) *model.ServiceLimits {
	if l == nil {
		return nil
	}
	const hint = "leave out what has its default, write -1 for no bound"
	if l.Requests < 0 || l.Least < 0 || l.Most < 0 {
		r.broken("spec.limits", "bad-value", "limits are above nothing", "leave out what has no limit")
	}
	if l.Connections < model.NoLimit {
		r.broken("spec.limits.connections", "bad-value", "limits are above nothing", hint)
	}
	if l.EndpointConnections < model.NoLimit {
		r.broken("spec.limits.endpointConnections", "bad-value", "limits are above nothing", hint)
	}
	if l.Pending < model.NoLimit {
		r.broken("spec.limits.pending", "bad-value", "limits are above nothing", hint)
	}
	if l.Retries < model.NoLimit {
		r.broken("spec.limits.retries", "bad-value", "limits are above nothing", hint)
	}
	m := &model.ServiceLimits{
		Requests: l.Requests, Adaptive: l.Adaptive, Least: l.Least, Most: l.Most,
		Connections: l.Connections, EndpointConnections: l.EndpointConnections, Pending: l.Pending, Retries: l.Retries,
	}
	if l.Wait != "" {
		d, ok := duration(string(l.Wait))
		if !ok {
			r.broken("spec.limits.wait", "bad-value", string(l.Wait)+" is not a duration", "write for example 500ms, or 0s for not at all")
		} else if m.Wait = d; d <= 0 {
			m.Wait = -1
		}
	}
	return m
}
