package upstream

import (
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

func TestLoopsBeginApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.apply(service("a", 100))
	var first []int
	for _, l := range w.loops {
		_, ep, _ := w.cluster("a").Pick(l, &Ask{})
		first = append(first, int(ep.Addr().Addr().As4()[3]))
	}
	for i := range first {
		if d := (first[(i+1)%4] - first[i] + 100) % 100; d < 20 || d > 30 {
			t.Errorf("loops begin at %v, not a quarter apart", first)
		}
	}
}

func TestEndpointsThatStayKeepTheirConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	c := w.cluster("a")
	stays, ep := w.pick("a")
	stays.opened()
	stays.finish()
	more := service("a", 3)
	more.Endpoints[0].Weight = 5
	more.Balance = model.LeastRequest
	w.apply(more)
	if w.cluster("a") != c {
		t.Fatal("the cluster was replaced")
	}
	if stays.ended {
		t.Error("the connection was closed")
	}
	found := false
	for range 30 {
		conn, other := w.pick("a")
		found = found || conn == stays && other == ep
	}
	if !found {
		t.Error("the connection was not lent again")
	}
}

func TestRemovedEndpointDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.apply(service("a", 1))
	idle, ep := w.pickOn(0, "a", nil, false)
	idle.opened()
	idle.finish()
	busy, _ := w.pickOn(1, "a", nil, false)
	busy.opened()
	opening, _ := w.pickOn(1, "a", nil, false)
	moved := service("a", 1)
	moved.Endpoints[0].Port = 81
	w.apply(moved)
	if !idle.ended || busy.ended || opening.ended {
		t.Errorf("closed: idle %v, busy %v, opening %v", idle.ended, busy.ended, opening.ended)
	}
	for l := range w.loops {
		if _, other := w.pickOn(l, "a", nil, false); other == ep {
			t.Error("a removed endpoint was chosen")
		}
	}
	if st := w.stats("a"); st.Open != 4 || st.Active != 4 || st.Picks != 5 || len(st.Endpoints) != 1 {
		t.Errorf("while draining: %+v", st)
	}
	busy.finish()
	opening.opened()
	opening.finish()
	w.run()
	if !busy.ended || !opening.ended {
		t.Error("a busy connection outlived its exchange")
	}
	st := w.stats("a")
	if st.Open != 2 || st.Active != 2 || st.Picks != 5 || st.Connects != 5 {
		t.Errorf("after draining: %+v", st.Counts)
	}
	if n := len(w.cluster("a").leaving); n != 0 {
		t.Errorf("%d endpoints are still leaving", n)
	}
}

func TestChangedTLSEndsOldConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	plain, ep := w.pick("a")
	plain.opened()
	plain.finish()
	s := service("a", 1)
	s.TLS = &model.BackendTLS{}
	w.apply(s)
	if !plain.ended {
		t.Error("a plain connection is kept for a TLS service")
	}
	if _, other := w.pick("a"); other == ep || other.dialer.(realTLS).host != "10.0.0.0" {
		t.Error("the endpoint is not dialled by TLS")
	}
}

func TestServiceWithoutEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 0))
	if conn, ep, why := w.cluster("a").Pick(w.loops[0], &Ask{}); conn != nil || ep != nil || why != observe.NoEndpoint {
		t.Errorf("got %v, %v, %q", conn, ep, why)
	}
}

func TestEndpointNamedTwiceAddsWeights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 2)
	s.Endpoints = append(s.Endpoints, s.Endpoints[0])
	w.apply(s)
	m := w.cluster("a").members
	if len(m) != 2 || m[0].weight != 2 || m[1].weight != 1 {
		t.Errorf("members %+v", m)
	}
}

func TestAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 2), service("b", 1))
	var tried Tried
	if !w.cluster("a").Another(&tried) {
		t.Error("nothing was tried and there is no other")
	}
	_, ep := w.pick("b")
	tried.Add(ep)
	_, ep = w.pick("a")
	tried.Add(ep)
	if !w.cluster("a").Another(&tried) || w.cluster("b").Another(&tried) {
		t.Error("one of two was tried, one of one was tried")
	}
	_, ep = w.pickOn(0, "a", &tried, false)
	if tried.Add(ep); w.cluster("a").Another(&tried) {
		t.Error("all were tried")
	}
}
