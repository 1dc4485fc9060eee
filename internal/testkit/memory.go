package testkit

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/store"
)

// Memory is a store.Store that forgets with the process. Leases do not end by
// themselves.
type Memory struct {
	mu      sync.Mutex
	at      store.Revision
	items   map[string]store.Item
	log     [][]store.Event // of transactions, in order
	cut     store.Revision  // older ones are compacted
	changed chan struct{}   // closed by the next transaction or fault
	fault   error
	txns    int
	leases  map[store.LeaseID]bool
	leads   map[string]chan struct{}
}

var _ store.Store = (*Memory)(nil)

// NewMemory makes an empty one.
func NewMemory() *Memory {
	return &Memory{items: map[string]store.Item{}, changed: make(chan struct{}), leases: map[store.LeaseID]bool{}, leads: map[string]chan struct{}{}}
}

// Fail makes everything fail with ErrUnavailable and why, until Fail(nil).
func (m *Memory) Fail(why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = nil
	if why != nil {
		m.fault = fmt.Errorf("%w: %w", store.ErrUnavailable, why)
	}
	m.wake()
}

// Compact forgets all changes so far; watches that are behind end.
func (m *Memory) Compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log, m.cut = nil, m.at
	m.wake()
}

// Txns is how many transactions were made.
func (m *Memory) Txns() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.txns
}

func (m *Memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// ok is called with mu held.
func (m *Memory) ok(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return m.fault
}

// Get implements store.Store.
func (m *Memory) Get(ctx context.Context, key string) (store.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ok(ctx); err != nil {
		return store.Item{}, err
	}
	item, found := m.items[key]
	if !found {
		return item, store.ErrNotFound
	}
	return item, nil
}

// List implements store.Store.
func (m *Memory) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ok(ctx); err != nil {
		return nil, 0, err
	}
	var all []store.Item
	for _, key := range slices.Sorted(maps.Keys(m.items)) {
		if strings.HasPrefix(key, prefix) {
			all = append(all, m.items[key])
		}
	}
	return all, m.at, nil
}

// Txn implements store.Store.
func (m *Memory) Txn(ctx context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ok(ctx); err != nil {
		return 0, false, err
	}
	for _, c := range conds {
		if m.items[c.Key].Changed != c.Changed {
			return m.at, false, nil
		}
	}
	m.at++
	m.txns++
	var events []store.Event
	for _, op := range ops {
		old, found := m.items[op.Key]
		item := store.Item{Key: op.Key, Value: bytes.Clone(op.Value), Created: m.at, Changed: m.at, Lease: op.Lease}
		switch {
		case op.Delete && !found:
		case op.Delete:
			delete(m.items, op.Key)
			events = append(events, store.Event{Item: store.Item{Key: op.Key, Changed: m.at}, Deleted: true})
		default:
			if found {
				item.Created = old.Created
			}
			m.items[op.Key] = item
			events = append(events, store.Event{Item: item})
		}
	}
	m.log = append(m.log, events)
	m.wake()
	return m.at, true, nil
}

// Watch implements store.Store.
func (m *Memory) Watch(ctx context.Context, prefix string, after store.Revision, tell func([]store.Event) error) error {
	for {
		m.mu.Lock()
		changed := m.changed
		var next []store.Event
		compacted := after < m.cut
		if m.fault == nil && !compacted && after < m.at {
			next = m.log[after-m.cut]
			after++
		} else if !compacted {
			m.mu.Unlock()
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		m.mu.Unlock()
		if compacted {
			return store.ErrCompacted
		}
		var mine []store.Event
		for _, e := range next {
			if strings.HasPrefix(e.Key, prefix) {
				mine = append(mine, e)
			}
		}
		if len(mine) > 0 {
			if err := tell(mine); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Lease implements store.Store.
func (m *Memory) Lease(ctx context.Context, _ time.Duration) (store.LeaseID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ok(ctx); err != nil {
		return 0, err
	}
	id := store.LeaseID(len(m.leases) + 1)
	m.leases[id] = true
	return id, nil
}

// KeepAlive implements store.Store.
func (m *Memory) KeepAlive(ctx context.Context, id store.LeaseID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ok(ctx); err != nil {
		return err
	}
	if !m.leases[id] {
		return store.ErrNotFound
	}
	return nil
}

// Revoke implements store.Store.
func (m *Memory) Revoke(ctx context.Context, id store.LeaseID) error {
	if err := m.KeepAlive(ctx, id); err != nil {
		return err
	}
	items, _, err := m.List(ctx, "")
	if err != nil {
		return err
	}
	var ops []store.Op
	for _, item := range items {
		if item.Lease == id {
			ops = append(ops, store.Op{Key: item.Key, Delete: true})
		}
	}
	m.mu.Lock()
	m.leases[id] = false
	m.mu.Unlock()
	if len(ops) == 0 {
		return nil
	}
	_, _, err = m.Txn(ctx, nil, ops...)
	return err
}

// Lead implements store.Store.
func (m *Memory) Lead(ctx context.Context, name string) (<-chan struct{}, error) {
	for {
		m.mu.Lock()
		other := m.leads[name]
		if other == nil {
			lost := make(chan struct{})
			m.leads[name] = lost
			m.mu.Unlock()
			context.AfterFunc(ctx, func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				delete(m.leads, name)
				close(lost)
			})
			return lost, nil
		}
		m.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements store.Store.
func (m *Memory) Close() error { return nil }
