package ca

import (
	"fmt"
	"testing"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// TestForgetList: of one machine or identity the newest word counts, what no
// certificate can be left of goes, and the list is bounded.
func TestForgetList(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	p := pace{retire: 91 * 24 * time.Hour}
	var r record
	forget := func(f identity.Forgotten) error {
		f.Issued, f.From = now, now
		_, err := r.forget(f, now, p)
		return err
	}
	for range 2 {
		for _, f := range []identity.Forgotten{{Machine: "a"}, {ID: "spiffe://x/ns/a/sa/b"}} {
			if err := forget(f); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(time.Hour)
	}
	if len(r.Forgotten) != 2 || !r.Forgotten[0].Issued.Equal(now.Add(-time.Hour)) {
		t.Errorf("%v", r.Forgotten)
	}
	shared := r.Forgotten
	if r.remember(now.Add(90*24*time.Hour), p) || !r.remember(now.Add(91*24*time.Hour), p) || len(r.Forgotten) != 0 {
		t.Errorf("in the end: %v", r.Forgotten)
	}
	if len(shared) != 2 || shared[0].Machine != "a" {
		t.Errorf("a list that bundles share is written to: %v", shared)
	}
	for i := range mostForgotten {
		if err := forget(identity.Forgotten{Machine: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := forget(identity.Forgotten{Machine: "one more"}); err == nil {
		t.Error("the list has no end")
	}
	if err := forget(identity.Forgotten{Machine: "7"}); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
