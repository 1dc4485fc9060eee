// Package memory is a store.Store in the memory of one process, for tests and
// for a naru that keeps nothing.
//
// # Words
//
// The history is the list of the last changes, from which watches are served.
//
// # Life
//
// New, then as package store says. There is no goroutine; a lease is a timer.
//
// # Rules
//
// It behaves as store/etcd does, which storetest checks. Time is that of
// package time: in a synctest bubble leases end in fake time.
//
// # Not here
//
// Anything that outlives the process.
package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/store"
)

// most is how many changes the history holds before the older half is
// forgotten.
const most = 1 << 14

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// Store remembers until Close. Make it with New.
type Store struct {
	mu        sync.Mutex
	at        store.Revision
	items     map[string]store.Item
	history   []change
	compacted store.Revision // changes before it are forgotten
	changed   chan struct{}  // closed, and made anew, with every change
	leases    map[store.LeaseID]*lease
	lastLease store.LeaseID
	leaders   map[string][]chan struct{} // who leads, and who waits, in order
	// life ends with Close.
	life context.Context
	end  context.CancelFunc
}

// change is one transaction.
type change struct {
	at     store.Revision
	events []store.Event
}

type lease struct {
	ttl   time.Duration
	timer *time.Timer
	until time.Time
	keys  map[string]struct{}
}

var _ store.Store = (*Store)(nil)

// New makes an empty Store.
func New() *Store {
	life, end := context.WithCancel(context.Background())
	return &Store{
		at:      1,
		items:   map[string]store.Item{},
		changed: make(chan struct{}),
		leases:  map[store.LeaseID]*lease{},
		leaders: map[string][]chan struct{}{},
		life:    life,
		end:     end,
	}
}

// enter locks the store, unless ctx has ended or it is closed.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.over() {
		s.mu.Unlock()
		return errClosed
	}
	return nil
}

func (s *Store) over() bool { return s.life.Err() != nil }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Item, error) {
	if err := s.enter(ctx); err != nil {
		return store.Item{}, err
	}
	defer s.mu.Unlock()
	item, ok := s.items[key]
	if !ok {
		return store.Item{}, fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return item, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	if err := s.enter(ctx); err != nil {
		return nil, 0, err
	}
	defer s.mu.Unlock()
	var list []store.Item
	for key, item := range s.items {
		if strings.HasPrefix(key, prefix) {
			list = append(list, item)
		}
	}
	slices.SortFunc(list, func(a, b store.Item) int { return strings.Compare(a.Key, b.Key) })
	return list, s.at, nil
}

// Txn implements store.Store.
func (s *Store) Txn(ctx context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	if err := check(ops); err != nil {
		return 0, false, err
	}
	if err := s.enter(ctx); err != nil {
		return 0, false, err
	}
	defer s.mu.Unlock()
	for _, c := range conds {
		if s.items[c.Key].Changed != c.Changed {
			return s.at, false, nil
		}
	}
	for _, op := range ops {
		if op.Lease != 0 && !op.Delete && s.leases[op.Lease] == nil {
			return 0, false, fmt.Errorf("%w: lease %x", store.ErrNotFound, int64(op.Lease))
		}
	}
	s.apply(ops)
	return s.at, true, nil
}

func check(ops []store.Op) error {
	seen := make(map[string]struct{}, len(ops))
	for _, op := range ops {
		if op.Key == "" {
			return errors.New("store: a change of a key without a name")
		}
		if _, twice := seen[op.Key]; twice {
			return fmt.Errorf("store: %s is changed twice in one transaction", op.Key)
		}
		seen[op.Key] = struct{}{}
	}
	return nil
}

// apply makes the changes under one Revision. Deleting what is not there is no
// change.
func (s *Store) apply(ops []store.Op) {
	at := s.at + 1
	var events []store.Event
	for _, op := range ops {
		was, there := s.items[op.Key]
		if op.Delete && !there {
			continue
		}
		if l := s.leases[was.Lease]; there && l != nil {
			delete(l.keys, op.Key)
		}
		if op.Delete {
			delete(s.items, op.Key)
			events = append(events, store.Event{Item: store.Item{Key: op.Key, Changed: at}, Deleted: true})
			continue
		}
		item := store.Item{Key: op.Key, Value: slices.Clone(op.Value), Created: at, Changed: at, Lease: op.Lease}
		if there {
			item.Created = was.Created
		}
		if l := s.leases[op.Lease]; l != nil {
			l.keys[op.Key] = struct{}{}
		}
		s.items[op.Key] = item
		events = append(events, store.Event{Item: item})
	}
	if len(events) == 0 {
		return
	}
	s.at = at
	s.history = append(s.history, change{at, events})
	if len(s.history) > most {
		s.forget(s.history[len(s.history)/2].at)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Compact forgets what happened before a Revision: a Watch from earlier ends.
func (s *Store) Compact(ctx context.Context, before store.Revision) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.forget(min(before, s.at))
	return nil
}

func (s *Store) forget(before store.Revision) {
	if before <= s.compacted {
		return
	}
	s.compacted = before
	s.history = slices.Clone(s.history[s.after(before-1):])
}

// after finds the first change after a Revision.
func (s *Store) after(at store.Revision) int {
	i, _ := slices.BinarySearchFunc(s.history, at+1, func(c change, at store.Revision) int { return int(c.at - at) })
	return i
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision, tell func([]store.Event) error) error {
	for {
		if err := s.enter(ctx); err != nil {
			return err
		}
		if after+1 < s.compacted {
			s.mu.Unlock()
			return fmt.Errorf("%w: revision %d, remembered are those from %d", store.ErrCompacted, after, s.compacted)
		}
		news := slices.Clone(s.history[s.after(after):])
		changed := s.changed
		s.mu.Unlock()
		for _, c := range news {
			if err := ctx.Err(); err != nil {
				return err
			}
			after = c.at
			var events []store.Event
			for _, e := range c.events {
				if strings.HasPrefix(e.Key, prefix) {
					events = append(events, e)
				}
			}
			if len(events) == 0 {
				continue
			}
			if err := tell(events); err != nil {
				return err
			}
		}
		if len(news) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.life.Done():
			return errClosed
		case <-changed:
		}
	}
}

// Lease implements store.Store.
func (s *Store) Lease(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	ttl = max(ttl, 2*time.Second)
	ttl = (ttl + time.Second - 1) / time.Second * time.Second // as etcd counts
	s.lastLease++
	id := s.lastLease
	s.leases[id] = &lease{
		ttl: ttl, until: time.Now().Add(ttl), keys: map[string]struct{}{},
		timer: time.AfterFunc(ttl, func() { s.expire(id) }),
	}
	return id, nil
}

func (s *Store) expire(id store.LeaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[id]
	if l == nil || s.over() {
		return
	}
	if left := time.Until(l.until); left > 0 { // kept alive while this waited
		l.timer.Reset(left)
		return
	}
	s.drop(id)
}

// drop takes a lease and its keys away.
func (s *Store) drop(id store.LeaseID) {
	l := s.leases[id]
	l.timer.Stop()
	delete(s.leases, id)
	var ops []store.Op
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		ops = append(ops, store.Op{Key: key, Delete: true})
	}
	s.apply(ops)
}

// KeepAlive implements store.Store.
func (s *Store) KeepAlive(ctx context.Context, id store.LeaseID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	l := s.leases[id]
	if l == nil {
		return fmt.Errorf("%w: lease %x", store.ErrNotFound, int64(id))
	}
	l.until = time.Now().Add(l.ttl)
	l.timer.Reset(l.ttl)
	return nil
}

// Revoke implements store.Store.
func (s *Store) Revoke(ctx context.Context, id store.LeaseID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.leases[id] == nil {
		return fmt.Errorf("%w: lease %x", store.ErrNotFound, int64(id))
	}
	s.drop(id)
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	for _, l := range s.leases {
		l.timer.Stop()
	}
	return nil
}
