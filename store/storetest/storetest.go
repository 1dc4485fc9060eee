// Package storetest is the conformance suite of package store: what every Store
// must do, whoever keeps the keys.
//
// # Life
//
// A test of an implementation calls Run with a function that makes an empty
// Store; the suite closes it.
//
// # Rules
//
// Leases and leadership are waited for, not slept for: a Store in fake time may
// be run in a synctest bubble.
//
// # Not here
//
// What only one implementation can do: restarts, clusters, full disks.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/naru-mesh/naru/store"
)

// Compacter is a Store that can be told to forget.
type Compacter interface {
	store.Store
	// Compact forgets what happened before a Revision.
	Compact(ctx context.Context, before store.Revision) error
}

// Run runs the suite. open makes an empty Store.
func Run(t *testing.T, open func(t *testing.T) Compacter) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Compacter)
	}{
		{"values", values},
		{"conditions", conditions},
		{"nonsense is refused", nonsense},
		{"contention", contention},
		{"list is of one revision", list},
		{"ten thousand keys", many},
		{"watch from a revision", watch},
		{"watch has no gap and no duplicate", watchAll},
		{"one transaction is told in one call", watchTransactions},
		{"watch ends", watchEnds},
		{"compaction", compaction},
		{"lease ends", leaseEnds},
		{"lease is kept alive", leaseKept},
		{"lease is revoked", leaseRevoked},
		{"leadership is handed over", leadership},
		{"leadership ends with close", leadershipCloses},
		{"close", closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			c.test(t, s)
		})
	}
}

// put makes changes that must succeed.
func put(t *testing.T, s store.Store, ops ...store.Op) store.Revision {
	t.Helper()
	at, done, err := s.Txn(t.Context(), nil, ops...)
	if err != nil || !done {
		t.Fatalf("a transaction without conditions: done %v, %v", done, err)
	}
	return at
}

func op(key, value string) store.Op { return store.Op{Key: key, Value: []byte(value)} }

func values(t *testing.T, s Compacter) {
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a key that is not there: %v", err)
	}
	first := put(t, s, op("a", "1"))
	second := put(t, s, op("a", "2"), op("b", ""))
	got, err := s.Get(t.Context(), "a")
	if err != nil || got.Key != "a" || string(got.Value) != "2" || got.Created != first || got.Changed != second || got.Lease != 0 {
		t.Fatalf("got %+v, %v; want value 2, created %d, changed %d", got, err, first, second)
	}
	if b, err := s.Get(t.Context(), "b"); err != nil || len(b.Value) != 0 {
		t.Fatalf("an empty value: %+v, %v", b, err)
	}
	third := put(t, s, store.Op{Key: "a", Delete: true})
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) || third != second+1 {
		t.Fatalf("a deleted key: %v, at %d after %d", err, third, second)
	}
	if again := put(t, s, store.Op{Key: "a", Delete: true}); again != third {
		t.Fatalf("deleting what is not there is no change, but the revision went from %d to %d", third, again)
	}
	if at := put(t, s); at != third {
		t.Fatalf("an empty transaction is at %d, want %d", at, third)
	}
}

func conditions(t *testing.T, s Compacter) {
	ctx := t.Context()
	at, done, err := s.Txn(ctx, []store.Cond{{Key: "a"}}, op("a", "1"))
	if err != nil || !done {
		t.Fatalf("creating: %v, %v", done, err)
	}
	now, done, err := s.Txn(ctx, []store.Cond{{Key: "a"}}, op("a", "2"), op("b", "2"))
	if err != nil || done || now != at {
		t.Fatalf("creating twice: done %v at %d, %v; want nothing, at %d", done, now, err, at)
	}
	if _, err := s.Get(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a part of a refused transaction was made: %v", err)
	}
	_, done, err = s.Txn(ctx, []store.Cond{{Key: "a", Changed: at}, {Key: "b"}}, op("a", "2"), op("b", "2"))
	if err != nil || !done {
		t.Fatalf("with both conditions met: %v, %v", done, err)
	}
	_, done, err = s.Txn(ctx, []store.Cond{{Key: "a", Changed: at}}, store.Op{Key: "a", Delete: true})
	if err != nil || done {
		t.Fatalf("deleting what has changed since: done %v, %v", done, err)
	}
}

func nonsense(t *testing.T, s Compacter) {
	ctx := t.Context()
	for what, ops := range map[string][]store.Op{
		"no key":           {op("", "1")},
		"a key twice":      {op("a", "1"), op("a", "2")},
		"put and delete":   {op("a", "1"), {Key: "a", Delete: true}},
		"no such lease":    {{Key: "a", Lease: 12345}},
		"one of two wrong": {op("b", "1"), {Key: "a", Lease: 12345}},
	} {
		_, done, err := s.Txn(ctx, nil, ops...)
		if err == nil || done || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: done %v, %v", what, done, err)
		}
	}
	if err := s.KeepAlive(ctx, 12345); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("keeping alive what is not there: %v", err)
	}
	if err := s.Revoke(ctx, 12345); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoking what is not there: %v", err)
	}
	if items, _, err := s.List(ctx, ""); err != nil || len(items) > 0 {
		t.Errorf("something was written: %v, %v", items, err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Get(over, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// contention counts with compare-and-set from several sides.
func contention(t *testing.T, s Compacter) {
	const sides, each = 8, 25
	var all sync.WaitGroup
	for range sides {
		all.Go(func() {
			for n := 0; n < each; {
				item, err := s.Get(t.Context(), "count")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
					return
				}
				count, _ := strconv.Atoi(string(item.Value))
				_, done, err := s.Txn(t.Context(), []store.Cond{{Key: "count", Changed: item.Changed}}, op("count", strconv.Itoa(count+1)))
				if err != nil {
					t.Error(err)
					return
				}
				if done {
					n++
				}
			}
		})
	}
	all.Wait()
	if item, err := s.Get(t.Context(), "count"); err != nil || string(item.Value) != strconv.Itoa(sides*each) {
		t.Fatalf("counted %s, %v; want %d", item.Value, err, sides*each)
	}
}

// list moves a token between two keys and looks whether it is ever in none or
// both.
func list(t *testing.T, s Compacter) {
	put(t, s, op("t/a", ""), op("u", ""), op("t", ""))
	ctx, cancel := context.WithCancel(t.Context())
	var mover sync.WaitGroup
	mover.Go(func() {
		from, to := "t/a", "t/b"
		for ctx.Err() == nil {
			_, _, err := s.Txn(ctx, nil, store.Op{Key: from, Delete: true}, op(to, ""))
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			from, to = to, from
		}
	})
	last := store.Revision(0)
	for range 200 {
		items, at, err := s.List(t.Context(), "t/")
		if err != nil || len(items) != 1 || at < last || items[0].Changed > at {
			t.Errorf("listed %v at %d after %d, %v; want one key", items, at, last, err)
			break
		}
		last = at
	}
	cancel()
	mover.Wait()
}

func many(t *testing.T, s Compacter) {
	const n, batch = 10_000, 100
	var at store.Revision
	for i := 0; i < n; i += batch {
		ops := make([]store.Op, batch)
		for j := range ops {
			ops[j] = op(fmt.Sprintf("many/%05d", (i+j)*7919%n), "value")
		}
		at = put(t, s, ops...)
	}
	items, now, err := s.List(t.Context(), "many/")
	if err != nil || len(items) != n || now != at {
		t.Fatalf("listed %d at %d, %v; want %d at %d", len(items), now, err, n, at)
	}
	if !slices.IsSortedFunc(items, func(a, b store.Item) int { return strings.Compare(a.Key, b.Key) }) {
		t.Fatal("the list is not sorted")
	}
	if items, _, err := s.List(t.Context(), "many/0001"); err != nil || len(items) != 10 {
		t.Fatalf("a prefix in the middle of a name: %d, %v", len(items), err)
	}
}

func closed(t *testing.T, s Compacter) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("closing twice: %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Get after Close: %v", err)
	}
	if _, _, err := s.Txn(t.Context(), nil, op("a", "1")); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Txn after Close: %v", err)
	}
	if err := s.Watch(t.Context(), "", 0, func([]store.Event) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Watch after Close: %v", err)
	}
	if _, err := s.Lead(t.Context(), "x"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Lead after Close: %v", err)
	}
}

// soon is how long anything may take that is waited for.
const soon = 30 * time.Second

func within(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(soon):
		t.Fatalf("%s: not within %s", what, soon)
	}
}
