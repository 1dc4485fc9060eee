package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/naru-mesh/naru/store"
)

var errEnough = errors.New("enough")

// collect watches until n events have come.
func collect(t *testing.T, s store.Store, prefix string, after store.Revision, n int) []store.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var all []store.Event
	err := s.Watch(ctx, prefix, after, func(events []store.Event) error {
		if all = append(all, events...); len(all) >= n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("after %d of %d events: %v", len(all), n, err)
	}
	return all
}

func watch(t *testing.T, s Compacter) {
	one := put(t, s, op("w/a", "1"))
	two := put(t, s, op("w/a", "2"))
	put(t, s, op("other", "x"))
	three := put(t, s, store.Op{Key: "w/a", Delete: true})
	got := collect(t, s, "w/", one, 2)
	if e := got[0]; e.Key != "w/a" || string(e.Value) != "2" || e.Deleted || e.Changed != two || e.Created != one {
		t.Errorf("first %+v", e)
	}
	if e := got[1]; e.Key != "w/a" || !e.Deleted || e.Changed != three {
		t.Errorf("second %+v", e)
	}
	// What comes after it has begun.
	begun := make(chan []store.Event)
	go func() { begun <- collect(t, s, "w/", three, 1) }()
	four := put(t, s, op("w/b", "4"))
	if got := <-begun; len(got) != 1 || got[0].Changed != four || got[0].Key != "w/b" {
		t.Errorf("later %+v", got)
	}
}

// watchAll has writers and watchers that begin at any time; each must see all.
func watchAll(t *testing.T, s Compacter) {
	const writers, each = 4, 100
	_, start, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	seen := make([][]store.Event, 4)
	for i := range seen {
		all.Go(func() { seen[i] = collect(t, s, "n/", start, writers*each) })
	}
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, _, err := s.Txn(t.Context(), nil, op(fmt.Sprintf("n/%d", w), strconv.Itoa(i)), op(fmt.Sprintf("m/%d", w), "")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen = append(seen, collect(t, s, "n/", start, writers*each))
	for i, events := range seen {
		next, last := map[string]int{}, start
		for _, e := range events {
			if string(e.Value) != strconv.Itoa(next[e.Key]) || e.Changed <= last {
				t.Fatalf("watcher %d: %s is %s at %d after %d, want %d", i, e.Key, e.Value, e.Changed, last, next[e.Key])
			}
			next[e.Key]++
			last = e.Changed
		}
		if len(events) != writers*each {
			t.Fatalf("watcher %d saw %d events, want %d", i, len(events), writers*each)
		}
	}
}

func watchTransactions(t *testing.T, s Compacter) {
	at := put(t, s, op("t/0", ""))
	for range 20 {
		put(t, s, op("t/1", ""), op("x", ""), op("t/2", ""), op("t/3", ""))
	}
	n := 0
	err := s.Watch(t.Context(), "t/", at, func(events []store.Event) error {
		if len(events) != 3 || events[0].Changed != events[2].Changed {
			return fmt.Errorf("a call with %d events: %+v", len(events), events)
		}
		if n++; n == 20 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
}

func watchEnds(t *testing.T, s Compacter) {
	at := put(t, s, op("a", ""))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, "", at, func([]store.Event) error { return nil }) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("with its context it ended with %v", err)
	}
	began := make(chan struct{})
	var once sync.Once
	go func() {
		done <- s.Watch(t.Context(), "", at-1, func([]store.Event) error {
			once.Do(func() { close(began) })
			return nil
		})
	}()
	within(t, "an event", began)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("with the store it ended with %v", err)
	}
}

func compaction(t *testing.T, s Compacter) {
	first := put(t, s, op("a", "1"))
	var last store.Revision
	for i := range 10 {
		last = put(t, s, op("a", strconv.Itoa(i)))
	}
	if err := s.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context(), last); err != nil {
		t.Fatalf("compacting again: %v", err)
	}
	err := s.Watch(t.Context(), "a", first, func(events []store.Event) error {
		return fmt.Errorf("there was a gap before %+v", events)
	})
	if !errors.Is(err, store.ErrCompacted) {
		t.Fatalf("a watch from before: %v", err)
	}
	items, at, err := s.List(t.Context(), "a")
	if err != nil || len(items) != 1 || at != last || string(items[0].Value) != "9" {
		t.Fatalf("listed %v at %d, %v", items, at, err)
	}
	next := put(t, s, op("a", "next"))
	if got := collect(t, s, "a", at, 1); got[0].Changed != next {
		t.Fatalf("a watch from the list on: %+v", got)
	}
}
