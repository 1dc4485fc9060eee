package observe

import (
	"maps"
	"slices"
)

// trafficFamilies are the metrics of a scope. Those of routes have the short
// names, because they are the ones that people look at first.
func (g *Registry) trafficFamilies(s Scope) []Family {
	prefix, of := "naru_"+string(s)+"_", "a "+string(s)
	if s == ScopeRoute {
		prefix = "naru_"
	}
	label := []string{string(s)}
	return []Family{
		{
			Name: prefix + "requests_total", Kind: KindCounter, Labels: []string{string(s), "code"},
			Help: "Finished requests of " + of + " by response status; code is a class such as 2xx for unusual statuses, none where the client got no response.",
			each: func(emit func(*Sample)) {
				values := make([]string, 2)
				g.totals(s, func(name string, t *Totals) {
					t.Codes(func(code string, count uint64) {
						values[0], values[1] = name, code
						emit(&Sample{Values: values, Value: float64(count)})
					})
				})
			},
		},
		{
			Name: prefix + "request_duration_seconds", Kind: KindHistogram, Labels: label,
			Help: "Time from the first byte of a request to the last byte of its response, of " + of + ", in seconds.",
			each: g.each(s, func(out *Sample, t *Totals) { out.Distribution = &t.Duration }),
		},
		{
			Name: prefix + "request_bytes_total", Kind: KindCounter, Labels: label,
			Help: "Bytes received from clients for " + of + ".",
			each: g.each(s, func(out *Sample, t *Totals) { out.Value = float64(t.BytesIn) }),
		},
		{
			Name: prefix + "response_bytes_total", Kind: KindCounter, Labels: label,
			Help: "Bytes sent to clients for " + of + ".",
			each: g.each(s, func(out *Sample, t *Totals) { out.Value = float64(t.BytesOut) }),
		},
		{
			Name: prefix + "requests_active", Kind: KindGauge, Labels: label,
			Help: "Requests of " + of + " that have begun and not yet finished.",
			each: g.each(s, func(out *Sample, t *Totals) { out.Value = float64(t.Active) }),
		},
	}
}

// flowFamilies are the metrics of a scope of flows.
func (g *Registry) flowFamilies(s Scope, label, of string) []Family {
	labels := []string{label}
	prefix := "naru_" + string(s) + "_"
	return []Family{
		{
			Name: prefix + "connections_total", Kind: KindCounter, Labels: labels,
			Help: "Connections (udp: sessions of clients) of " + of + " that have ended.",
			each: g.each(s, func(out *Sample, t *Totals) { out.Value = float64(t.Requests()) }),
		},
		{
			Name: prefix + "connections_active", Kind: KindGauge, Labels: labels,
			Help: "Connections (udp: sessions of clients) of " + of + " that are open.",
			each: g.each(s, func(out *Sample, t *Totals) { out.Value = float64(t.Active) }),
		},
		{
			Name: prefix + "connection_duration_seconds", Kind: KindHistogram, Labels: labels,
			Help: "Time from the first byte or accept to the end of a connection of " + of + ", in seconds.",
			each: g.each(s, func(out *Sample, t *Totals) { out.Distribution = &t.Duration }),
		},
		{
			Name: prefix + "received_bytes_total", Kind: KindCounter, Labels: labels,
			Help: "Bytes that clients sent through " + of + ", as they pass.",
			each: g.each(s, func(out *Sample, t *Totals) { out.Value = float64(t.BytesIn) }),
		},
		{
			Name: prefix + "sent_bytes_total", Kind: KindCounter, Labels: labels,
			Help: "Bytes that clients were sent through " + of + ", as they pass.",
			each: g.each(s, func(out *Sample, t *Totals) { out.Value = float64(t.BytesOut) }),
		},
	}
}

// each makes one sample a name.
func (g *Registry) each(s Scope, fill func(*Sample, *Totals)) func(func(*Sample)) {
	return func(emit func(*Sample)) {
		out := Sample{Values: make([]string, 1)}
		g.totals(s, func(name string, t *Totals) {
			out.Values[0] = name
			fill(&out, t)
			emit(&out)
		})
	}
}

// totals sums the loops' Traffic of each name that was used, sorted by name.
// The Totals are lent for the call.
func (g *Registry) totals(s Scope, visit func(name string, t *Totals)) {
	g.mu.Lock()
	// Lists are only ever appended to and filled, under the lock, so copies of
	// them can be read after it.
	names := slices.Sorted(maps.Keys(g.traffic[s]))
	loops := make([][]*Traffic, len(names))
	for i, name := range names {
		loops[i] = slices.Clone(g.traffic[s][name])
	}
	g.mu.Unlock()
	var t Totals
	for i, name := range names {
		t = Totals{}
		for _, one := range loops[i] {
			if one != nil {
				one.Read(&t)
			}
		}
		if t.begun > 0 || t.Requests() > 0 {
			visit(name, &t)
		}
	}
}

// Totals sums what all loops counted for name, zero for an unknown one.
func (g *Registry) Totals(s Scope, name string) Totals {
	g.mu.Lock()
	loops := slices.Clone(g.traffic[s][name])
	g.mu.Unlock()
	var t Totals
	for _, one := range loops {
		if one != nil {
			one.Read(&t)
		}
	}
	return t
}
