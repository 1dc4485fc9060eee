package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/naru-mesh/naru/bench/load"
)

// report is what was found, as it goes into latest.json.
type report struct {
	Facts   facts
	Rounds  int
	Window  float64 // seconds
	Rows    []*rowReport
	Figures []*figure
	Targets []target
}

// spread is a median with the least and the most.
type spread struct{ Median, Min, Max float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (m + v[len(v)/2-1]) / 2
	}
	return spread{m, v[0], v[len(v)-1]}
}

// rowReport is a row's outcome.
type rowReport struct {
	Key, Title string
	Order      []string
	Peers      map[string]*measured
	Again      int `json:",omitempty"` // turns measured again because others were busy
}

// measured is one proxy's outcome at a row.
type measured struct {
	CPU       spread  // µs a request
	Ratio     *spread `json:",omitempty"` // naru's CPU by this one's, of the same round
	PerSecond spread
	P50, P99  spread   // µs
	Busy      spread   // share of the processor
	Disturbed spread   // share of the processor that others used
	Failed    int      // requests, over all rounds
	Why       []string `json:",omitempty"`
	Notes     []string `json:",omitempty"`

	results []load.Result
}

// quiet is how much of the proxy's processor others may use before figures are
// called disturbed. The kernel's work for sockets is partly among others.
const quiet = 0.10

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

// sum makes figures of the rounds.
func (r *rowReport) sum() {
	naru := r.Peers["naru"]
	for name, m := range r.Peers {
		of := func(get func(*load.Result) float64) spread {
			var v []float64
			for i := range m.results {
				v = append(v, get(&m.results[i]))
			}
			return spreadOf(v)
		}
		m.CPU = of(func(r *load.Result) float64 { return micros(r.CPU) / float64(max(r.Requests, 1)) })
		m.PerSecond = of((*load.Result).PerSecond)
		m.P50 = of(func(r *load.Result) float64 { return micros(r.P50) })
		m.P99 = of(func(r *load.Result) float64 { return micros(r.P99) })
		m.Busy = of((*load.Result).Busy)
		m.Disturbed = of((*load.Result).Disturbed)
		if m.Disturbed.Median > quiet {
			m.Notes = append(m.Notes, fmt.Sprintf("the machine was not quiet: others used %.0f%% of the proxy's processor", 100*m.Disturbed.Median))
		}
		stuck, late := 0, 0
		for _, res := range m.results {
			m.Failed += res.Failed
			stuck, late = stuck+res.Stuck, late+res.Late
			for _, why := range res.Failures {
				if !slices.Contains(m.Why, why) {
					m.Why = append(m.Why, why)
				}
			}
		}
		if stuck > 0 {
			m.Notes = append(m.Notes, fmt.Sprintf("%d clients without any answer", stuck))
		}
		if late > 0 {
			m.Notes = append(m.Notes, fmt.Sprintf("%d requests late at the end", late))
		}
		if naru == nil || name == "naru" {
			continue
		}
		var ratios []float64
		for i := range min(len(m.results), len(naru.results)) {
			a, b := &naru.results[i], &m.results[i]
			if a.Requests > 0 && b.Requests > 0 {
				ratios = append(ratios, float64(a.PerRequest())/float64(b.PerRequest()))
			}
		}
		if len(ratios) > 0 {
			s := spreadOf(ratios)
			m.Ratio = &s
		}
	}
}

const columns = "%-9s %8s %-15s %8s %-13s %9s %9s %9s %5s\n"

// text is the row as a small table.
func (r *rowReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s  [%s]\n", r.Title, r.Key)
	fmt.Fprintf(&b, "  "+columns, "", "CPU µs", "(min-max)", "ratio", "(min-max)", "req/s", "p50 µs", "p99 µs", "busy")
	for _, name := range r.Order {
		m := r.Peers[name]
		ratio, between := "", ""
		if m.Ratio != nil {
			ratio, between = fmt.Sprintf("%.2f", m.Ratio.Median), fmt.Sprintf("(%.2f-%.2f)", m.Ratio.Min, m.Ratio.Max)
		}
		fmt.Fprintf(&b, "  "+columns, name, number(m.CPU.Median), "("+number(m.CPU.Min)+"-"+number(m.CPU.Max)+")", ratio, between,
			number(m.PerSecond.Median), number(m.P50.Median), number(m.P99.Median), fmt.Sprintf("%.0f%%", 100*m.Busy.Median))
		if m.Failed > 0 {
			fmt.Fprintf(&b, "    %d requests failed: %s\n", m.Failed, strings.Join(m.Why, "; "))
		}
		for _, n := range m.Notes {
			fmt.Fprintf(&b, "    %s\n", n)
		}
	}
	if r.Again > 0 {
		fmt.Fprintf(&b, "  %d turns were measured again: others used the proxy's processor\n", r.Again)
	}
	return b.String()
}

// number writes three to four digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// figure is something else than load.
type figure struct {
	Key, Title, Unit string
	Order            []string          // of what was compared
	Values           map[string]spread // by proxy or variant
	Notes            []string          `json:",omitempty"`
}

func newFigure(key, title, unit string) *figure {
	return &figure{Key: key, Title: title, Unit: unit, Values: map[string]spread{}}
}

// add sets a value from repetitions.
func (f *figure) add(name string, values ...float64) {
	f.Order = append(f.Order, name)
	f.Values[name] = spreadOf(values)
}

func (f *figure) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %s  [%s]\n", f.Title, f.Unit, f.Key)
	for _, name := range f.Order {
		s := f.Values[name]
		fmt.Fprintf(&b, "  %-28s %9s", name, number(s.Median))
		if s.Min != s.Max {
			fmt.Fprintf(&b, "  (%s-%s)", number(s.Min), number(s.Max))
		}
		b.WriteByte('\n')
	}
	for _, n := range f.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	return b.String()
}

// heading says what is compared, and how to read it.
func (r *report) heading() string {
	var b strings.Builder
	fmt.Fprintf(&b, "naru beside others: %d rounds of %.0f s each, medians (least-most)\n", r.Rounds, r.Window)
	for _, line := range r.Facts.lines() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	b.WriteString("CPU is of the proxy's processes, in µs a request; ratio is naru's by the other's in the same round\n" +
		"(below 1: naru is cheaper). busy is the share of its processor that the proxy used: below 100% the\n" +
		"clients and the service were the limit, and req/s say little.\n")
	return b.String()
}

// write writes latest.txt, latest.json and latest.svg.
func (r *report) write(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := r.heading()
	for _, row := range r.Rows {
		text += row.text()
	}
	for _, f := range r.Figures {
		text += f.text()
	}
	text += "\n" + r.targets()
	js, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"latest.txt": text, "latest.json": string(js) + "\n", "latest.svg": r.chart()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
