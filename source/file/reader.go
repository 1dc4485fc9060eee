package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

const (
	stdin = "-"
	// most is the size of a file that is read, so that a path to a device or
	// a database dump does not fill the memory.
	most = 256 << 20
	// settled is the age of a change from which on equal times mean equal
	// content: file systems count time in steps of some milliseconds.
	settled = 50 * time.Millisecond
)

// reader reads files and remembers them, so that unchanged ones are not read
// again. One goroutine.
type reader struct {
	paths []string
	input io.Reader // standard input
	// grace is how long a file may be missing from its folder before that is
	// believed, and hollow how long it may be empty before that is told: ways of
	// saving pass through both.
	grace, hollow time.Duration

	lists   [][]entry // of each path, at the last look
	strange []model.Problem
	files   map[string]*known
	count   int // of documents, at the last look
}

// known is the last content of a file.
type known struct {
	info    os.FileInfo // nil when it could not be looked at
	read    time.Time
	there   bool // it has been read
	size    int
	docs    []source.Document
	problem *model.Problem // why there is nothing newer
	gone    time.Time      // first missed; zero while it is there
	emptied time.Time      // first seen empty after having had content
}

// moved says whether the file has another name now: what was renamed is not
// missing, and its documents must not be there twice.
func (k *known) moved(entries []entry) bool {
	if k.info == nil {
		return false
	}
	for _, e := range entries {
		if info, err := os.Stat(e.path); err == nil && os.SameFile(info, k.info) {
			return true
		}
	}
	return false
}

// unsettled says whether the file may not be what it seems.
func (k *known) unsettled() bool {
	return k.problem != nil || !k.gone.IsZero() || !k.emptied.IsZero()
}

// look reads what changed. touched, unless nil, limits it to these paths; the
// folders are then not listed again. again is when to look once more, because
// something waits to be believed; zero when nothing does.
func (r *reader) look(now time.Time, touched map[string]bool) (set source.Set, again time.Duration) {
	if touched == nil || r.lists == nil {
		r.list(now)
		touched = nil
	}
	wait := func(since time.Time, long time.Duration) {
		if left := long - now.Sub(since); !since.IsZero() && left > 0 && (again == 0 || left < again) {
			again = left
		}
	}
	if r.count > 0 {
		set.Documents = make([]source.Document, 0, r.count+16)
	}
	set.Problems = append(set.Problems, r.strange...)
	seen := map[string]bool{}
	for _, entries := range r.lists {
		for _, e := range entries {
			id := identity(e.path)
			if seen[id] {
				continue
			}
			seen[id] = true
			k := r.files[id]
			if k == nil {
				k = &known{}
				r.files[id] = k
			}
			if !k.there || k.unsettled() || touched == nil || touched[id] {
				r.refresh(e, k, now)
			}
			wait(k.gone, r.grace)
			wait(k.emptied, r.hollow)
			set.Documents = append(set.Documents, k.docs...)
			if k.problem != nil {
				set.Problems = append(set.Problems, *k.problem)
			}
		}
	}
	r.count = len(set.Documents)
	for id := range r.files {
		if !seen[id] {
			delete(r.files, id)
		}
	}
	return set, again
}

// list finds the files of all paths. One that is missing from its folder since
// a moment ago stays on the list.
func (r *reader) list(now time.Time) {
	before := r.lists
	r.lists = make([][]entry, len(r.paths))
	r.strange = nil
	if r.files == nil {
		r.files = map[string]*known{}
	}
	for i, path := range r.paths {
		entries, problem := list(path)
		if before != nil && len(before[i]) > 0 && !before[i][0].named && len(entries) > 0 && entries[0].named {
			entries = before[i] // the whole folder is gone: not on purpose
		}
		here := map[string]bool{}
		for _, e := range entries {
			here[e.path] = true
		}
		if before != nil {
			for _, e := range before[i] {
				k := r.files[identity(e.path)]
				if e.named || here[e.path] || k == nil || !k.there || k.moved(entries) {
					continue
				}
				if k.gone.IsZero() {
					k.gone = now
				}
				if now.Sub(k.gone) < r.grace {
					entries = append(entries, e)
					problem = nil
				}
			}
			sort.SliceStable(entries, func(a, b int) bool { return entries[a].path < entries[b].path })
		}
		r.lists[i] = entries
		if problem != nil {
			r.strange = append(r.strange, *problem)
		}
	}
}

// identity is the same for all ways of naming a path.
func identity(path string) string {
	if path == stdin {
		return stdin
	}
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return filepath.Clean(path)
}

// refresh reads a file unless it is as it was.
func (r *reader) refresh(e entry, k *known, now time.Time) {
	if e.path == stdin {
		r.readInput(k)
		return
	}
	info, err := os.Stat(e.path)
	if err == nil && info.IsDir() {
		err = fmt.Errorf("it has become a folder")
	} else if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		r.miss(e, k, err, now)
		return
	}
	if k.info != nil && k.problem == nil && os.SameFile(k.info, info) && k.info.Size() == info.Size() &&
		k.info.ModTime().Equal(info.ModTime()) && k.read.Sub(info.ModTime()) > settled && k.emptied.IsZero() {
		return
	}
	data, err := readFile(e.path)
	if err != nil {
		r.miss(e, k, err, now)
		return
	}
	if len(data) == 0 && k.size > 0 {
		if k.emptied.IsZero() {
			k.emptied = now
		}
		if now.Sub(k.emptied) >= r.hollow {
			k.problem = &model.Problem{
				Origin: model.Origin{Source: e.path}, Severity: model.Doubtful, Code: "empty-file",
				Message: "the file is empty now",
				Hint:    "its last content keeps serving, as a full disk empties files, too; a file for nothing holds a comment",
			}
		}
		return
	}
	k.emptied, k.gone = time.Time{}, time.Time{}
	k.info, k.read = info, now
	k.fill(e.path, data)
}

// fill makes documents of new content.
func (k *known) fill(path string, data []byte) {
	k.problem = nil
	k.there, k.size = true, len(data)
	switch {
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}), bytes.HasPrefix(data, []byte{0xFE, 0xFF}):
		k.problem = &model.Problem{
			Origin: model.Origin{Source: path, Line: 1}, Severity: model.Broken, Code: "syntax",
			Message: "the file is UTF-16", Hint: "save it as UTF-8",
		}
		k.docs = nil
	default:
		k.docs = split(path, data, k.docs)
	}
}

// miss keeps the last content of a file that can not be read, if there is
// any. That it is not there is believed after a while.
func (r *reader) miss(e entry, k *known, err error, now time.Time) {
	k.info = nil
	if k.there && os.IsNotExist(err) {
		if k.gone.IsZero() {
			k.gone = now
		}
		if now.Sub(k.gone) < r.grace {
			return
		}
	}
	p := unreadable(e.path, err)
	if k.there {
		p.Severity = model.Doubtful
		p.Hint = "its last content keeps serving until it can be read again or naru is started anew"
	}
	k.problem = &p
}

func (r *reader) readInput(k *known) {
	if k.there || k.problem != nil {
		return
	}
	data, err := io.ReadAll(io.LimitReader(r.input, most+1))
	if err == nil && len(data) > most {
		err = errTooBig
	}
	if err != nil {
		p := unreadable("standard input", err)
		p.Hint = ""
		k.problem = &p
		return
	}
	k.fill("stdin", data)
}

var (
	errTooBig = fmt.Errorf("it has more than %d MiB", most>>20)
	// Opening a pipe waits for whoever writes into it, and until then no other
	// file would be followed; its bytes can be read only once anyway.
	errIrregular = errors.New("it is a pipe, a device or a socket, not a file")
)

// readFile does not read without end.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil {
		if info.Size() > most {
			return nil, errTooBig
		}
		b.Grow(int(info.Size()) + bytes.MinRead)
	}
	if n, err := b.ReadFrom(io.LimitReader(f, most+1)); err != nil {
		return nil, err
	} else if n > most {
		return nil, errTooBig
	}
	return b.Bytes(), nil
}
