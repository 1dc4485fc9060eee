package stored

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/store"
)

// Source is the documents in a store. Make it with New.
type Source struct {
	store  store.Store
	log    *slog.Logger
	keeper *keeper // nil: no copy is kept
}

var _ source.Source = (*Source)(nil)

// New makes a Source; the store is the caller's to close. log hears of a store
// that cannot be listed; nil is silence.
func New(from store.Store, log *slog.Logger) *Source {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Source{store: from, log: log}
}

// Name implements source.Source.
func (s *Source) Name() string { return "stored documents" }

// origin begins the Path of a document.
const origin = "stored:"

// The waits of a Source; the package comment says what for.
const (
	quiet   = 8 * time.Millisecond
	most    = 100 * time.Millisecond
	again   = 250 * time.Millisecond // first wait of a store that cannot be listed
	slowest = 5 * time.Second        // last
)

// Watch implements source.Source: it calls changed with all documents when they
// have been listed and after every change, until ctx ends, and returns ctx's
// error. It calls only when something is different from the last call.
func (s *Source) Watch(ctx context.Context, changed func(source.Set)) error {
	w := &watch{Source: s, docs: map[string]source.Document{}}
	save := s.newSaver(ctx)
	defer save.end()
	tell := changed
	changed = func(set source.Set) { save.has(set); tell(set) }
	told := false
	for {
		items, at, err := s.list(ctx, func(err error) {
			if told {
				return
			}
			if set, ok := w.instead(err); ok {
				tell(set)
			}
		})
		if err != nil {
			return err
		}
		if different := w.replace(items); different || !told {
			changed(w.set())
			told = true
		}
		if err := w.follow(ctx, at, changed); ctx.Err() != nil {
			return ctx.Err()
		} else if !errors.Is(err, store.ErrCompacted) {
			s.log.Warn("the stored documents are listed anew", "error", err)
			if err := pause(ctx, again); err != nil {
				return err
			}
		}
	}
}

// list asks until the store answers, or ctx ends. away is called once where it
// does not at first.
func (s *Source) list(ctx context.Context, away func(error)) ([]store.Item, store.Revision, error) {
	for wait := again; ; wait = min(2*wait, slowest) {
		items, at, err := s.store.List(ctx, Prefix)
		if err == nil {
			return items, at, nil
		}
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if wait == again {
			away(err)
		}
		s.log.Warn("the stored documents cannot be listed; what serves goes on", "error", err, "again in", wait)
		if err := pause(ctx, wait); err != nil {
			return nil, 0, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// watch is one run of Watch. Its goroutine owns docs and keys.
type watch struct {
	*Source
	docs map[string]source.Document // by key
	keys []string                   // sorted
	// stale: keys must be made anew.
	stale bool
}

// news is what the store has told and Watch has not yet.
type news struct {
	mu   sync.Mutex
	last map[string]store.Event // by key
	rung chan struct{}
}

// follow tells of changes after a Revision until the store's Watch ends, and
// gives its error.
func (w *watch) follow(ctx context.Context, after store.Revision, changed func(source.Set)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := &news{last: map[string]store.Event{}, rung: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() { ended <- w.store.Watch(ctx, Prefix, after, n.tell) }()

	bell := time.NewTimer(time.Hour)
	bell.Stop()
	defer bell.Stop()
	var first time.Time // of the changes not yet told
	tell := func() {
		first = time.Time{}
		if w.apply(n.take()) && ctx.Err() == nil {
			changed(w.set())
		}
	}
	for {
		select {
		case err := <-ended:
			tell() // what came before it ended
			return err
		case <-n.rung:
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			bell.Reset(max(0, min(quiet, most-now.Sub(first))))
		case <-bell.C:
			tell()
		}
	}
}

func (n *news) tell(events []store.Event) error {
	n.mu.Lock()
	for _, e := range events {
		n.last[e.Key] = e
	}
	n.mu.Unlock()
	select {
	case n.rung <- struct{}{}:
	default:
	}
	return nil
}

func (n *news) take() map[string]store.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := n.last
	n.last = map[string]store.Event{}
	return last
}

// apply takes changes over and says whether there were any.
func (w *watch) apply(last map[string]store.Event) (different bool) {
	for _, e := range last {
		key := strings.TrimPrefix(e.Key, Prefix)
		if e.Deleted {
			different = w.drop(key) || different
		} else {
			different = w.put(key, e.Value) || different
		}
	}
	return different
}

// replace takes over a whole list.
func (w *watch) replace(items []store.Item) (different bool) {
	here := make(map[string]struct{}, len(items))
	for _, item := range items {
		key := strings.TrimPrefix(item.Key, Prefix)
		here[key] = struct{}{}
		different = w.put(key, item.Value) || different
	}
	for key := range w.docs {
		if _, ok := here[key]; !ok {
			different = w.drop(key) || different
		}
	}
	return different
}

// put keeps the old document where its text is the same.
func (w *watch) put(key string, data []byte) (different bool) {
	d := source.Document{Path: origin + key, Line: 1, Data: plain(data)}
	d.Sum = sum(d)
	was, there := w.docs[key]
	if there && was.Sum == d.Sum {
		return false
	}
	w.docs[key] = d
	w.stale = w.stale || !there
	return true
}

// plain has one kind of line break and no byte order mark, as files are read.
func plain(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.IndexByte(data, '\r') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	}
	return data
}

func (w *watch) drop(key string) (different bool) {
	if _, there := w.docs[key]; !there {
		return false
	}
	delete(w.docs, key)
	w.stale = true
	return true
}

// set is all documents in order.
func (w *watch) set() source.Set {
	if w.stale {
		w.keys = w.keys[:0]
		for key := range w.docs {
			w.keys = append(w.keys, key)
		}
		slices.Sort(w.keys)
		w.stale = false
	}
	docs := make([]source.Document, len(w.keys))
	for i, key := range w.keys {
		docs[i] = w.docs[key]
	}
	return source.Set{Documents: docs}
}

// sum hashes a document: equal place and text, equal sum.
func sum(d source.Document) [32]byte {
	text := make([]byte, 0, 16+len(d.Path)+len(d.Data))
	text = binary.LittleEndian.AppendUint64(text, uint64(len(d.Path)))
	text = binary.LittleEndian.AppendUint64(text, uint64(d.Line))
	text = append(text, d.Path...)
	return sha256.Sum256(append(text, d.Data...))
}
