package late

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/memory"
	"github.com/naru-mesh/naru/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStore: once it is open it is as any other store.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Compacter {
		inner := memory.New()
		s, err := Open(func() (store.Store, error) { return inner, nil }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return compacter{s, inner}
	})
}

// compacter forgets the past as the inner store does.
type compacter struct {
	*Store
	inner storetest.Compacter
}

func (c compacter) Compact(ctx context.Context, at store.Revision) error {
	return c.inner.Compact(ctx, at)
}

// TestRoomComes: as long as there is no room calls say why, and who watches or
// wants to lead waits; then all of it works.
func TestRoomComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var room atomic.Bool
		var tries atomic.Int32
		s, err := Open(func() (store.Store, error) {
			if tries.Add(1); !room.Load() {
				return nil, fmt.Errorf("mkdir: %w", syscall.ENOSPC)
			}
			return memory.New(), nil
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		_, get := s.Get(ctx, "a")
		_, _, list := s.List(ctx, "")
		_, _, txn := s.Txn(ctx, nil)
		_, lease := s.Lease(ctx, time.Minute)
		_, now := s.Now()
		for _, err := range []error{get, list, txn, lease, s.KeepAlive(ctx, 1), s.Revoke(ctx, 1), now} {
			if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v", err)
			}
		}
		short, cancel := context.WithTimeout(ctx, time.Second/2)
		defer cancel()
		if _, err := s.Lead(short, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("to lead: %v", err)
		}
		seen, watching := make(chan string, 1), make(chan error, 1)
		whole, stop := context.WithCancel(ctx)
		go func() {
			watching <- s.Watch(whole, "a", 0, func(all []store.Event) error { seen <- all[0].Key; return nil })
		}()
		<-time.After(time.Minute)
		if n := tries.Load(); n < 7 || n > 10 {
			t.Errorf("%d tries in a minute", n)
		}
		room.Store(true)
		<-time.After(Last)
		if _, done, err := s.Txn(ctx, nil, store.Op{Key: "a", Value: []byte("1")}); !done || err != nil {
			t.Fatal(done, err)
		}
		if key := <-seen; key != "a" {
			t.Errorf("%q was seen", key)
		}
		stop()
		<-watching
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWaitingDoesNotMend: what no room mends is told at once.
func TestWaitingDoesNotMend(t *testing.T) {
	t.Parallel()
	for err, room := range map[error]bool{
		fs.ErrPermission: false, errors.New("two peers of one name"): false,
		syscall.ENOSPC: true, syscall.EROFS: true, fmt.Errorf("%w: 0 MiB left", store.ErrUnavailable): true,
		errors.New("etcd failed as it started: write wal: no space left on device"): true,
	} {
		s, got := Open(func() (store.Store, error) { return nil, err }, slog.New(slog.DiscardHandler))
		if (got == nil) != room || LacksRoom(err) != room {
			t.Errorf("%v: %v", err, got)
		}
		if s != nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
