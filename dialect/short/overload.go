package short

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// overload says when the proxy itself has too much to do.
type overload struct {
	Memory     *byteSize `json:"memory" doc:"what the process may need, at least 32MiB" default:"what the system allows it (cgroup), or GOMEMLIMIT; off where there is neither" unit:"bytes"`
	CPU        *count    `json:"cpu" doc:"share of the processors, where TLS handshakes and QUIC wait for them as well" default:"95" unit:"%"`
	QueueDelay *span     `json:"queueDelay" doc:"how long everything may wait for its turn, 1ms to 10s" default:"200ms" unit:"duration"`
	_          struct{}  `also:"memoryLimit,maxHeap,heap,fixedHeap,maxMemory,mem" hint:"did you mean memory? For example memory: 512MiB"`
	_          struct{}  `also:"cpuUtilization,processors,cores" hint:"did you mean cpu? It is in percent: cpu: 90"`
	_          struct{}  `also:"delay,latency,queue,target,queueTime" hint:"did you mean queueDelay? For example queueDelay: 500ms"`
	_          struct{}  `also:"connections,maxConnections,requests" hint:"connections are bounded by limits at the top or at a listener, requests by limits of a service"`

	off bool // overload: off
}

// ReadNode takes off or an object.
func (o *overload) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && (n.Value == off || n.Value == "false"):
		o.off = true
		return
	case n.Kind != yaml.MappingNode:
		in.Wrong(n, "off or an object", "overload: off, or overload: {memory: 512MiB}")
		return
	}
	type plain overload
	in.Into(n, (*plain)(o))
	// What is wrong is left out, and the default holds.
	if m := o.Memory; m != nil && *m > 0 && *m < model.LeastOverloadMemory {
		in.Problem(n, "bad-value", "less than 32MiB of memory leave nothing for traffic", "for example memory: 512MiB")
		o.Memory = nil
	}
	if c := o.CPU; c != nil && *c > 100 {
		in.Problem(n, "bad-value", fmt.Sprintf("cpu is a share of the processors in percent, not %d", *c), "for example cpu: 90")
		o.CPU = nil
	}
	if d := o.QueueDelay.duration(); d > 0 && d < model.LeastQueueDelay || d > model.MostQueueDelay {
		in.Problem(n, "bad-value", "a queue delay is 1ms to 10s", "for example queueDelay: 500ms")
		o.QueueDelay = nil
	}
}

func (o *overload) noun() *model.Overload {
	if o == nil {
		return nil
	}
	m := &model.Overload{Off: o.off, QueueDelay: o.QueueDelay.duration()}
	if o.Memory != nil {
		m.Memory = int64(*o.Memory)
	}
	if o.CPU != nil {
		m.CPU = int(*o.CPU)
	}
	return m
}
