package upstream

import (
	"testing"
	"time"
)

func TestAsideDoublesAndEnds(t *testing.T) {
	t.Parallel()
	ep := &Endpoint{}
	for i, want := range []time.Duration{250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000} {
		ep.connectFailed(time.Minute)
		if got := time.Duration(ep.aside.Load()) - time.Minute; got != want*time.Millisecond {
			t.Errorf("failure %d: aside for %v, want %v ms", i+1, got, int64(want))
		}
	}
	ep.connected()
	if !ep.usable(0, nil) {
		t.Error("the endpoint stands aside although it was connected to")
	}
	ep.connectFailed(0)
	if got := time.Duration(ep.aside.Load()); got != asideFirst {
		t.Errorf("a failure after a success: aside for %v, want %v", got, asideFirst)
	}
}

func TestTriedForgetsTheFirst(t *testing.T) {
	t.Parallel()
	var tried Tried
	m := membersOf(repeat(1, maxTried+1)...)
	for _, x := range m {
		tried.Add(x.ep)
		tried.Add(x.ep)
	}
	if tried.Len() != maxTried || tried.Has(m[0].ep) || !tried.Has(m[1].ep) || !tried.Has(m[maxTried].ep) {
		t.Errorf("after %d endpoints: %d remembered, first %v, last %v", len(m), tried.Len(), tried.Has(m[0].ep), tried.Has(m[maxTried].ep))
	}
	if tried.Reset(); tried.Len() != 0 || tried.Has(m[1].ep) || (*Tried)(nil).Has(m[1].ep) {
		t.Error("Reset, or nil, remembers")
	}
}
