package app

import (
	"time"

	"github.com/naru-mesh/naru/capture"
	"github.com/naru-mesh/naru/observe"
)

// measureNode adds what only a node has to count.
func (g *gateway) measureNode(n *node) {
	g.registry.Func("naru_dns_queries_total", "Queries of captured workloads for names: answered by naru, forwarded and answered by others, failed (SERVFAIL), dropped as malformed or from strangers.",
		observe.KindCounter, []string{"result"}, func(emit func(float64, ...string)) {
			var s capture.DNSStats
			if n.names != nil {
				s = n.names.Stats()
			}
			emit(float64(s.Answered), "answered")
			emit(float64(s.Forwarded), "forwarded")
			emit(float64(s.Failed), "failed")
			emit(float64(s.Dropped), "dropped")
		})
	g.registry.Func("naru_workloads", "Workloads of this machine, by how their traffic comes: ebpf, nftables, explicit (by environment) or off.", observe.KindGauge, []string{"capture"},
		func(emit func(float64, ...string)) {
			n.mu.Lock()
			by := map[string]int{}
			for _, r := range n.locals {
				by[r.how]++
			}
			n.mu.Unlock()
			for _, how := range []capture.Method{capture.EBPF, capture.Nftables, capture.Explicit, "off"} {
				emit(float64(by[string(how)]), string(how))
			}
		})
}

// measureLink adds how the link to the control plane is.
func (g *gateway) measureLink() {
	gauge := func(name, help string, value func() (float64, bool)) {
		g.registry.Func(name, help, observe.KindGauge, nil, func(emit func(float64, ...string)) {
			if v, ok := value(); ok {
				emit(v)
			}
		})
	}
	at := func(t time.Time) (float64, bool) { return float64(t.UnixMilli()) / 1000, !t.IsZero() }
	truth := func(is bool) (float64, bool) {
		if is {
			return 1, true
		}
		return 0, true
	}
	gauge("naru_link_connected", "1 while this proxy follows a control plane, 0 while it goes on with what it has.",
		func() (float64, bool) { return truth(g.client.Status().Connected) })
	gauge("naru_link_limited", "1 while the control plane that this proxy follows cannot reach its store, and so signs and registers nothing.",
		func() (float64, bool) { return truth(g.client.Status().Limited != "") })
	gauge("naru_link_from_disk", "1 while this proxy serves a configuration that it read from its own disk and no control plane has confirmed yet.",
		func() (float64, bool) { return truth(g.client.Status().FromDisk) })
	gauge("naru_link_last_contact_timestamp_seconds", "When this proxy heard of a control plane last, in seconds since 1970.",
		func() (float64, bool) { return at(g.client.Status().LastContact) })
	gauge("naru_link_changed_timestamp_seconds", "When the newest configuration came to this proxy, in seconds since 1970.",
		func() (float64, bool) { return at(g.client.Status().Changed) })
	gauge("naru_link_clock_skew_seconds", "How far the control plane's clock is ahead of this machine's, in seconds.",
		func() (float64, bool) { s := g.client.Status(); return s.Skew.Seconds(), s.RTT > 0 })
	gauge("naru_link_round_trip_seconds", "Time that the last heartbeat to the control plane took, in seconds.",
		func() (float64, bool) { s := g.client.Status(); return s.RTT.Seconds(), s.RTT > 0 })
	gauge("naru_link_refused_resources", "Resources of the last update that this proxy has refused; it keeps what was before.",
		func() (float64, bool) { return float64(len(g.client.Status().Refusals)), true })
	gauge("naru_link_unsaved", "1 while the newest configuration is not on the disk: half a second after a change, or because it cannot be written; after a restart without a control plane an older one would serve.",
		func() (float64, bool) { return truth(g.client.Status().Unsaved) })
	gauge("naru_link_certificate_expiry_timestamp_seconds", "When the certificate of this node's proxy itself ends, in seconds since 1970.",
		func() (float64, bool) { return at(g.client.Status().Certificate) })
}
