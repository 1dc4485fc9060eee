package docs

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/app"
)

// bin is the folder with the programs that pages run.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(withPrograms(m))
}

func withPrograms(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "naru-docs-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	// What naru keeps for its user, it keeps here.
	if err = os.Setenv("XDG_DATA_HOME", filepath.Join(bin, "data")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for name, from := range map[string]string{"naru": "cmd/naru", "echo-service": "examples/echo", "orders-service": "examples/grpc"} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, name), "github.com/naru-mesh/naru/"+from)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n", from, err)
			return 1
		}
	}
	return m.Run()
}

// TestPages plays every page.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		if strings.HasPrefix(p.text, generatedMark) || len(p.blocks) == 0 {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.play(t)
		})
	}
}

// needs are the programs of others that pages use.
var needs = []string{"curl", "openssl", "nghttp"}

func (p *page) play(t *testing.T) {
	for _, program := range needs {
		if _, err := exec.LookPath(program); err != nil && strings.Contains(p.text, "$ "+program) {
			t.Skipf("%s is not installed", program)
		}
	}
	s := newStage(t, p.text)
	if strings.Contains(p.text, "orders.v1.Orders") {
		s.orders()
	} else {
		s.echoes()
	}
	for i := range p.blocks {
		b := &p.blocks[i]
		at := fmt.Sprintf("%s:%d", p.name, b.line)
		switch b.lang {
		case "yaml":
			s.yaml(at, b)
		case "console":
			s.console(at, b)
		case "promql", "http", "ini", "text", "go", "sh", "json":
		default:
			t.Errorf("%s: a block is yaml, console, promql, http, ini, json or text, not %q", at, b.lang)
		}
	}
}

// yaml saves and checks a configuration.
func (s *stage) yaml(at string, b *block) {
	s.t.Helper()
	if b.has("not naru") {
		return
	}
	name, saved := b.mark("file")
	if !saved {
		name = "block.yaml"
	}
	s.save(name, b.text)
	_, problems, err := app.Check(s.t.Context(), []string{filepath.Join(s.dir, name)}, nil)
	if err != nil {
		s.t.Fatalf("%s: %v", at, err)
	}
	if len(problems) == 0 && b.has("mistake") {
		s.t.Errorf("%s: the block should have a mistake, and naru finds none", at)
	}
	if !b.has("mistake") {
		for _, p := range problems {
			s.t.Errorf("%s: %s", at, s.toShown(p.String()))
		}
	}
	if !saved {
		os.Remove(filepath.Join(s.dir, name))
	}
}

// console plays commands.
func (s *stage) console(at string, b *block) {
	s.t.Helper()
	if _, not := b.mark("not run"); not {
		return
	}
	if b.has("stop") {
		shown := strings.TrimPrefix(b.text, "^C\n")
		p := s.procs[len(s.procs)-1]
		before := len(p.errs.String())
		if err := p.stop(); err != nil {
			s.t.Fatalf("%s: %v", at, err)
		}
		s.until(at, shown, func() string { return p.errs.String()[before:] })
		return
	}
	list, err := steps(b.text)
	if err != nil {
		s.t.Fatalf("%s: %v", at, err)
	}
	for _, st := range list {
		switch {
		case b.has("start"):
			p := s.start(st.command)
			s.until(at+": "+st.command, st.shown+"...\n", p.out.String)
		case b.has("run"):
			s.until(at+": "+st.command, st.shown, func() string { return s.run(st.command) })
		default:
			s.t.Errorf("%s: a console block is marked run, start, stop or not run", at)
		}
	}
}

var metricName = regexp.MustCompile(`\bnaru_[a-z_]*[a-z]\b`)

// TestMetricNames looks up every metric that a page names, in queries too.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	known := metricsPage(t)
	named := 0
	for _, p := range pages(t) {
		for _, name := range metricName.FindAllString(p.text, -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			named++
			if !strings.Contains(known, "`"+name+"`") {
				t.Errorf("%s: there is no metric %s", p.name, name)
			}
		}
	}
	if named == 0 {
		t.Error("no page names a metric")
	}
}

var link = regexp.MustCompile(`\]\(([^)]+)\)`)

// TestLinks follows the links between pages.
func TestLinks(t *testing.T) {
	t.Parallel()
	reached := map[string]bool{"README.md": true}
	all := pages(t)
	for _, p := range all {
		text := fences.ReplaceAllString(p.text, "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			name, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(p.name), name)
			if name == "" {
				target = p.name
			}
			info, err := os.Stat(filepath.Join(root, target))
			if err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.name, m[1])
				continue
			}
			reached[target] = true
			if anchor != "" && !info.IsDir() && !anchors(t, target)[anchor] {
				t.Errorf("%s: %s has no heading for #%s", p.name, target, anchor)
			}
		}
	}
	for _, p := range all {
		if strings.HasPrefix(p.name, "docs/") && !reached[p.name] {
			t.Errorf("no page leads to %s", p.name)
		}
	}
}

var (
	fences  = regexp.MustCompile("(?s)\n```.*?\n```")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// anchors are the names of a page's headings as GitHub makes them.
func anchors(t *testing.T, name string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fences.ReplaceAllString(string(text), ""), -1) {
		id := dropped.ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(id, " ", "-")] = true
	}
	return out
}

// TestExamples checks the configurations of examples.
func TestExamples(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join(root, "examples/*/naru.yaml"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			t.Parallel()
			snapshot, problems, err := app.Check(t.Context(), []string{name}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				// The reader makes the files of a key; its README says how.
				if p.Code != "bad-certificate" || !strings.Contains(p.Message, "no such file") {
					t.Error(p)
				}
			}
			if len(snapshot.Listeners) == 0 || len(snapshot.Routes)+len(snapshot.Flows) == 0 {
				t.Error("nothing is served")
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), "README.md")); err != nil {
				t.Error("the example has no README.md that says what it shows")
			}
		})
	}
}
