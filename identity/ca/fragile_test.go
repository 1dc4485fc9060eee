package ca

import (
	"context"
	"fmt"
	"sync"

	"github.com/naru-mesh/naru/store"
)

// fragile is a store that goes away to order, and counts.
type fragile struct {
	store.Store
	mu    sync.Mutex
	fault error
	turn  chan struct{} // closed when fault changes
	txns  int
}

func newFragile(s store.Store) *fragile { return &fragile{Store: s, turn: make(chan struct{})} }

// fail makes everything fail with why until fail(nil). Watches then end: what
// happened meanwhile is not told.
func (f *fragile) fail(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault = nil; why != nil {
		f.fault = fmt.Errorf("%w: %w", store.ErrUnavailable, why)
	}
	close(f.turn)
	f.turn = make(chan struct{})
}

func (f *fragile) now() (turn <-chan struct{}, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.turn, f.fault
}

func (f *fragile) Get(ctx context.Context, key string) (store.Item, error) {
	if _, err := f.now(); err != nil {
		return store.Item{}, err
	}
	return f.Store.Get(ctx, key)
}

func (f *fragile) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	if _, err := f.now(); err != nil {
		return nil, 0, err
	}
	return f.Store.List(ctx, prefix)
}

func (f *fragile) Txn(ctx context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	if _, err := f.now(); err != nil {
		return 0, false, err
	}
	at, done, err := f.Store.Txn(ctx, conds, ops...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if done {
		f.txns++
	}
	return at, done, err
}

func (f *fragile) Watch(ctx context.Context, prefix string, after store.Revision, tell func([]store.Event) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	turn, fault := f.now()
	if fault == nil {
		go func() {
			select {
			case <-turn:
				cancel()
			case <-inner.Done():
			}
		}()
		err := f.Store.Watch(inner, prefix, after, tell)
		if ctx.Err() != nil || inner.Err() == nil {
			return err
		}
		turn, _ = f.now()
	}
	select { // as a store does that cannot be reached
	case <-turn:
		return store.ErrCompacted
	case <-ctx.Done():
		return ctx.Err()
	}
}
