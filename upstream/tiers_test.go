package upstream

import (
	"math"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// TestSlowStartInSeveralTiers: who arrives in a tier begins with its tenth of what
// the others there get, and the tiers' shares are as before.
func TestSlowStartInSeveralTiers(t *testing.T) {
	t.Parallel()
	const window, n = 100 * time.Second, 40_000
	w := newWorld(t, 1, placedAt("eu", "a"))
	slow := func(list ...at) *model.Service {
		s := placed(nil, list...)
		s.SlowStart = &model.SlowStart{Window: window}
		return s
	}
	w.apply(slow(at{"", 0, 10}, at{"", 1, 9}))
	w.sicken(5, 0) // half of the first: 0.7 and 0.3
	w.apply(slow(at{"", 0, 10}, at{"", 1, 10}))
	var fresh *Endpoint
	for _, m := range w.cluster("a").members {
		if ip := m.ep.Addr().Addr().As4(); ip[2] == 1 && ip[3] == 9 {
			fresh = m.ep
		}
	}
	for _, step := range []struct {
		pass time.Duration
		part float64 // of what each other one of its tier gets
	}{{0, 0.1}, {50 * time.Second, 0.5}, {49 * time.Second, 0.99}, {2 * time.Second, 1}} {
		w.loops[0].pass(step.pass)
		got, each := w.shares(n, 2)
		if math.Abs(got[0]-0.7) > 0.01 || math.Abs(got[1]-0.3) > 0.01 {
			t.Errorf("after %v more the tiers have %.3f", step.pass, got)
		}
		want := 0.3 * n * step.part / (9 + step.part)
		if have := float64(each[fresh]); math.Abs(have-want) > 0.05*want+4*math.Sqrt(want) {
			t.Errorf("after %v more it got %.0f, want about %.0f", step.pass, have, want)
		}
	}
	// All of a tier arrive at once: they share what is the tier's.
	w.apply(slow(at{"", 0, 10}, at{"", 2, 6}))
	got, _ := w.shares(n, 2)
	if math.Abs(got[1]-0.3) > 0.01 {
		t.Errorf("a tier of which all have just arrived has %.3f", got[1])
	}
}

// TestSessionsInSeveralTiers: a session stays with its endpoint, whatever the share
// of its tier is, and goes by the shares when something speaks against that.
func TestSessionsInSeveralTiers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, placedAt("eu", "a"))
	w.apply(placed(nil, at{"eu/a", 0, 6}, at{"eu/b", 0, 6}, at{"eu/a", 1, 6}))
	c, l := w.cluster("a"), w.loops[0]
	c.Sessions()
	goes := func(a Ask) *Endpoint {
		t.Helper()
		conn, ep, why := c.Pick(l, &a)
		if why != observe.ReasonNone {
			t.Fatal(why)
		}
		conn.Close()
		return ep
	}
	list := func(ep *Endpoint) int { return int(ep.Addr().Addr().As4()[2]) }
	for _, m := range c.members { // the last twelve are in tiers that get nothing
		for range 3 {
			if ep := goes(Ask{Session: c.Token(m.ep)}); ep != m.ep {
				t.Errorf("the session of %v goes to %v", m.ep.Addr(), ep.Addr())
			}
		}
	}
	far := c.members[17].ep
	for range 20 {
		if ep := goes(Ask{}); list(ep) != 0 {
			t.Errorf("a request without a session goes to %v", ep.Addr())
		}
	}
	var tried Tried
	tried.Add(far)
	if ep := goes(Ask{Session: c.Token(far), Tried: &tried}); list(ep) != 0 {
		t.Errorf("another try goes to %v", ep.Addr())
	}
	w.sicken(0, 0, 6) // those of the second priority
	for range 20 {
		if ep := goes(Ask{Session: c.Token(far)}); list(ep) != 0 {
			t.Errorf("the session of a sick endpoint goes to %v", ep.Addr())
		}
	}
	w.sicken(6, 6, 0) // all of the first: it is their turn, and the session's own
	for range 20 {
		if ep := goes(Ask{Session: c.Token(far)}); ep != far {
			t.Errorf("the session goes to %v", ep.Addr())
		}
		if ep := goes(Ask{Session: c.Token(c.members[0].ep)}); list(ep) != 2 {
			t.Errorf("the session of a sick endpoint goes to %v", ep.Addr())
		}
	}
}
