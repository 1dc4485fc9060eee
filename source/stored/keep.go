package stored

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

const (
	keptMagic = "naru stored documents 1\n"
	// keepEvery is how long what has changed may wait for the disk: workloads
	// come and go, and each time all documents are written.
	keepEvery = 2 * time.Second
)

// kept is a copy of the documents on the disk: a line that says what it is, the
// SHA-256 of the rest, and JSON.
type kept struct {
	Saved     time.Time
	Documents []keptDocument
}

type keptDocument struct {
	Key  string
	Data []byte
}

// keeper writes the copy.
type keeper struct {
	file  string
	alone bool
}

// Keep has a copy of the documents written to a file (mode 0600) as they change.
// Where the store is away at the start the copy is the first Set, and the
// documents of the store when it is back. alone: the same with no documents, where
// there is no copy yet, so that what other sources have serves. It is called
// before Watch.
func (s *Source) Keep(file string, alone bool) { s.keeper = &keeper{file, alone} }

// instead gives the Set to begin with while the store is away because of why;
// false: there is none, and it is waited for.
func (w *watch) instead(why error) (source.Set, bool) {
	k := w.keeper
	if k == nil {
		return source.Set{}, false
	}
	problem := model.Problem{Severity: model.Doubtful, Code: "store-unavailable", Hint: "naru goes on with them, and with what files say"}
	all, err := k.read()
	switch {
	case err == nil:
		for _, d := range all.Documents {
			w.put(d.Key, d.Data)
		}
		problem.Message = fmt.Sprintf("the stored documents are those of %s, kept in %s: %v", all.Saved.UTC().Format(time.RFC3339), k.file, why)
	case !k.alone:
		return source.Set{}, false
	default:
		problem.Severity, problem.Hint = model.Broken, "what files say serves"
		problem.Message = fmt.Sprintf("there are no stored documents: %v", why)
		if !errors.Is(err, fs.ErrNotExist) {
			problem.Message += fmt.Sprintf("; nor can the copy be read: %v", err)
		}
	}
	set := w.set()
	set.Problems = []model.Problem{problem}
	return set, true
}

func (k *keeper) read() (all kept, err error) {
	text, err := os.ReadFile(k.file)
	if err != nil {
		return all, err
	}
	rest, ok := strings.CutPrefix(string(text), keptMagic)
	if !ok || len(rest) < sha256.Size || sha256.Sum256([]byte(rest[sha256.Size:])) != [sha256.Size]byte([]byte(rest[:sha256.Size])) {
		return all, fmt.Errorf("%s: it is damaged, or not what naru writes", k.file)
	}
	err = json.Unmarshal([]byte(rest[sha256.Size:]), &all)
	return all, err
}

// write replaces the file whole, or leaves it as it is.
func (k *keeper) write(set source.Set) error {
	all := kept{Saved: time.Now(), Documents: make([]keptDocument, len(set.Documents))}
	for i, d := range set.Documents {
		all.Documents[i] = keptDocument{strings.TrimPrefix(d.Path, origin), d.Data}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(k.file), filepath.Base(k.file)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	sum := sha256.Sum256(text)
	_, err = f.Write(bytes.Join([][]byte{[]byte(keptMagic), sum[:], text}, nil))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), k.file)
}

// saver writes Sets to the disk, the newest alone, until ctx ends.
type saver struct {
	mu   sync.Mutex
	next *source.Set // not written yet
	rung chan struct{}
	task sync.WaitGroup
}

// newSaver begins one; it is ended by ending ctx, and waited for by end.
func (s *Source) newSaver(ctx context.Context) *saver {
	v := &saver{rung: make(chan struct{}, 1)}
	if s.keeper != nil {
		v.task.Go(func() { s.save(ctx, v) })
	}
	return v
}

func (v *saver) end() { v.task.Wait() }

// has takes a Set to be written.
func (v *saver) has(set source.Set) {
	v.mu.Lock()
	v.next = &set
	v.mu.Unlock()
	select {
	case v.rung <- struct{}{}:
	default:
	}
}

func (s *Source) save(ctx context.Context, v *saver) {
	failed := ""
	for ending := false; !ending; {
		select {
		case <-v.rung:
			ending = pause(ctx, keepEvery) != nil
		case <-ctx.Done():
			ending = true
		}
		v.mu.Lock()
		set := v.next
		v.next = nil
		v.mu.Unlock()
		if set == nil {
			continue
		}
		err := s.keeper.write(*set)
		switch {
		case err == nil && failed != "":
			failed = ""
			s.log.Info("the copy of the stored documents is written again", "file", s.keeper.file)
		case err != nil && err.Error() != failed:
			failed = err.Error()
			s.log.Error("the stored documents cannot be copied to the disk; a start without the store would serve older ones", "file", s.keeper.file, "error", err)
		}
	}
}
