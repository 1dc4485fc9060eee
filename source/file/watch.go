package file

import (
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/naru-mesh/naru/source"
)

// Source watches a list of paths. Make it with New.
type Source struct {
	paths []string
	input io.Reader
	// notify makes the watcher; it fails where there is no inotify, or no
	// more of it.
	notify func() (*fsnotify.Watcher, error)
	times  times
}

// times are the waits of a Source; the package comment says what for.
type times struct{ quiet, most, grace, poll time.Duration }

var usual = times{
	quiet: 8 * time.Millisecond,
	most:  100 * time.Millisecond,
	grace: 250 * time.Millisecond,
	poll:  time.Second,
}

// New makes a Source of files, folders, globs and "-".
func New(paths ...string) *Source {
	return &Source{paths: paths, input: os.Stdin, notify: fsnotify.NewWatcher, times: usual}
}

// Read reads the paths once.
func Read(paths ...string) source.Set {
	return New(paths...).Read()
}

// Read reads the paths once. Standard input can be read by one Read or Watch
// only.
func (s *Source) Read() source.Set {
	set, _ := s.reader().look(time.Now(), nil)
	return set
}

// Name gives the paths as the user wrote them.
func (s *Source) Name() string { return strings.Join(s.paths, ", ") }

func (s *Source) reader() *reader {
	return &reader{paths: s.paths, input: s.input, grace: s.times.grace, hollow: s.times.most}
}

// Watch calls changed with all documents, at once and after every change,
// until ctx ends, and returns ctx's error. It calls only when something is
// different from the last call.
func (s *Source) Watch(ctx context.Context, changed func(source.Set)) error {
	w := &watch{Source: s, reader: s.reader(), changed: changed}
	if n, err := s.notify(); err == nil {
		defer n.Close()
		w.folders = &folders{watcher: n, watched: map[string]os.FileInfo{}}
	}
	return w.run(ctx)
}

// watch is one run of Watch.
type watch struct {
	*Source
	reader  *reader
	folders *folders // nil without inotify
	changed func(source.Set)
	last    *source.Set
}

func (w *watch) run(ctx context.Context) error {
	// The bell rings when it is time to look; nil is never.
	bell := time.NewTimer(0)
	defer bell.Stop()
	var events chan fsnotify.Event
	var failures chan error
	if w.folders != nil {
		events, failures = w.folders.watcher.Events, w.folders.watcher.Errors
	}
	var first time.Time // of the changes not yet looked at
	touched := map[string]bool{}
	all := true
	ring := func(now time.Time) {
		if first.IsZero() {
			first = now
		}
		bell.Reset(max(0, min(w.times.quiet, w.times.most-now.Sub(first))))
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-events:
			if !w.folders.concerns(e) {
				continue
			}
			if e.Op == fsnotify.Write && w.folders.plain[e.Name] != "" {
				touched[w.folders.plain[e.Name]] = true
			} else {
				all = true
			}
			ring(time.Now())
		case err := <-failures:
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				all = true
				ring(time.Now())
			}
		case <-bell.C:
			if all {
				touched = nil
			}
			again := w.look(touched)
			first, touched, all = time.Time{}, map[string]bool{}, false
			if w.folders == nil || !w.folders.complete {
				if again == 0 || again > w.times.poll {
					again = w.times.poll
				}
			}
			if again > 0 {
				all = true
				bell.Reset(again)
			}
		}
	}
}

// look reads what is new and reports it. Folders are watched before their
// files are read, so that nothing can change unseen in between.
func (w *watch) look(touched map[string]bool) (again time.Duration) {
	look := func() (source.Set, time.Duration) { return w.reader.look(time.Now(), touched) }
	var set source.Set
	if w.folders == nil || touched != nil {
		set, again = look()
	} else {
		w.folders.follow(w.paths, nil)
		set, again = look()
		// The files found may be links to new folders, with new links there.
		for range 3 {
			if !w.folders.follow(w.paths, w.reader.lists) {
				break
			}
			set, again = look()
		}
	}
	if w.last != nil && same(*w.last, set) {
		return again
	}
	w.last = &set
	w.changed(set)
	return again
}

// same compares what a reader of two sets would see.
func same(a, b source.Set) bool {
	if len(a.Documents) != len(b.Documents) {
		return false
	}
	for i := range a.Documents {
		if a.Documents[i].Sum != b.Documents[i].Sum {
			return false
		}
	}
	return reflect.DeepEqual(a.Problems, b.Problems)
}
