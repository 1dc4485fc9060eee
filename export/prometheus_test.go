package export

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/naru-mesh/naru/observe"
)

// TestPageIsUnderstood reads the page with the parser that Prometheus uses.
func TestPageIsUnderstood(t *testing.T) {
	t.Parallel()
	g := observe.NewRegistry(2)
	Process(g, `v1 "beta"\`)
	awkward := "r\"o\\u\nte\xff"
	for loop := range 2 {
		r := g.Traffic(observe.ScopeRoute, awkward, loop)
		r.Begin()
		r.Begin()
		r.Done(&observe.Record{Status: 200, Duration: 3 * time.Millisecond, BytesIn: 10, BytesOut: 100})
	}
	g.Refused(1, observe.NoRoute)
	g.Func("test_values", "Help with \\ and\nline.", observe.KindGauge, []string{"a"}, func(emit func(float64, ...string)) {
		emit(math.Inf(1), "inf")
		emit(math.Inf(-1), "-inf")
		emit(math.NaN(), "nan")
		emit(0.25, "quarter")
		emit(-1e18, "big")
		emit(3, "fits", "too many")
		emit(4)
	})
	g.Func("test_nothing", "Has no samples.", observe.KindGauge, nil, func(func(float64, ...string)) {})

	w := httptest.NewRecorder()
	Prometheus(g).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	const read = "r\"o\\u\nte\uFFFD"
	requests := families["naru_requests_total"].GetMetric()
	if len(requests) != 1 || requests[0].GetLabel()[0].GetValue() != read || requests[0].GetCounter().GetValue() != 2 {
		t.Errorf("requests %v", requests)
	}
	h := families["naru_request_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 2 || h.GetSampleSum() != 0.006 || len(h.GetBucket()) != len(observe.Bounds())+1 {
		t.Errorf("durations %v", h)
	}
	if got := families["naru_requests_active"].GetMetric()[0].GetGauge().GetValue(); got != 2 {
		t.Errorf("active %v", got)
	}
	if got := families["naru_refused_total"].GetMetric()[0]; got.GetLabel()[0].GetValue() != "no_route" || got.GetCounter().GetValue() != 1 {
		t.Errorf("refused %v", got)
	}
	values := map[string]float64{}
	for _, m := range families["test_values"].GetMetric() {
		values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
	}
	if !math.IsNaN(values["nan"]) || values["inf"] != math.Inf(1) || values["-inf"] != math.Inf(-1) ||
		values["quarter"] != 0.25 || values["big"] != -1e18 || values["fits"] != 3 || values[""] != 4 {
		t.Errorf("values %v", values)
	}
	if _, there := families["test_nothing"]; there {
		t.Error("a family without samples is on the page")
	}
	for _, name := range []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
		"process_open_fds", "process_max_fds", "go_goroutines", "go_gc_cycles_total", "go_memory_classes_total_bytes",
		"go_sched_gomaxprocs_threads", "go_gc_heap_allocs_bytes_total", "naru_build_info"} {
		if len(families[name].GetMetric()) != 1 {
			t.Errorf("%s is missing", name)
		}
	}
	started := families["process_start_time_seconds"].GetMetric()[0].GetGauge().GetValue()
	if now := float64(time.Now().Unix()); started > now+60 || started < now-1e7 {
		t.Errorf("started at %v, and now is %v", started, now)
	}
}

func TestEveryFamilyIsExplained(t *testing.T) {
	t.Parallel()
	g := observe.NewRegistry(1)
	Process(g, "v1")
	seen := map[string]bool{}
	g.Collect(func(f observe.Family) {
		if seen[f.Name] {
			t.Errorf("%s is there twice", f.Name)
		}
		seen[f.Name] = true
		if f.Help == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s has the help %q", f.Name, f.Help)
		}
		if strings.HasSuffix(f.Name, "_total") != (f.Kind == observe.KindCounter) {
			t.Errorf("%s: counters, and only they, end in _total", f.Name)
		}
		for _, unit := range []string{"_bytes", "_seconds"} {
			if strings.Contains(f.Name, unit) && !strings.Contains(strings.ToLower(f.Help), strings.Trim(unit, "_")) {
				t.Errorf("%s: the help %q does not name the unit", f.Name, f.Help)
			}
		}
	})
}

func TestMetricsAreOnlyRead(t *testing.T) {
	t.Parallel()
	h := Prometheus(observe.NewRegistry(1))
	for method, status := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		if w.Code != status {
			t.Errorf("%s gave %d", method, w.Code)
		}
		if method == http.MethodHead && w.Body.Len() > 0 {
			t.Error("HEAD gave a body")
		}
	}
}

// gone is a reader that has closed the connection.
type gone struct {
	http.ResponseWriter
	writes int
}

func (g *gone) Write([]byte) (int, error) { g.writes++; return 0, errors.New("gone") }

func TestPageStopsWhenTheReaderIsGone(t *testing.T) {
	t.Parallel()
	g := observe.NewRegistry(1)
	for i := range 2000 {
		r := g.Traffic(observe.ScopeRoute, strings.Repeat("r", 1+i%50)+string(rune('a'+i%26))+time.Duration(i).String(), 0)
		r.Begin()
	}
	w := &gone{ResponseWriter: httptest.NewRecorder()}
	Prometheus(g).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.writes != 1 {
		t.Errorf("%d writes to a reader that is gone", w.writes)
	}
}

// TestNames lists metrics that have no sample yet, too.
func TestNames(t *testing.T) {
	g := observe.NewRegistry(1)
	g.Func("naru_nothing_total", "What never happens.", observe.KindCounter, []string{"why"}, func(func(float64, ...string)) {})
	rec := httptest.NewRecorder()
	Prometheus(g).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics?names", nil))
	if want := `{"name":"naru_nothing_total","kind":"counter","labels":["why"],"help":"What never happens."}`; !strings.Contains(rec.Body.String(), want) {
		t.Errorf("names: %s", rec.Body)
	}
}
