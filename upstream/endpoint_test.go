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

// TestRetriesGoToWhoTakesConnections: of endpoints of which most could not be
// connected to, and may be tried again now, a request meets one at most.
func TestRetriesGoToWhoTakesConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 6))
	l := w.loops[0]
	c, good := w.pick("a")
	c.opened()
	c.finish()
	for _, m := range w.cluster("a").members {
		if m.ep != good {
			m.ep.connectFailed(l.Now())
		}
	}
	for range 20 {
		l.pass(asideMost)
		var tried Tried
		c, first := w.pickOn(0, "a", &tried, false)
		if tried.Add(first); first == good {
			c.finish()
			continue
		}
		c.fail(refused(first))
		c, second := w.pickOn(0, "a", &tried, false)
		if second != good {
			t.Fatal("the second try is on an endpoint that did not take connections either")
		}
		c.finish()
	}
}
