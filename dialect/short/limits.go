package short

import (
	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// bounds says what may run on a service at once.
type bounds struct {
	Requests int      `json:"requests" doc:"at once, through this proxy; with adaptive the most that it may find" default:"no bound"`
	Adaptive bool     `json:"adaptive" doc:"find the number from how long answers take" default:"false"`
	Least    int      `json:"least" doc:"of an adaptive limit" default:"8"`
	Most     int      `json:"most" doc:"of an adaptive limit" default:"4096"`
	Conns    count    `json:"connections" doc:"open at once, or off" default:"a quarter of the files that naru may open; with protocol: http2 as many requests, too"`
	PerOne   count    `json:"endpointConnections" doc:"open at once to each endpoint, or off" default:"off"`
	Pending  waiting  `json:"pending" doc:"requests that wait at once for their turn or for a connection, or off" default:"a quarter of the files that naru may open, 64 to 8192"`
	Wait     *span    `json:"wait" doc:"how long a request waits for its turn, or off: not at all" default:"1s" unit:"duration"`
	Retries  count    `json:"retries" doc:"tries after the first that run at once, or off" default:"off: retryBudget bounds them"`
	_        struct{} `also:"maxRequests,http2MaxRequests,concurrency,max,inflight,maxConcurrent,maxParallelRequests" hint:"did you mean requests?"`
	_        struct{} `also:"maxConnections,maxConns,conns" hint:"did you mean connections?"`
	_        struct{} `also:"perEndpoint,maxConnectionsPerEndpoint,maxConnectionsPerHost,perHostConnections" hint:"did you mean endpointConnections?"`
	_        struct{} `also:"maxPendingRequests,http1MaxPendingRequests,maxPending,maxQueue,queue,backlog,waiting" hint:"did you mean pending?"`
	_        struct{} `also:"queueTimeout,maxWait,timeout" hint:"did you mean wait?"`
	_        struct{} `also:"maxRetries,retry" hint:"did you mean retries?"`
}

// waiting is a count of those that wait.
type waiting count

// ReadNode takes what a count does. That none waits is said by wait.
func (w *waiting) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Value == "0" {
		in.Wrong(n, "at least 1", "NAME: 100; where no request is to wait write wait: off")
		return
	}
	in.Into(n, (*count)(w))
}

// ReadNode takes a number, adaptive, or an object.
func (b *bounds) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.MappingNode:
		type plain bounds
		in.Into(n, (*plain)(b))
	case n.Value == "adaptive":
		b.Adaptive = true
	default:
		in.Into(n, &b.Requests)
	}
	if b.Requests < 0 || b.Least < 0 || b.Most < 0 {
		in.Problem(n, "bad-value", "limits of a service are above nothing", "for example limits: 100, or limits: adaptive")
	}
}

func (b *bounds) noun() *model.ServiceLimits {
	if b == nil {
		return nil
	}
	return &model.ServiceLimits{
		Requests: b.Requests, Adaptive: b.Adaptive, Least: b.Least, Most: b.Most,
		Connections: int(b.Conns), EndpointConnections: int(b.PerOne), Pending: int(b.Pending), Wait: b.Wait.duration(), Retries: int(b.Retries),
	}
}
