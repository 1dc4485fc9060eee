package file

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watcher runs a Source in a test and hands over its sets.
type watcher struct {
	t    *testing.T
	sets chan source.Set
}

func watching(t *testing.T, s *Source) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{t: t, sets: make(chan source.Set, 100)}
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func(set source.Set) { w.sets <- set }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v", err)
		}
	})
	return w
}

// until waits for a set that reads as want: see show.
func (w *watcher) until(want string) {
	w.t.Helper()
	last := "nothing"
	limit := time.After(90 * time.Second)
	for {
		select {
		case set := <-w.sets:
			if last = show(set); last == want {
				return
			}
		case <-limit:
			w.t.Fatalf("waited for %q, last was %q", want, last)
		}
	}
}

// show writes the texts of a set's documents, and the codes of its problems.
func show(set source.Set) string {
	var parts []string
	for _, d := range set.Documents {
		parts = append(parts, strings.TrimSpace(string(d.Data)))
	}
	for _, p := range set.Problems {
		parts = append(parts, string(p.Severity)+" "+p.Code)
	}
	return strings.Join(parts, ", ")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.yaml")
	w := watching(t, New(path))
	w.until("error missing-file")

	write(t, path, "a: 1\n")
	w.until("a: 1")
	write(t, path, "a: 2\n") // in place
	w.until("a: 2")

	write(t, path+"~", "a: 3\n") // a temporary file, renamed
	must(t, os.Rename(path+"~", path))
	w.until("a: 3")

	must(t, os.Rename(path, path+".bak")) // away, and written anew
	write(t, path, "a: 4\n")
	w.until("a: 4")

	must(t, os.Remove(path)) // gone: its content stays
	w.until("a: 4, warning missing-file")
	write(t, path, "a: 4\n")
	w.until("a: 4")

	must(t, os.Remove(path)) // a folder in its place
	must(t, os.Mkdir(path, 0o755))
	w.until("warning no-files")
	must(t, os.Remove(path))
	write(t, path, "a: 5\n")
	w.until("a: 5")
}

func TestWatchEmptied(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, "a: 1\n")
	w := watching(t, New(path))
	w.until("a: 1")
	write(t, path, "") // as a full disk leaves it
	w.until("a: 1, warning empty-file")
	write(t, path, "a: 2\n")
	w.until("a: 2")
	write(t, path, "# nothing\n") // on purpose
	w.until("")
	write(t, path, "")
	w.until("warning empty-file")
}

func TestWatchFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "conf")
	w := watching(t, New(dir))
	w.until("error missing-file")
	must(t, os.Mkdir(dir, 0o755))
	w.until("warning no-files")
	write(t, filepath.Join(dir, "b.yaml"), "b: 1\n")
	w.until("b: 1")
	write(t, filepath.Join(dir, ".hidden.yaml"), "h: 1\n")
	write(t, filepath.Join(dir, "notes.txt"), "n: 1\n")
	write(t, filepath.Join(dir, "a.json"), `{"a": 1}`)
	w.until(`{"a": 1}, b: 1`)
	must(t, os.Mkdir(filepath.Join(dir, "deeper.yaml"), 0o755))
	write(t, filepath.Join(dir, "c.yml"), "c: 1\n")
	w.until(`{"a": 1}, b: 1, c: 1`)
	must(t, os.Remove(filepath.Join(dir, "b.yaml")))
	w.until(`{"a": 1}, c: 1`)

	must(t, os.Rename(dir, dir+"-old")) // the whole folder is gone
	w.until(`{"a": 1}, c: 1, warning missing-file, warning missing-file`)
	must(t, os.Mkdir(dir, 0o755)) // and another takes its name
	write(t, filepath.Join(dir, "d.yaml"), "d: 1\n")
	w.until("d: 1")
	write(t, filepath.Join(dir, "d.yaml"), "d: 2\n")
	w.until("d: 2")
}

// TestRenamed: under its new name a file is not there twice, not even for a
// moment, although one that is missing is waited for.
func TestRenamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "a: 1\n")
	write(t, filepath.Join(dir, "b.yaml"), "b: 1\n")
	r := New(dir).reader()
	now := time.Now()
	look := func(now time.Time) string {
		set, _ := r.look(now, nil)
		return show(set)
	}
	if got := look(now); got != "a: 1, b: 1" {
		t.Fatalf("at first %q", got)
	}
	must(t, os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "c.yaml")))
	if got := look(now); got != "b: 1, a: 1" {
		t.Errorf("renamed: %q", got)
	}
	must(t, os.Remove(filepath.Join(dir, "b.yaml")))
	if got := look(now); got != "b: 1, a: 1" {
		t.Errorf("a file that was removed a moment ago: %q", got)
	}
	if got := look(now.Add(time.Minute)); got != "a: 1" {
		t.Errorf("and after a while: %q", got)
	}
}

func TestWatchGlob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := watching(t, New(filepath.Join(dir, "*", "route-*.yaml")))
	w.until("warning no-files")
	must(t, os.Mkdir(filepath.Join(dir, "shop"), 0o755))
	write(t, filepath.Join(dir, "shop", "other.yaml"), "o: 1\n")
	write(t, filepath.Join(dir, "shop", "route-a.yaml"), "a: 1\n")
	w.until("a: 1")
	write(t, filepath.Join(dir, "shop", "route-b.yaml"), "b: 1\n")
	w.until("a: 1, b: 1")
}

// Kubernetes keeps a ConfigMap's files as links through "..data", and swaps
// that link.
func TestWatchConfigMap(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{false, true} {
		dir := t.TempDir()
		release := func(name, text string) {
			must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
			write(t, filepath.Join(dir, name, "shop.yaml"), text)
			must(t, os.Symlink(name, filepath.Join(dir, "..tmp")))
			must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
		}
		release("..2024_1", "a: 1\n")
		must(t, os.Symlink("..data/shop.yaml", filepath.Join(dir, "shop.yaml")))
		path := dir
		if named {
			path = filepath.Join(dir, "shop.yaml")
		}
		w := watching(t, New(path))
		w.until("a: 1")
		release("..2024_2", "a: 2\n")
		w.until("a: 2")
		must(t, os.RemoveAll(filepath.Join(dir, "..2024_1")))
		release("..2024_3", "a: 3\n")
		w.until("a: 3")
	}
}

func TestWatchThroughLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"one", "two", "conf"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	write(t, filepath.Join(dir, "one", "a.yaml"), "a: 1\n")
	write(t, filepath.Join(dir, "two", "a.yaml"), "a: 2\n")
	must(t, os.Symlink("one", filepath.Join(dir, "current")))
	must(t, os.Symlink("../current/a.yaml", filepath.Join(dir, "conf", "link.yaml")))
	w := watching(t, New(filepath.Join(dir, "conf")))
	w.until("a: 1")
	write(t, filepath.Join(dir, "one", "a.yaml"), "a: 1b\n") // where the link leads
	w.until("a: 1b")
	must(t, os.Symlink("two", filepath.Join(dir, "next")))
	must(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "current")))
	w.until("a: 2")
	write(t, filepath.Join(dir, "two", "a.yaml"), "a: 2b\n")
	w.until("a: 2b")
}

func TestWatchWithoutInotify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, "a: 1\n")
	s := New(path)
	s.notify = func() (*fsnotify.Watcher, error) { return nil, errors.New("no inotify") }
	s.times.poll = time.Millisecond
	w := watching(t, s)
	w.until("a: 1")
	write(t, path, "a: 2\n")
	w.until("a: 2")
}

func TestSameFileOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "a: 1\n")
	write(t, filepath.Join(dir, "b.yaml"), "b: 1\n")
	set := Read(filepath.Join(dir, "b.yaml"), dir, filepath.Join(dir, "*.yaml"))
	if got := show(set); got != "b: 1, a: 1" {
		t.Errorf("read %s", got)
	}
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	s := New("-")
	s.input = strings.NewReader("a: 1\n---\nb: 2\n")
	w := watching(t, s)
	w.until("a: 1, ---\nb: 2")
	s = New("-")
	s.input = io.MultiReader(strings.NewReader("a"), failing{})
	if got := show(s.Read()); got != "error unreadable-file" {
		t.Errorf("read %s", got)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken pipe") }

// What is wrong with a path is said exactly.
func TestProblems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "utf16.yaml"), "\xff\xfea\x00")
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	for path, want := range map[string]string{
		"missing.yaml": "DIR/missing.yaml: error: there is no file DIR/missing.yaml (check the path, or create it: it is read as soon as it appears)",
		"empty":        "DIR/empty: warning: the folder DIR/empty holds no *.yaml, *.yml or *.json file (files are read as soon as they appear)",
		"*.json":       "DIR/*.json: warning: no file matches DIR/*.json (files are read as soon as they appear)",
		"[.json":       "DIR/[.json: error: the pattern DIR/[.json cannot be understood (close every [, and put a \\ before a * or ? that means itself)",
		"utf16.yaml":   "DIR/utf16.yaml:1: error: the file is UTF-16 (save it as UTF-8)",
	} {
		s := New(filepath.Join(dir, path))
		r := s.reader()
		for range 2 { // the second look says the same
			set, _ := r.look(time.Now(), nil)
			if len(set.Problems) != 1 {
				t.Fatalf("%s: %v", path, set.Problems)
			}
			if got := strings.ReplaceAll(set.Problems[0].String(), dir, "DIR"); got != want {
				t.Errorf("%s:\n got %s\nwant %s", path, got, want)
			}
		}
		if s.Name() != filepath.Join(dir, path) {
			t.Errorf("name %s", s.Name())
		}
	}
}

// A pipe, on which reading would wait for ever, does not keep the files beside
// it from being read.
func TestPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "a: 1\n")
	must(t, syscall.Mkfifo(filepath.Join(dir, "b.yaml"), 0o644))
	if got := show(New(dir).Read()); got != "a: 1, error unreadable-file" {
		t.Errorf("read %s", got)
	}
	set := New(filepath.Join(dir, "b.yaml")).Read()
	want := "error: cannot read DIR/b.yaml: it is a pipe, a device or a socket, not a file (name a file, or - for standard input)"
	if len(set.Problems) != 1 || !strings.HasSuffix(strings.ReplaceAll(set.Problems[0].String(), dir, "DIR"), want) {
		t.Errorf("got %v", set.Problems)
	}
}

// A file that is as it was is not read again.
func TestUnchangedIsNotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, "a: 1\n")
	r := New(path).reader()
	now := time.Now().Add(time.Hour) // long after the last change
	first, _ := r.look(now, nil)
	info, err := os.Stat(path)
	must(t, err)
	write(t, path, "a: 2\n")
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	second, _ := r.look(now, nil)
	if &first.Documents[0].Data[0] != &second.Documents[0].Data[0] {
		t.Error("a file of the same time and size was read again")
	}
	third, _ := r.look(now, map[string]bool{path: true})
	if show(third) != "a: 1" {
		t.Errorf("a touched file of the same time: %s", show(third))
	}
}
