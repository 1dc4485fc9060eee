package stored

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/gatewayapi"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/memory"
)

// counting counts the documents that are read.
type counting struct {
	*gatewayapi.Dialect
	parsed atomic.Int64
}

func (c *counting) Parse(d *dialect.Document) (any, []model.Problem) {
	c.parsed.Add(1)
	return c.Dialect.Parse(d)
}

const mesh = 2000 // documents

// fill writes a Gateway and routes, 100 a transaction.
func fill(tb testing.TB, from store.Store) {
	tb.Helper()
	ops := []store.Op{{Key: Prefix + "gateway", Value: []byte(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: main}
spec:
  gatewayClassName: naru
  listeners: [{name: http, port: 8080, protocol: HTTP}]
`)}}
	for i := range mesh - 1 {
		ops = append(ops, store.Op{Key: Prefix + routeKey(i), Value: routeText(i, 0)})
		if len(ops) == 100 || i == mesh-2 {
			if _, done, err := from.Txn(tb.Context(), nil, ops...); err != nil || !done {
				tb.Fatal(done, err)
			}
			ops = nil
		}
	}
}

func routeKey(i int) string { return fmt.Sprintf("routes/%04d", i) }

func routeText(i, version int) []byte {
	return fmt.Appendf(nil, `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%d}
spec:
  parentRefs: [{name: main}]
  hostnames: [h%d.example]
  rules:
  - matches: [{path: {type: PathPrefix, value: /v%d}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: other.example}}]
`, i, i, version)
}

// running is a Control on stored documents.
type running struct {
	*Source
	control *control.Control
	dialect *counting
	version model.Version
}

func run(tb testing.TB, from store.Store) *running {
	tb.Helper()
	r := &running{Source: New(from, nil), dialect: &counting{Dialect: gatewayapi.New()}}
	r.control = control.New(control.Options{Sources: []source.Source{r.Source}, Dialects: []dialect.Dialect{r.dialect}})
	ctx, cancel := context.WithCancel(tb.Context())
	var task sync.WaitGroup
	task.Go(func() { r.control.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		task.Wait()
	})
	return r
}

// next waits for the next Snapshot.
func (r *running) next(tb testing.TB) *model.Snapshot {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 90*time.Second)
	defer cancel()
	s, err := r.control.Next(ctx, r.version)
	if err != nil {
		tb.Fatal(err)
	}
	r.version = s.Version
	return s
}

// TestOneOfManyIsReadAlone: of 2,000 documents control reads the one that
// changed.
func TestOneOfManyIsReadAlone(t *testing.T) {
	each(t, func(t *testing.T, from store.Store) {
		fill(t, from)
		r := run(t, from)
		s := r.next(t)
		if p := r.control.Problems(); len(p) > 0 {
			t.Fatalf("%d problems: %v", len(p), p[0])
		}
		if n := r.dialect.parsed.Load(); n != mesh || len(s.Routes) != mesh-1 {
			t.Fatalf("%d documents read, %d routes", n, len(s.Routes))
		}
		if at := s.Routes[0].Origin.Source; at != "stored:routes/0000" {
			t.Errorf("a route comes from %q", at)
		}
		if _, err := r.Put(t.Context(), routeKey(777), routeText(777, 1), 0, If{}); err != nil {
			t.Fatal(err)
		}
		now := r.next(t)
		if n := r.dialect.parsed.Load() - mesh; n != 1 {
			t.Errorf("%d documents read for one change", n)
		}
		same := 0
		for i := range now.Routes {
			if now.Routes[i] == s.Routes[i] {
				same++
			}
		}
		if same != mesh-2 {
			t.Errorf("%d of %d routes are the same nouns, want all but one", same, mesh-1)
		}
		t.Logf("a round took %s", r.control.Report().Took)
	})
}

// BenchmarkRound changes one document of 2,000: "round" is what control took,
// the whole includes the store and the 8 ms of quiet.
func BenchmarkRound(b *testing.B) {
	from := memory.New()
	defer from.Close()
	fill(b, from)
	r := run(b, from)
	r.next(b)
	var rounds time.Duration
	n := 0
	for b.Loop() {
		n++
		if _, err := r.Put(b.Context(), routeKey(n%(mesh-1)), routeText(n%(mesh-1), n), 0, If{}); err != nil {
			b.Fatal(err)
		}
		r.next(b)
		rounds += r.control.Report().Took
	}
	b.ReportMetric(float64(rounds.Microseconds())/float64(n), "µs/round")
}
