// Package late is a store.Store that may come late: where it cannot be opened at
// the start, because its disk has no room, whoever needs it begins without it, and
// it is opened as soon as that works.
//
// # Words
//
// The inner store is the one that is waited for. It is away until it is open.
//
// # Life
//
// Open tries once. Where that fails for want of room a goroutine tries again, after
// 1 s and then less often, every 10 s at last, until it succeeds or Close ends it.
// Close closes the inner store, too.
//
// # Rules
//
// While the inner store is away calls fail with why, which wraps
// store.ErrUnavailable; Watch and Lead wait, as with a store that is away. Errors
// that waiting does not mend are Open's: a mistake in an option ends a start.
//
// # Not here
//
// What serves meanwhile (source/stored keeps a copy of documents, identity/agent
// certificates).
package late

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/store"
)

// Store is a store.Store that may be away at first.
type Store struct {
	log    *slog.Logger
	open   func() (store.Store, error)
	came   chan struct{} // closed when inner is there
	cancel context.CancelFunc
	task   sync.WaitGroup

	mu    sync.Mutex
	inner store.Store
	why   error // there is none; nil when there is
}

var _ store.Store = (*Store)(nil)

// How long until a store is tried again that does not open.
const (
	First = time.Second
	Last  = 10 * time.Second
)

// Open gives the store that open gives, now or as soon as there is room for it.
// open is called by one goroutine at a time. An error is one that waiting does not
// mend.
func Open(open func() (store.Store, error), log *slog.Logger) (*Store, error) {
	a := &Store{log: log, came: make(chan struct{}), open: open}
	err := a.try()
	if err != nil && !LacksRoom(err) {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if err != nil {
		log.Error("the state of the control plane cannot be opened; naru goes on without it, and nothing can be signed, registered or stored until it is there", "error", err)
		a.task.Go(func() { a.wait(ctx) })
	}
	return a, nil
}

// try opens it once.
func (a *Store) try() error {
	inner, err := a.open()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if a.why = err; !errors.Is(err, store.ErrUnavailable) {
			a.why = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		return err
	}
	a.inner, a.why = inner, nil
	close(a.came)
	return nil
}

func (a *Store) wait(ctx context.Context) {
	said := ""
	for pause := First; ; pause = min(2*pause, Last) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err := a.try()
		if err == nil {
			a.log.Info("the state of the control plane is open")
			return
		}
		if err.Error() != said {
			said = err.Error()
			a.log.Warn("the state of the control plane cannot be opened yet", "error", err)
		}
	}
}

// LacksRoom says whether an error is a disk's that is full, or that nothing can
// be written to for another reason that may pass. etcd tells some as text alone.
func LacksRoom(err error) bool {
	for _, no := range [...]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, store.ErrUnavailable} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}

// Now gives the inner store, or why it is away.
func (a *Store) Now() (store.Store, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inner, a.why
}

// until waits for the store, or for ctx to end.
func (a *Store) until(ctx context.Context) (store.Store, error) {
	select {
	case <-a.came:
		return a.Now()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Get implements store.Store.
func (a *Store) Get(ctx context.Context, key string) (store.Item, error) {
	s, err := a.Now()
	if err != nil {
		return store.Item{}, err
	}
	return s.Get(ctx, key)
}

// List implements store.Store.
func (a *Store) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	s, err := a.Now()
	if err != nil {
		return nil, 0, err
	}
	return s.List(ctx, prefix)
}

// Txn implements store.Store.
func (a *Store) Txn(ctx context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	s, err := a.Now()
	if err != nil {
		return 0, false, err
	}
	return s.Txn(ctx, conds, ops...)
}

// Watch implements store.Store.
func (a *Store) Watch(ctx context.Context, prefix string, after store.Revision, tell func([]store.Event) error) error {
	s, err := a.until(ctx)
	if err != nil {
		return err
	}
	return s.Watch(ctx, prefix, after, tell)
}

// Lease implements store.Store.
func (a *Store) Lease(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	s, err := a.Now()
	if err != nil {
		return 0, err
	}
	return s.Lease(ctx, ttl)
}

// KeepAlive implements store.Store.
func (a *Store) KeepAlive(ctx context.Context, id store.LeaseID) error {
	s, err := a.Now()
	if err != nil {
		return err
	}
	return s.KeepAlive(ctx, id)
}

// Revoke implements store.Store.
func (a *Store) Revoke(ctx context.Context, id store.LeaseID) error {
	s, err := a.Now()
	if err != nil {
		return err
	}
	return s.Revoke(ctx, id)
}

// Lead implements store.Store.
func (a *Store) Lead(ctx context.Context, name string) (<-chan struct{}, error) {
	s, err := a.until(ctx)
	if err != nil {
		return nil, err
	}
	return s.Lead(ctx, name)
}

// Close implements store.Store.
func (a *Store) Close() error {
	a.cancel()
	a.task.Wait()
	if s, _ := a.Now(); s != nil {
		return s.Close()
	}
	return nil
}
