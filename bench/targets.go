package main

import (
	"fmt"
	"strings"
)

// target is something that naru must reach.
type target struct {
	Text  string
	Limit float64
	Found float64
	Pass  bool
}

// judge compares what was measured with the targets; what was not measured
// has no line.
func (r *report) judge() {
	r.Targets = nil
	for _, t := range []struct {
		row, peer string
		limit     float64
	}{
		{"plain-64", "nginx", 0.85}, {"plain-64", "haproxy", 0.85},
		{"plain-512", "nginx", 0.70}, {"plain-512", "haproxy", 0.70},
		{"paced-2000", "nginx", 0.90}, {"paced-2000", "haproxy", 0.80},
		{"paced-8000", "nginx", 0.90}, {"paced-8000", "haproxy", 0.80},
		{"tls-64", "nginx", 0.75}, {"tls-64", "haproxy", 0.75},
		{"tcp-1m", "haproxy", 0.90}, {"16k", "nginx", 0.75}, {"16k", "haproxy", 0.75},
		{"h2", "nginx", 0.70}, {"h2", "haproxy", 0.70}, {"h2", "envoy", 0.70},
		{"grpc", "nginx", 0.70}, {"grpc", "haproxy", 0.70}, {"grpc", "envoy", 0.70},
	} {
		for _, row := range r.Rows {
			if m := row.Peers[t.peer]; row.Key == t.row && m != nil && m.Ratio != nil {
				r.atMost(fmt.Sprintf("%s: CPU by %s's", row.Title, t.peer), m.Ratio.Median, t.limit)
			}
		}
	}
	failed := 0
	for _, row := range r.Rows {
		if m := row.Peers["naru"]; m != nil {
			failed += m.Failed
		}
	}
	if len(r.Rows) > 0 {
		r.atMost("requests that failed at naru in all rows", float64(failed), 0)
	}
	for _, f := range r.Figures {
		naru := f.Values["naru"].Median
		switch f.Key {
		case "idle-plain":
			r.atMost("KiB of an idle connection", naru, 0.5)
		case "idle-h2":
			r.atMost("KiB of an idle HTTP/2 connection", naru, 8)
		case "idle-cpu":
			r.atMost("ms of CPU a second when idle (none, but for the runtime's own clock)", naru, 1)
		case "start":
			if nginx, ok := f.Values["nginx"]; ok {
				r.atMost("ms to the first answer more than nginx", naru-nginx.Median, 100)
			}
		case "resident":
			for _, name := range f.Order {
				switch {
				case strings.HasPrefix(name, "naru, 10 "):
					r.atMost("MiB at rest: "+name, f.Values[name].Median, 30)
				case strings.HasPrefix(name, "naru, 10,000"):
					r.atMost("MiB at rest: "+name, f.Values[name].Median, 150)
				}
			}
		case "lookup", "routes-cpu":
			least, most := f.Values[f.Order[0]].Median, f.Values[f.Order[0]].Median
			for _, v := range f.Values {
				least, most = min(least, v.Median), max(most, v.Median)
			}
			r.atMost(f.Title+", dearest by cheapest", most/least, 1.2)
		case "load-10k":
			r.each(f, "ms to load 10,000 routes: ", 2000)
		case "change":
			r.each(f, "ms until one of 10,000 routes is live: ", 100)
		case "reload":
			r.atMost(f.Title+": requests that failed", f.Values["failed"].Median+f.Values["connections closed"].Median, 0)
			r.atMost(f.Title+": MiB grown (more is a leak)", f.Values["MiB grown"].Median, 5)
		}
	}
}

func (r *report) each(f *figure, text string, limit float64) {
	for _, name := range f.Order {
		r.atMost(text+name, f.Values[name].Median, limit)
	}
}

func (r *report) atMost(text string, found, limit float64) {
	r.Targets = append(r.Targets, target{text, limit, found, found <= limit})
}

// targets lists them as text.
func (r *report) targets() string {
	var b strings.Builder
	b.WriteString("must reach\n")
	for _, t := range r.Targets {
		verdict := "MISS"
		if t.Pass {
			verdict = "PASS"
		}
		fmt.Fprintf(&b, "  %s  %-82s %8s  (at most %s)\n", verdict, t.Text, number(t.Found), strings.TrimSuffix(fmt.Sprintf("%.2f", t.Limit), ".00"))
	}
	return b.String()
}
