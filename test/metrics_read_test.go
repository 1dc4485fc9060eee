package test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics is one reading of /metrics.
type metrics map[string]*dto.MetricFamily

func (g *gateway) metrics() metrics {
	g.t.Helper()
	res, err := http.Get(g.admin + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := readMetrics(res.Body)
	if err != nil {
		g.t.Fatalf("/metrics: %v", err)
	}
	return all
}

func readMetrics(from io.Reader) (metrics, error) {
	p := expfmt.NewTextParser(model.UTF8Validation)
	return p.TextToMetricFamilies(from)
}

// value adds up the samples of a family that have the labels, given as name,
// value, name, value, ...
func (m metrics) value(family string, labels ...string) float64 {
	f := m[family]
	if f == nil {
		return 0
	}
	sum := 0.0
	for _, s := range f.Metric {
		if has(s, labels) {
			sum += s.GetCounter().GetValue() + s.GetGauge().GetValue() + float64(s.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func has(s *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		found := false
		for _, l := range s.Label {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// counted waits until a family's samples with these labels add up to want: what
// a client has seen is counted a moment before or after that.
func (g *gateway) counted(want float64, family string, labels ...string) {
	g.t.Helper()
	awaitCount(g.t, want, func() float64 { return g.metrics().value(family, labels...) }, family, labels)
}

func (p *running) counted(want float64, family string, labels ...string) {
	p.h.t.Helper()
	awaitCount(p.h.t, want, func() float64 { return p.value(family, labels...) }, family, labels)
}

func awaitCount(t testing.TB, want float64, value func() float64, family string, labels []string) {
	t.Helper()
	got := 0.0
	eventually(t, fmt.Sprintf("%s%v is %v", family, labels, want), func() bool { got = value(); return got >= want })
	if got != want {
		t.Errorf("%s%v is %v, want %v", family, labels, got, want)
	}
}

// refusals are the counts of naru_refused_total by reason.
func (m metrics) refusals() map[string]float64 {
	all := map[string]float64{}
	if f := m["naru_refused_total"]; f != nil {
		for _, s := range f.Metric {
			for _, l := range s.Label {
				if l.GetName() == "reason" {
					all[l.GetValue()] += s.GetCounter().GetValue()
				}
			}
		}
	}
	return all
}

func TestReadyAndHealthy(t *testing.T) {
	t.Parallel()
	g := start(t, "listen: $LISTEN\nroutes:\n- match: /\n  respond: 200 hello\n")
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n"} {
		if status, body := g.page(path); status != 200 || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	g.ask("GET", "/").is(t, 200, "hello")
}
