package upstream

import (
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

func TestSurplusClusterWorksUntilRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	a := w.cluster("a")
	idle, _ := w.pick("a")
	idle.opened()
	idle.finish()
	old := w.apply(service("b", 1))
	if len(old) != 1 || old[0] != a {
		t.Fatalf("surplus: %v", old)
	}
	conn, _, _ := a.Pick(w.loops[0], &Ask{})
	if conn != idle {
		t.Error("a surplus cluster does not lend its connection")
	}
	w.set.Retire(old...)
	w.set.Retire(old...)
	w.run()
	if _, _, why := a.Pick(w.loops[0], &Ask{}); why != observe.NoEndpoint {
		t.Errorf("a retired cluster gives %q", why)
	}
	if idle.ended {
		t.Error("a busy connection was cut off")
	}
	idle.finish()
	if w.run(); !idle.ended {
		t.Error("a connection of a retired cluster is kept")
	}
}

func TestServiceNamedAgainIsANewCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	old := w.apply()
	w.apply(service("a", 1))
	w.set.Retire(old...)
	w.run()
	if w.cluster("a") == old[0] {
		t.Fatal("the surplus cluster came back")
	}
	w.pick("a")
}

// TestServiceNamedAgainBeginsElsewhere: callers that come, call once and go, each
// with a cluster of its own, do not all call the same endpoint.
func TestServiceNamedAgainBeginsElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	first := map[string]int{}
	for range 64 {
		w.apply(service("a", 2))
		_, ep := w.pick("a")
		first[ep.Addr().String()]++
		w.set.Retire(w.apply()...)
	}
	for addr, n := range first {
		if n < 16 || n > 48 {
			t.Errorf("%s is the first for %d of 64", addr, n)
		}
	}
	if len(first) != 2 {
		t.Errorf("of two endpoints %v are called", first)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	a := w.cluster("a")
	surplus := w.apply(service("b", 1))
	conn, _ := w.pick("b")
	conn.opened()
	conn.finish()
	b := w.cluster("b")
	ch, _ := w.set.Prepare([]*model.Service{service("c", 1)})
	w.set.Close()
	w.run()
	for _, c := range []*Cluster{a, b, ch.Cluster("c")} {
		if _, _, why := c.Pick(w.loops[0], &Ask{}); why != observe.NoEndpoint {
			t.Errorf("after Close %s gives %q", c.Name(), why)
		}
	}
	if !conn.ended {
		t.Error("an idle connection outlived the set")
	}
	if old := ch.Commit(); old != nil {
		t.Error("a change was committed after Close")
	}
	w.set.Retire(surplus...)
	late, _ := w.set.Prepare([]*model.Service{service("d", 1), {Name: "e", Endpoints: []*model.Endpoint{{Host: "name", Port: 1}}}})
	if late.Commit(); w.cluster("d") != nil {
		t.Error("a change was committed after Close")
	}
}
