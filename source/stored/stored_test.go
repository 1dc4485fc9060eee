package stored

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/etcd"
	"github.com/naru-mesh/naru/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs a test on both stores.
func each(t *testing.T, test func(*testing.T, store.Store)) {
	t.Run("memory", func(t *testing.T) {
		s := memory.New()
		defer s.Close()
		test(t, s)
	})
	t.Run("etcd", func(t *testing.T) {
		s, err := etcd.Open(t.Context(), etcd.Options{Dir: t.TempDir(), Reserve: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		test(t, s)
	})
}

func put(t *testing.T, s *Source, key, data string) store.Revision {
	t.Helper()
	at, err := s.Put(t.Context(), key, []byte(data), 0, If{})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// follow watches and gives the Sets as they come.
func follow(t *testing.T, s *Source) (sets <-chan source.Set, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := make(chan source.Set, 1000)
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, func(set source.Set) { c <- set }) }()
	return c, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v", err)
		}
	}
}

// says is the documents of a Set in one line.
func says(set source.Set) string {
	var b strings.Builder
	for _, d := range set.Documents {
		fmt.Fprintf(&b, "%s=%s ", d.Path, d.Data)
	}
	return strings.TrimSpace(b.String())
}

// expect waits for a Set.
func expect(t *testing.T, sets <-chan source.Set, want string) source.Set {
	t.Helper()
	for {
		select {
		case set := <-sets:
			if says(set) == want {
				return set
			}
		case <-time.After(90 * time.Second):
			t.Fatalf("never %q", want)
		}
	}
}

func TestFollow(t *testing.T) {
	each(t, func(t *testing.T, from store.Store) {
		s := New(from, nil)
		sets, stop := follow(t, s)
		defer stop()
		expect(t, sets, "")
		put(t, s, "b", "b: 1")
		expect(t, sets, "stored:b=b: 1")
		put(t, s, "a/x", "a: 1\r\n")
		before := expect(t, sets, "stored:a/x=a: 1\n stored:b=b: 1")
		put(t, s, "b", "b: 2")
		after := expect(t, sets, "stored:a/x=a: 1\n stored:b=b: 2")
		if x, y := before.Documents, after.Documents; x[0].Sum != y[0].Sum || &x[0].Data[0] != &y[0].Data[0] || x[1].Sum == y[1].Sum {
			t.Error("what did not change is another document, or what did is not")
		}
		lease, err := from.Lease(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), "c", []byte("c: 1"), lease, Absent()); err != nil {
			t.Fatal(err)
		}
		expect(t, sets, "stored:a/x=a: 1\n stored:b=b: 2 stored:c=c: 1")
		if err := from.Revoke(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		expect(t, sets, "stored:a/x=a: 1\n stored:b=b: 2")
		if _, err := s.Delete(t.Context(), "a/x", If{}); err != nil {
			t.Fatal(err)
		}
		expect(t, sets, "stored:b=b: 2")
	})
}

func TestWrite(t *testing.T) {
	each(t, func(t *testing.T, from store.Store) {
		s, ctx := New(from, nil), t.Context()
		at := put(t, s, "a", "a: 1")
		if _, err := s.Put(ctx, "a", []byte("a: 2"), 0, Absent()); !errors.Is(err, ErrChanged) {
			t.Errorf("creating twice: %v", err)
		}
		now, err := s.Put(ctx, "a", []byte("a: 2"), 0, Unchanged(at))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, "a", []byte("a: 3"), 0, Unchanged(at)); !errors.Is(err, ErrChanged) {
			t.Errorf("over somebody else's: %v", err)
		}
		if _, err := s.Delete(ctx, "a", Unchanged(at)); !errors.Is(err, ErrChanged) {
			t.Errorf("deleting somebody else's: %v", err)
		}
		d, err := s.Get(ctx, "a")
		if err != nil || string(d.Data) != "a: 2" || d.Changed != now || d.Key != "a" {
			t.Errorf("got %+v, %v", d, err)
		}
		put(t, s, "b/1", "b: 1")
		list, _, err := s.List(ctx, "b/")
		if err != nil || len(list) != 1 || list[0].Key != "b/1" {
			t.Errorf("listed %+v, %v", list, err)
		}
		if _, err := s.Delete(ctx, "a", Unchanged(now)); err != nil {
			t.Error(err)
		}
		if _, err := s.Delete(ctx, "a", If{}); err != nil {
			t.Errorf("deleting what is gone: %v", err)
		}
		if _, err := s.Get(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRefused(t *testing.T) {
	s := New(memory.New(), nil)
	for _, c := range []struct{ key, data, want string }{
		{"", "a: 1", "stored: a document needs a key, such as routes/shop"},
		{"a b", "a: 1", `stored: the key "a b" has characters besides letters, digits and -_./: in it`},
		{"/a", "a: 1", `stored: the key "/a" has an empty part, or one of dots: write routes/shop`},
		{"a/../b", "a: 1", `stored: the key "a/../b" has an empty part, or one of dots: write routes/shop`},
		{strings.Repeat("k", 300), "a: 1", "stored: the key " + strings.Repeat("k", 40) + "... has 300 bytes, at most 256 are allowed"},
		{"a", "# nothing\n---\n", "stored: the document a is empty: delete it instead"},
		{"a", "a: 1\n---\nb: 1\n", "stored: a:2 begins a second document: give it a key of its own"},
		{"a", strings.Repeat("x", 1<<20+1), "stored: the document a has 1048577 bytes, at most 1048576 are allowed"},
	} {
		if _, err := s.Put(t.Context(), c.key, []byte(c.data), 0, If{}); err == nil || err.Error() != c.want {
			t.Errorf("%.20q, %.20q:\n got %v\nwant %s", c.key, c.data, err, c.want)
		}
	}
	for _, data := range []string{"---\na: 1\n", "# first\n---\na: 1\n...\n", "%YAML 1.2\n---\na: 1\n", `{"a": 1}`} {
		if _, err := s.Put(t.Context(), "a", []byte(data), 0, If{}); err != nil {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// TestBurst has many changes come as one, the last of each counting, and a
// stream of changes that never pauses come every 100 ms.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := memory.New()
		defer from.Close()
		s := New(from, nil)
		sets, stop := follow(t, s)
		defer stop()
		synctest.Wait()
		if n := len(sets); n != 1 {
			t.Fatalf("%d sets at the start, want 1", n)
		}
		<-sets
		for i := range 50 {
			put(t, s, "a", fmt.Sprint("a: ", i))
			put(t, s, "b", fmt.Sprint("b: ", i))
		}
		expect(t, sets, "stored:a=a: 49 stored:b=b: 49")
		if n := len(sets); n != 0 {
			t.Errorf("%d more sets for one burst", n)
		}
		began := time.Now()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; len(sets) == 0; i++ {
			put(t, s, "a", fmt.Sprint("a: more ", i))
			<-tick.C
		}
		if took := time.Since(began); took > most+10*time.Millisecond {
			t.Errorf("without a pause the first set came after %s", took)
		}
	})
}

// shaky is a store that fails when it is told to.
type shaky struct {
	*memory.Store
	lists   []error      // what the next List returns
	watches chan error   // ends the Watch that runs
	asked   func(string) // hears of List
}

func (s *shaky) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	s.asked(prefix)
	if len(s.lists) > 0 {
		err := s.lists[0]
		s.lists = s.lists[1:]
		return nil, 0, err
	}
	return s.Store.List(ctx, prefix)
}

func (s *shaky) Watch(ctx context.Context, prefix string, after store.Revision, tell func([]store.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Store.Watch(ctx, prefix, after, tell) }()
	select {
	case err := <-done:
		return err
	case err := <-s.watches:
		cancel()
		<-done
		return err
	}
}

// TestStoreAway: the first Set waits for the store; later the last one stays,
// and what changed meanwhile is found by listing anew.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := 0
		from := &shaky{Store: memory.New(), watches: make(chan error), asked: func(string) { lists++ }}
		defer from.Close()
		from.lists = []error{store.ErrUnavailable, store.ErrUnavailable}
		s := New(from, nil)
		put(t, s, "a", "a: 1")
		put(t, s, "b", "b: 1")
		put(t, s, "c", "c: 1")
		sets, stop := follow(t, s)
		defer stop()
		synctest.Wait()
		if len(sets) != 0 {
			t.Fatal("there is a set while the store is away")
		}
		before := expect(t, sets, "stored:a=a: 1 stored:b=b: 1 stored:c=c: 1")
		synctest.Wait()

		// Nothing changed while the watch was broken: nothing is told.
		from.watches <- store.ErrCompacted
		synctest.Wait()
		if len(sets) != 0 || lists != 4 {
			t.Fatalf("%d sets, %d lists", len(sets), lists)
		}
		// Much did: the watch ended before it could say so.
		from.lists = []error{store.ErrUnavailable}
		from.watches <- store.ErrCompacted
		synctest.Wait()
		if len(sets) != 0 {
			t.Fatal("the last set does not stay while the store is away")
		}
		put(t, s, "b", "b: 2")
		if _, err := s.Delete(t.Context(), "c", If{}); err != nil {
			t.Fatal(err)
		}
		after := expect(t, sets, "stored:a=a: 1 stored:b=b: 2")
		if &before.Documents[0].Data[0] != &after.Documents[0].Data[0] {
			t.Error("a document that did not change is another one after a list")
		}
		synctest.Wait()
		put(t, s, "d", "d: 1")
		expect(t, sets, "stored:a=a: 1 stored:b=b: 2 stored:d=d: 1")
	})
}

// TestCompacted is the real thing: the store forgets while nobody watches.
func TestCompacted(t *testing.T) {
	from := memory.New()
	defer from.Close()
	s := New(from, nil)
	at := put(t, s, "a", "a: 1")
	last := put(t, s, "a", "a: 2")
	put(t, s, "a", "a: 3")
	if err := from.Compact(t.Context(), last+1); err != nil {
		t.Fatal(err)
	}
	w := &watch{Source: s, docs: map[string]source.Document{}}
	if err := w.follow(t.Context(), at, func(source.Set) { t.Error("there was a gap") }); !errors.Is(err, store.ErrCompacted) {
		t.Fatal(err)
	}
	if !slices.Equal(w.keys, nil) {
		t.Errorf("keys %v", w.keys)
	}
}

// TestKeptDocuments: where the store is away at the start, those serve that were
// there at the last end, and the store's when it is back.
func TestKeptDocuments(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "documents")
	inner := memory.New()
	defer inner.Close()
	begin := func(s store.Store, alone bool) (<-chan source.Set, func()) {
		from := New(s, nil)
		from.Keep(file, alone)
		return follow(t, from)
	}
	away := &late{Store: inner, back: make(chan struct{})}
	// Nothing is kept yet: files serve alone where that is wanted.
	sets, stop := begin(away, true)
	if set := expect(t, sets, ""); len(set.Problems) != 1 || set.Problems[0].Severity != model.Broken || !strings.Contains(set.Problems[0].Message, "there are no stored documents: ") {
		t.Errorf("%v", set.Problems)
	}
	put(t, New(inner, nil), "a", "1")
	close(away.back)
	if set := expect(t, sets, "stored:a=1"); len(set.Problems) != 0 {
		t.Errorf("%v", set.Problems)
	}
	stop() // it is written at the latest then
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}

	// The same again is told, since the Problem has gone.
	away = &late{Store: inner, back: make(chan struct{})}
	sets, stop = begin(away, false)
	if set := expect(t, sets, "stored:a=1"); len(set.Problems) != 1 || set.Problems[0].Severity != model.Doubtful || !strings.Contains(set.Problems[0].Message, "kept in "+file) {
		t.Errorf("%v", set.Problems)
	}
	close(away.back)
	if set := expect(t, sets, "stored:a=1"); len(set.Problems) != 0 {
		t.Errorf("%v", set.Problems)
	}
	stop()

	// A copy that is damaged is none.
	if err := os.WriteFile(file, []byte("naru stored documents 1\nhalf"), 0o600); err != nil {
		t.Fatal(err)
	}
	away = &late{Store: inner, back: make(chan struct{})}
	sets, stop = begin(away, true)
	if set := expect(t, sets, ""); len(set.Problems) != 1 || !strings.Contains(set.Problems[0].Message, "it is damaged") {
		t.Errorf("%v", set.Problems)
	}
	stop()
}

// late is a store that is away at first.
type late struct {
	store.Store
	back chan struct{}
}

func (s *late) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	select {
	case <-s.back:
		return s.Store.List(ctx, prefix)
	default:
		return nil, 0, fmt.Errorf("%w: no room", store.ErrUnavailable)
	}
}
