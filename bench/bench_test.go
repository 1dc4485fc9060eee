package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/bench/load"
)

// TestMain lets the children of a smoke run be this program too.
func TestMain(m *testing.M) {
	if role(os.Getenv(roleVariable)) {
		return
	}
	os.Exit(m.Run())
}

// TestSmoke goes through a benchmark in small: with naru as it is now, and
// nginx where it is installed.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the whole binary")
	}
	dir := t.TempDir()
	var out strings.Builder
	err := bench(t.Context(), options{
		rounds: 1, window: 100 * time.Millisecond, warm: 20 * time.Millisecond, scale: 100, routes: 100, peers: "nginx",
		rows:    regexp.MustCompile("^(plain-64|paced-2000|tls-64|handshake|idle-plain|idle-h2|reload)$"),
		results: dir, profile: filepath.Join(dir, "naru.pgo"), out: &out,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	b, err := os.ReadFile(filepath.Join(dir, "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 || len(r.Figures) != 3 || len(r.Targets) == 0 {
		t.Fatalf("%d rows, %d figures, %d targets\n%s", len(r.Rows), len(r.Figures), len(r.Targets), out.String())
	}
	for _, row := range r.Rows {
		if m := row.Peers["naru"]; m.Failed > 0 {
			t.Errorf("%s: %v", row.Key, m.Why)
		}
	}
	for _, name := range []string{"latest.txt", "latest.svg"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(b), "naru") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The profile must be one that the compiler can use; a loaded machine may not
	// have given naru time enough for samples.
	use := exec.Command("go", "tool", "preprofile", "-i", filepath.Join(dir, "naru.pgo"))
	if edges, err := use.Output(); err != nil || !strings.HasPrefix(string(edges), "GO PREPROFILE") {
		t.Errorf("profile: %v: %s", err, edges)
	}
}

// sample is a report with known figures.
func sample() *report {
	result := func(us int) load.Result {
		return load.Result{Requests: 1000, Elapsed: time.Second, CPU: time.Duration(us) * time.Millisecond}
	}
	row := &rowReport{Key: "plain-64", Title: "a <row>", Order: []string{"naru", "nginx", "haproxy"}, Peers: map[string]*measured{
		"naru":    {results: []load.Result{result(10), result(30), result(12)}},
		"nginx":   {results: []load.Result{result(20), result(60), result(20)}},
		"haproxy": {results: []load.Result{result(10), result(30), result(12)}},
	}}
	row.sum()
	lookup := newFigure("lookup", "lookups", "ns")
	lookup.add("10 routes", 100)
	lookup.add("1000 routes", 130)
	r := &report{Rounds: 3, Window: 2, Rows: []*rowReport{row}, Figures: []*figure{lookup}}
	r.judge()
	return r
}

func TestRatiosAreOfRounds(t *testing.T) {
	t.Parallel()
	r := sample()
	if got := *r.Rows[0].Peers["nginx"].Ratio; got != (spread{0.5, 0.5, 0.6}) {
		t.Errorf("nginx: %v", got)
	}
	if got := r.Rows[0].Peers["naru"].CPU; got != (spread{12, 10, 30}) {
		t.Errorf("naru: %v", got)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	text := sample().targets()
	for _, want := range []string{
		`PASS  a <row>: CPU by nginx's +0.50`, `MISS  a <row>: CPU by haproxy's +1.00`, `MISS  lookups, dearest by cheapest +1.30`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestChartIsXML(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Facts = facts{Order: []string{"naru", "nginx"}, Versions: map[string]string{"nginx": "1 & 2"}}
	d, bars := xml.NewDecoder(strings.NewReader(r.chart())), 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 3 { // the background, nginx, HAProxy
		t.Errorf("%d rectangles", bars)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for want, in := range map[spread][]float64{
		{}:        nil,
		{2, 1, 3}: {3, 1, 2}, {2.5, 1, 4}: {4, 1, 2, 3},
	} {
		if got := spreadOf(in); got != want {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
}

// TestLevel: a round that was slow for all says nothing of one.
func TestLevel(t *testing.T) {
	t.Parallel()
	times := [][]float64{{10, 20, 30}, {30, 60, 90}}
	level(times)
	for i, want := range []float64{20, 60} {
		for round, got := range times[i] {
			if got != want {
				t.Errorf("%d in round %d is %v, want %v", i, round, got, want)
			}
		}
	}
}
