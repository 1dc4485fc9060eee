package stored

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/naru-mesh/naru/store"
)

// Prefix is where documents stand in the store.
const Prefix = "documents/"

// Bounds of a document.
const (
	longest = 256     // bytes of a key
	largest = 1 << 20 // bytes of a document; etcd takes 1.5 MiB in one write
)

// ErrChanged: the document is not at the Revision that the caller had seen.
var ErrChanged = errors.New("stored: the document has changed")

// Document is one that is kept.
type Document struct {
	Key     string
	Data    []byte // must not be written to
	Changed store.Revision
	Lease   store.LeaseID // 0 is none
}

// If is what must hold for a write. The zero value is "whatever there is".
type If struct {
	set     bool
	changed store.Revision
}

// Unchanged: the document was last changed at a Revision.
func Unchanged(since store.Revision) If { return If{set: true, changed: since} }

// Absent: there is no such document.
func Absent() If { return If{set: true} }

func (i If) conds(key string) []store.Cond {
	if !i.set {
		return nil
	}
	return []store.Cond{{Key: Prefix + key, Changed: i.changed}}
}

// Get gives one document, store.ErrNotFound where there is none.
func (s *Source) Get(ctx context.Context, key string) (Document, error) {
	item, err := s.store.Get(ctx, Prefix+key)
	if err != nil {
		return Document{}, err
	}
	return document(item), nil
}

// List gives the documents whose keys begin with prefix, sorted, and the
// Revision that they are of.
func (s *Source) List(ctx context.Context, prefix string) ([]Document, store.Revision, error) {
	items, at, err := s.store.List(ctx, Prefix+prefix)
	if err != nil {
		return nil, 0, err
	}
	list := make([]Document, len(items))
	for i, item := range items {
		list[i] = document(item)
	}
	return list, at, nil
}

func document(i store.Item) Document {
	return Document{Key: strings.TrimPrefix(i.Key, Prefix), Data: i.Value, Changed: i.Changed, Lease: i.Lease}
}

// Put writes a document and gives the Revision at which it is there. lease, if
// not 0, takes it away when it ends. It returns ErrChanged where what the caller
// asks for does not hold, and an error that names the mistake where key or data
// cannot be kept. What data says is not looked at: its mistakes are Problems.
func (s *Source) Put(ctx context.Context, key string, data []byte, lease store.LeaseID, when If) (store.Revision, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	if err := checkData(key, data); err != nil {
		return 0, err
	}
	return s.write(ctx, key, when, store.Op{Key: Prefix + key, Value: data, Lease: lease})
}

// Delete takes a document away; that there is none is no error unless when says
// so.
func (s *Source) Delete(ctx context.Context, key string, when If) (store.Revision, error) {
	return s.write(ctx, key, when, store.Op{Key: Prefix + key, Delete: true})
}

func (s *Source) write(ctx context.Context, key string, when If, op store.Op) (store.Revision, error) {
	at, done, err := s.store.Txn(ctx, when.conds(key), op)
	switch {
	case err != nil:
		return 0, err
	case !done && when.changed == 0:
		return 0, fmt.Errorf("%w: there is a document %s already", ErrChanged, key)
	case !done:
		return 0, fmt.Errorf("%w: %s is no longer as it was at revision %d", ErrChanged, key, when.changed)
	}
	return at, nil
}

// checkKey wants what can stand in a path of the admin API and in a message.
func checkKey(key string) error {
	wrong := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:", r))
	}
	switch {
	case key == "":
		return errors.New("stored: a document needs a key, such as routes/shop")
	case len(key) > longest:
		return fmt.Errorf("stored: the key %.40s... has %d bytes, at most %d are allowed", key, len(key), longest)
	case strings.ContainsFunc(key, wrong):
		return fmt.Errorf("stored: the key %q has characters besides letters, digits and -_./: in it", key)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("stored: the key %q has an empty part, or one of dots: write routes/shop", key)
		}
	}
	return nil
}

// checkData wants one document: each key is one object, so that each change is
// of one.
func checkData(key string, data []byte) error {
	if len(data) > largest {
		return fmt.Errorf("stored: the document %s has %d bytes, at most %d are allowed", key, len(data), largest)
	}
	line, content := 0, false
	for text := range bytes.Lines(data) {
		line++
		text = bytes.TrimRight(text, " \t\r\n")
		switch mark := string(text[:min(len(text), 3)]); {
		case (mark == "---" || mark == "...") && (len(text) == 3 || text[3] == ' ' || text[3] == '\t'):
			if content && mark == "---" {
				return fmt.Errorf("stored: %s:%d begins a second document: give it a key of its own", key, line)
			}
			content = content || len(text) > 3
		case len(text) > 0 && bytes.TrimLeft(text, " \t")[0] != '#' && text[0] != '%':
			content = true
		}
	}
	if !content {
		return fmt.Errorf("stored: the document %s is empty: delete it instead", key)
	}
	return nil
}
