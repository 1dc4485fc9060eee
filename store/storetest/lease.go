package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/naru-mesh/naru/store"
)

func leased(t *testing.T, s store.Store, ttl time.Duration, keys ...string) (store.LeaseID, store.Revision) {
	t.Helper()
	id, err := s.Lease(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	ops := make([]store.Op, len(keys))
	for i, key := range keys {
		ops[i] = store.Op{Key: key, Lease: id}
	}
	return id, put(t, s, ops...)
}

// leaseEnds: the keys go together, not before their time; one that was put anew
// without the lease stays.
func leaseEnds(t *testing.T, s Compacter) {
	began := time.Now()
	id, at := leased(t, s, 2*time.Second, "l/a", "l/b", "l/c")
	if item, err := s.Get(t.Context(), "l/a"); err != nil || item.Lease != id {
		t.Fatalf("got %+v, %v", item, err)
	}
	at = max(at, put(t, s, op("l/c", "mine")))
	got := collect(t, s, "l/", at, 2)
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("the lease of 2 s ended after %s", took)
	}
	if len(got) != 2 || !got[0].Deleted || !got[1].Deleted || got[0].Changed != got[1].Changed {
		t.Errorf("told %+v", got)
	}
	if err := s.KeepAlive(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("keeping alive what has ended: %v", err)
	}
	if _, err := s.Get(t.Context(), "l/c"); err != nil {
		t.Errorf("the key without a lease: %v", err)
	}
}

// leaseKept keeps one alive for longer than another of the same length lasts.
func leaseKept(t *testing.T, s Compacter) {
	kept, at := leased(t, s, 2*time.Second, "k/kept")
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for range 6 {
		<-tick.C
		if err := s.KeepAlive(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), "k/kept"); err != nil {
		t.Fatalf("after 3 s of being kept alive: %v", err)
	}
	if got := collect(t, s, "k/", at, 1); got[0].Key != "k/kept" || !got[0].Deleted {
		t.Fatalf("when nobody keeps it alive: %+v", got)
	}
}

func leaseRevoked(t *testing.T, s Compacter) {
	id, at := leased(t, s, time.Hour, "r/a", "r/b")
	if err := s.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, s, "r/", at, 2); !got[0].Deleted || got[0].Changed != got[1].Changed {
		t.Fatalf("told %+v", got)
	}
	if err := s.Revoke(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("revoking twice: %v", err)
	}
	if _, _, err := s.Txn(t.Context(), nil, store.Op{Key: "r/a", Lease: id}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a key below it: %v", err)
	}
}

// leadership: one leads, the next leads when the first ends, and who gave up
// waiting never does.
func leadership(t *testing.T, s Compacter) {
	first, end := context.WithCancel(t.Context())
	defer end()
	lost, err := s.Lead(first, "job")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lead(t.Context(), "another job"); err != nil {
		t.Fatalf("another name: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Lead(short, "job"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the second leads beside the first: %v", err)
	}
	select {
	case <-lost:
		t.Fatal("the first lost it for no reason")
	default:
	}
	next := make(chan error, 1)
	go func() {
		_, err := s.Lead(t.Context(), "job")
		select {
		case <-lost:
		default:
			err = errors.Join(err, errors.New("the second leads while the first does"))
		}
		next <- err
	}()
	end()
	select {
	case err := <-next:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(soon):
		t.Fatal("nobody leads any more")
	}
}

func leadershipCloses(t *testing.T, s Compacter) {
	lost, err := s.Lead(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "the leader hears of it", lost)
}
