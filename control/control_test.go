package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spring is a source that a test feeds; an error ends it.
type spring struct {
	name string
	sets chan any // source.Set or error
}

func newSpring(name string) *spring { return &spring{name, make(chan any)} }

func (s *spring) Name() string { return s.name }

func (s *spring) Watch(ctx context.Context, changed func(source.Set)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case x := <-s.sets:
			if err, ok := x.(error); ok {
				return err
			}
			changed(x.(source.Set))
		}
	}
}

// shop is a Set of one document.
func shop(text string) source.Set { return source.Set{Documents: split("shop.yaml", text)} }

const base = "toy: shop\nlisteners: [public 80]\nservices: [x 10.0.0.1 80]\n"

// running runs a Control in a bubble until the test ends.
func running(t *testing.T, o Options) *Control {
	t.Helper()
	o.Dialects = []dialect.Dialect{toy{}}
	c := New(o)
	var run sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	run.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	return c
}

func TestNextGivesTheNewest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newSpring("a"), newSpring("b")
		c := running(t, Options{Sources: []source.Source{a, b}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a.sets <- shop(base)
		if _, err := c.Next(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a Snapshot before every source was read: %v", err)
		}
		if r := c.Report(); r.Number != 0 {
			t.Errorf("a report before the first round: %+v", r)
		}
		b.sets <- source.Set{}
		first, err := c.Next(t.Context(), "")
		if err != nil || len(first.Services) != 1 {
			t.Fatal(first, err)
		}
		// Nothing new while nothing changes, also when something is read again.
		a.sets <- shop(base)
		synctest.Wait()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s, err := c.Next(ctx, first.Version); err == nil {
			t.Fatalf("the same again: %v", s.Version)
		}
		// Many readers wait, and all get the last of several changes.
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for seen := first.Version; ; {
					s, err := c.Next(t.Context(), seen)
					if err != nil {
						t.Error(err)
						return
					}
					if seen = s.Version; len(s.Routes) == 5 {
						return
					}
				}
			})
		}
		text := base + "routes:\n"
		for i := range 5 {
			text += fmt.Sprintf("  - /%d x\n", i)
			b.sets <- source.Set{Documents: split("routes.yaml", strings.Replace(text, base, "toy: routes\n", 1))}
		}
		readers.Wait()
	})
}

func TestReportsFollowProblems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newSpring("a")
		var log bytes.Buffer
		c := running(t, Options{Sources: []source.Source{a}, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == "version" {
					return slog.Attr{}
				}
				return a
			},
		}))})
		send := func(text string) Report {
			t.Helper()
			before := c.Report()
			a.sets <- shop(text)
			r, err := c.NextReport(t.Context(), before.Number)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return r
		}
		first := send(base)
		if first.Version == "" || len(first.Problems) != 0 || !first.Since.Equal(time.Now()) {
			t.Errorf("first %+v", first)
		}
		<-time.After(time.Minute)
		second := send(base + "routes: [a]\n")
		if second.Version != first.Version || second.Number != first.Number+1 || len(second.Problems) != 1 || !second.Since.Equal(first.Since) {
			t.Errorf("second %+v", second)
		}
		send("# a line more\n" + base + "routes: [a]\n")
		if p := c.Problems(); len(p) != 1 || p[0].Origin.Line != 5 {
			t.Errorf("problems %v", p)
		}
		send(base)
		want := strings.Join([]string{
			`level=ERROR msg="shop.yaml:4:10: error: I do not understand a" code=bad-value`,
			`level=INFO msg="no longer a problem: shop.yaml:5:10: error: I do not understand a" code=bad-value`,
		}, "\n") + "\n"
		if log.String() != want {
			t.Errorf("log\n%s\nwant\n%s", log.String(), want)
		}
	})
}

func TestSourceThatFailsKeepsServing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newSpring("a"), newSpring("b")
		c := running(t, Options{Sources: []source.Source{a, b}})
		a.sets <- shop(base)
		b.sets <- errors.New("no such folder")
		s, err := c.Next(t.Context(), "")
		if err != nil || len(s.Services) != 1 {
			t.Fatal(s, err)
		}
		a.sets <- errors.New("watch broke.")
		synctest.Wait()
		var messages []string
		for _, p := range c.Problems() {
			messages = append(messages, p.Message)
		}
		if !slices.Equal(messages, []string{"changes of a are no longer seen: watch broke", "changes of b are no longer seen: no such folder"}) {
			t.Errorf("problems %q", messages)
		}
		if s, err = c.Next(t.Context(), ""); err != nil || len(s.Services) != 1 {
			t.Error("what the source said last does not serve")
		}
	})
}

func TestNoSourcesIsAnEmptyConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := running(t, Options{})
		s, err := c.Next(t.Context(), "")
		if err != nil || s.Version == "" || len(s.Listeners) != 0 {
			t.Error(s, err)
		}
	})
}

func TestRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newSpring("a"), newSpring("b")
		go func() { a.sets <- shop(base); b.sets <- errors.New("no") }()
		if _, err := Read(t.Context(), []source.Source{a, b}); err == nil || err.Error() != "no" {
			t.Errorf("read %v", err)
		}
		go func() { a.sets <- shop(base) }()
		sets, err := Read(t.Context(), []source.Source{a})
		if err != nil || len(sets) != 1 || len(sets[0].Documents) != 1 {
			t.Errorf("read %v, %v", sets, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Read(ctx, []source.Source{a}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %v", err)
		}
	})
}

func TestControlIsObserved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newSpring("a")
		c := running(t, Options{Sources: []source.Source{a}})
		g := observe.NewRegistry(1)
		c.Observe(g)
		read := func() map[string]float64 {
			got := map[string]float64{}
			g.Collect(func(f observe.Family) {
				f.Each(func(s *observe.Sample) { got[strings.TrimSpace(f.Name+" "+strings.Join(s.Values, ","))] = s.Value })
			})
			return got
		}
		if got := read(); got["naru_config_rounds_total"] != 0 || len(got) != 4 {
			t.Errorf("before the first round %v", got)
		}
		a.sets <- shop(base + "routes: [a]\n")
		s, err := c.Next(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		got := read()
		for name, want := range map[string]float64{
			"naru_config_info " + string(s.Version): 1, "naru_config_age_seconds": 60, "naru_config_problems error": 1,
			"naru_config_problems warning": 0, "naru_config_rounds_total": 1, "naru_config_round_duration_seconds": 0,
			"naru_config_objects listener": 1, "naru_config_objects service": 1, "naru_config_objects route": 0, "naru_config_objects certificate": 0,
		} {
			if v, there := got[name]; !there || v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
	})
}

func TestADefectKeepsWhatServes(t *testing.T) {
	t.Parallel()
	r := newRound([]dialect.Dialect{toy{}}, slog.New(slog.DiscardHandler))
	first, _ := r.do([]source.Set{shop(base)})
	r.translate.dialects = append(r.translate.dialects, nil) // nothing foresees this
	s, problems := r.do([]source.Set{shop(base + "routes: [a /a x]\n")})
	if s != first || len(problems) != 1 || problems[0].Code != "internal" {
		t.Errorf("%v, %v", s, problems)
	}
	r.translate.dialects = r.translate.dialects[:1]
	if s, problems = r.do([]source.Set{shop(base + "routes: [a /a x]\n")}); len(s.Routes) != 1 || len(problems) != 0 {
		t.Errorf("%v, %v", s, problems)
	}
}

// settled is a dialect without a mistake, with settings of its own.
type settled struct {
	toy
	settings model.Settings
}

func (s settled) Claims(*dialect.Document) bool { return false }
func (s settled) Translate([]any) *model.Fragment {
	return &model.Fragment{Settings: &s.settings, Routes: []*model.Route{nil}}
}

func TestSettingsCountWhereTheyStandFirst(t *testing.T) {
	t.Parallel()
	set := source.Set{Documents: append(split("a.yaml", "toy: a\n"), split("b.yaml", "toy: b\n")...)}
	one := settled{settings: model.Settings{Admin: "off", AccessLog: "json", Origin: model.Origin{Source: "b.yaml", Line: 7}}}
	two := settled{settings: model.Settings{Admin: "127.0.0.1:1", Origin: model.Origin{Source: "a.yaml"}}}
	s, problems := Check([]source.Set{set}, []dialect.Dialect{one, two, toy{}})
	if s.Settings.Admin != "127.0.0.1:1" || s.Settings.AccessLog != "json" {
		t.Errorf("settings %+v", s.Settings)
	}
	if len(problems) != 1 || problems[0].String() != "b.yaml:7: warning: admin is set to 127.0.0.1:1 elsewhere, and that counts (set it in one place)" {
		t.Errorf("problems %v", problems)
	}
}

func TestAFileNamedTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	if _, problems := Check([]source.Set{shop(base), shop(base)}, []dialect.Dialect{toy{}}); len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
}

// BenchmarkChange changes one document of 10,000, each with a route and a
// service: from the changed Set to the Snapshot.
func BenchmarkChange(b *testing.B) {
	r := newRound([]dialect.Dialect{toy{}}, slog.New(slog.DiscardHandler))
	set := source.Set{Documents: split("base.yaml", base)}
	document := func(i, weight int) source.Document {
		return split(fmt.Sprintf("r%d.yaml", i), fmt.Sprintf("toy: r%d\nservices: [s%d 10.0.0.1 %d]\nroutes: [r%d /r%d s%d]\n", i, i, weight, i, i, i))[0]
	}
	for i := range 10_000 {
		set.Documents = append(set.Documents, document(i, 1))
	}
	began := time.Now()
	r.do([]source.Set{set})
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-first")
	n := 1
	for b.Loop() {
		n++
		set.Documents = slices.Clone(set.Documents)
		set.Documents[500] = document(499, 1+n%1000)
		if s, problems := r.do([]source.Set{set}); len(s.Routes) != 10_000 || len(problems) > 0 {
			b.Fatal(len(s.Routes), problems)
		}
	}
}
