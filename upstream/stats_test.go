package upstream

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

func TestStatsTellServicesInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("b", 2)
	s.Endpoints[1].Weight = 7
	w.apply(s, service("c", 0), service("a", 1))
	var names []string
	w.set.Stats(func(st *ServiceStats) { names = append(names, st.Service) })
	if !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("services %v", names)
	}
	st := w.stats("b")
	if len(st.Endpoints) != 2 {
		t.Fatalf("endpoints %+v", st.Endpoints)
	}
	if e := st.Endpoints[1]; e.Host != "10.0.0.1" || e.Addr.String() != "10.0.0.1:80" || e.Weight != 7 || !e.Healthy || e.Counts != (Counts{}) {
		t.Errorf("endpoint %+v", e)
	}
}

func TestStatsAddUpLoopsAndEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.apply(service("a", 2))
	for l := range w.loops {
		for range 2 { // one on each endpoint
			c, _ := w.pickOn(l, "a", nil, false)
			c.opened()
			if l == 0 {
				c.finish()
			}
		}
	}
	w.pickOn(1, "a", nil, false) // opening
	st := w.stats("a")
	if want := (Counts{Active: 3, Opening: 1, Idle: 2, Open: 5, Picks: 5, Connects: 5}); st.Counts != want {
		t.Errorf("service %+v, want %+v", st.Counts, want)
	}
	for _, e := range st.Endpoints {
		if e.Idle != 1 || e.Open < 2 {
			t.Errorf("endpoint %+v", e)
		}
	}
}

// Counters of a service never go back, whatever becomes of its endpoints.
func TestStatsRememberRemovedEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for i := range 5 {
		s := service("a", 1)
		s.Endpoints[0].Port = uint16(1000 + i)
		w.apply(s)
		c, ep := w.pick("a")
		if i%2 == 0 {
			c.fail(refused(ep))
		} else {
			c.opened()
			c.finish()
		}
		st := w.stats("a")
		if st.Picks != uint64(i+1) || st.Failures[0] != uint64(i/2+1) {
			t.Errorf("after %d endpoints: %+v", i+1, st.Counts)
		}
	}
	w.apply(&model.Service{Name: "a"})
	if c := w.cluster("a"); w.stats("a").Open != 0 || len(c.leaving) != 0 {
		t.Errorf("%d endpoints still leaving, %+v", len(c.leaving), w.stats("a").Counts)
	}
}

// Which instance it is that fails, and how, is counted whether or not failure
// detection looks.
func TestStatsTellHowTriesWent(t *testing.T) {
	t.Parallel()
	for _, off := range []bool{false, true} {
		w := newWorld(t, 1)
		s := service("a", 1)
		s.Ejection, s.Balance = &model.Ejection{Off: off}, model.PeakEWMA
		w.apply(s)
		c := w.cluster("a")
		for _, r := range []Result{
			{Status: 200}, {Status: 404}, {Status: 503}, {Status: 200, GRPC: 14}, {Status: 501}, {Status: 429},
			{Outcome: Unreached}, {Outcome: Broken}, {Outcome: Late}, {Outcome: Abandoned}, {Status: 200}, {Outcome: Torn},
		} {
			k, ep := w.pick("a")
			k.opened()
			if r.GRPC == 0 {
				r.GRPC = -1
			}
			r.Took = 20 * time.Millisecond
			c.Tell(w.loops[0], ep, &r)
			k.finish()
		}
		st := w.stats("a")
		got := map[string]uint64{}
		st.Endpoints[0].Tries(func(how string, n uint64) { got[how] = n })
		want := map[string]uint64{"good": 3, "bad": 2, "busy": 1, "unreached": 1, "broken": 1, "late": 1, "torn": 1, "abandoned": 1}
		if !maps.Equal(got, want) {
			t.Errorf("ejection off %v: %v, want %v", off, got, want)
		}
		if l := st.Endpoints[0].Latency; l < 4*time.Millisecond || l > 6*time.Second {
			t.Errorf("a latency of %v", l)
		}
		st.Counts.Tries(func(how string, n uint64) {
			if n != want[how] {
				t.Errorf("of the service %s %d, want %d", how, n, want[how])
			}
		})
	}
}
