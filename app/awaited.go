package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/etcd"
)

// awaited is the state of a control plane that may come late: where its disk has
// no room for it, the process begins without it and it is opened when there is
// room. Until then it is a store that is away.
type awaited struct {
	log    *slog.Logger
	open   func() (store.Store, *identity.Sealer, error)
	came   chan struct{} // closed when inner is there
	cancel context.CancelFunc
	task   sync.WaitGroup

	mu     sync.Mutex
	inner  store.Store
	sealer *identity.Sealer
	why    error // there is none; nil when there is
}

var _ store.Store = (*awaited)(nil)

// How long until a store is tried again that does not open.
const (
	firstOpen = time.Second
	lastOpen  = 10 * time.Second
)

// awaitState opens the state of a control plane, now or as soon as its disk lets
// it. An error is one that waiting does not mend.
func awaitState(o *MeshOptions, log *slog.Logger) (*awaited, error) {
	a := &awaited{log: log, came: make(chan struct{}), open: func() (store.Store, *identity.Sealer, error) { return openState(o, log) }}
	err := a.try()
	if err != nil && !lacksRoom(err) {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if err != nil {
		log.Error("the state of the control plane cannot be opened; naru goes on without it, and nothing can be signed, registered or stored until it is there", "folder", o.Data, "error", err)
		a.task.Go(func() { a.wait(ctx) })
	}
	return a, nil
}

// try opens it once.
func (a *awaited) try() error {
	inner, sealer, err := a.open()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if a.why = err; !errors.Is(err, store.ErrUnavailable) {
			a.why = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		return err
	}
	a.inner, a.sealer, a.why = inner, sealer, nil
	close(a.came)
	return nil
}

func (a *awaited) wait(ctx context.Context) {
	said := ""
	for pause := firstOpen; ; pause = min(2*pause, lastOpen) {
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

// lacksRoom says whether an error is a disk's that is full, or that nothing can
// be written to for another reason that may pass. etcd tells some as text alone.
func lacksRoom(err error) bool {
	for _, no := range [...]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, store.ErrUnavailable} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}

// now gives what there is.
func (a *awaited) now() (store.Store, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inner, a.why
}

// etcd is the store where it is one, nil otherwise.
func (a *awaited) etcd() *etcd.Store {
	inner, _ := a.now()
	e, _ := inner.(*etcd.Store)
	return e
}

// key is what seals the keys in it; with an error there is none yet.
func (a *awaited) key() (*identity.Sealer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sealer, a.why
}

// until waits for the store, or for ctx to end.
func (a *awaited) until(ctx context.Context) (store.Store, error) {
	select {
	case <-a.came:
		return a.now()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Get implements store.Store, as the others do.
func (a *awaited) Get(ctx context.Context, key string) (store.Item, error) {
	s, err := a.now()
	if err != nil {
		return store.Item{}, err
	}
	return s.Get(ctx, key)
}

func (a *awaited) List(ctx context.Context, prefix string) ([]store.Item, store.Revision, error) {
	s, err := a.now()
	if err != nil {
		return nil, 0, err
	}
	return s.List(ctx, prefix)
}

func (a *awaited) Txn(ctx context.Context, conds []store.Cond, ops ...store.Op) (store.Revision, bool, error) {
	s, err := a.now()
	if err != nil {
		return 0, false, err
	}
	return s.Txn(ctx, conds, ops...)
}

func (a *awaited) Watch(ctx context.Context, prefix string, after store.Revision, tell func([]store.Event) error) error {
	s, err := a.until(ctx)
	if err != nil {
		return err
	}
	return s.Watch(ctx, prefix, after, tell)
}

func (a *awaited) Lease(ctx context.Context, ttl time.Duration) (store.LeaseID, error) {
	s, err := a.now()
	if err != nil {
		return 0, err
	}
	return s.Lease(ctx, ttl)
}

func (a *awaited) KeepAlive(ctx context.Context, id store.LeaseID) error {
	s, err := a.now()
	if err != nil {
		return err
	}
	return s.KeepAlive(ctx, id)
}

func (a *awaited) Revoke(ctx context.Context, id store.LeaseID) error {
	s, err := a.now()
	if err != nil {
		return err
	}
	return s.Revoke(ctx, id)
}

func (a *awaited) Lead(ctx context.Context, name string) (<-chan struct{}, error) {
	s, err := a.until(ctx)
	if err != nil {
		return nil, err
	}
	return s.Lead(ctx, name)
}

func (a *awaited) Close() error {
	a.cancel()
	a.task.Wait()
	if s, _ := a.now(); s != nil {
		return s.Close()
	}
	return nil
}
