package memory

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance is in real time: what waits for a lease takes two seconds.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Compacter { return New() })
}

// TestFakeTime has a lease of an hour end in a bubble.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fakeTime(t, New())
	})
}

// TestHistoryIsBounded writes more than is remembered.
func TestHistoryIsBounded(t *testing.T) {
	historyIsBounded(t, New())
}

func fakeTime(t *testing.T, s *Store) {
	defer s.Close()
	id, err := s.Lease(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	at, _, err := s.Txn(t.Context(), nil, store.Op{Key: "a", Lease: id})
	if err != nil {
		t.Fatal(err)
	}
	errGone := errors.New("gone")
	err = s.Watch(t.Context(), "a", at, func(e []store.Event) error {
		if !e[0].Deleted {
			t.Errorf("told %+v", e)
		}
		return errGone
	})
	if took := time.Since(began); err != errGone || took != time.Hour {
		t.Errorf("the lease of an hour ended after %s, %v", took, err)
	}
}

func historyIsBounded(t *testing.T, s *Store) {
	defer s.Close()
	for range most + 1 {
		if _, _, err := s.Txn(t.Context(), nil, store.Op{Key: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.history); n > most {
		t.Errorf("%d changes are remembered, want at most %d", n, most)
	}
	err := s.Watch(t.Context(), "", 1, func([]store.Event) error { return errors.New("there was a gap") })
	if !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watch from the beginning: %v", err)
	}
}
