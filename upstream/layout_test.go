package upstream

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// at is endpoints at a place, "network:region/zone", of a priority.
type at struct {
	place    string
	priority int
	count    int
}

// placed makes a service whose endpoints are at places.
func placed(l *model.Locality, list ...at) *model.Service {
	s := &model.Service{Name: "a", Balance: model.RoundRobin, Locality: l}
	for i, a := range list {
		network, rest, ok := strings.Cut(a.place, ":")
		if !ok {
			network, rest = "", a.place
		}
		place, _ := model.ParsePlace(rest)
		place.Network = network
		for n := range a.count {
			s.Endpoints = append(s.Endpoints, &model.Endpoint{Host: fmt.Sprintf("10.0.%d.%d", i, n), Port: 80, Place: place, Priority: a.priority})
		}
	}
	return s
}

func placedAt(region, zone string) func(*Env) {
	return func(e *Env) { e.Place = model.Place{Region: region, Zone: zone, Network: "dc1"} }
}

// sicken makes n of the endpoints of each list sick, and the others well.
func (w *world) sicken(sick ...int) {
	c := w.cluster("a")
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.members {
		ip := c.members[i].ep.Addr().Addr().As4()
		is := int(ip[2]) < len(sick) && int(ip[3]) < sick[ip[2]]
		if c.members[i].ep.sick.Swap(is) != is {
			c.changed(c.members[i].ep)
		}
	}
}

// shares picks n times and says which share each list got.
func (w *world) shares(n, lists int) (got []float64, each map[*Endpoint]int) {
	c := w.cluster("a")
	got, each = make([]float64, lists), map[*Endpoint]int{}
	for range n {
		ep := c.plan.Load().choose(&c.cursors[0], w.loops[0].Now(), &Ask{})
		each[ep]++
		got[ep.Addr().Addr().As4()[2]] += 1 / float64(n)
	}
	return got, each
}

func TestSharesOfTiers(t *testing.T) {
	t.Parallel()
	two := []at{{"", 0, 100}, {"", 1, 100}}
	zones := []at{{"eu/a", 0, 6}, {"eu/b", 0, 6}, {"eu/c", 0, 6}}
	far := []at{{"eu/a", 0, 3}, {"eu/b", 0, 3}, {"us/a", 0, 10}, {"dc2:eu/a", 0, 10}}
	region := &model.Locality{Prefer: model.PreferRegion}
	none := &model.Locality{Prefer: model.PreferNone}
	panic50 := &model.Locality{Panic: 50}
	for name, c := range map[string]struct {
		locality *model.Locality
		at       []at
		sick     []int
		want     []float64
		tiers    int
	}{
		"priority, all well":            {nil, two, []int{0, 0}, []float64{1, 0}, 2},
		"priority, 72% well":            {nil, two, []int{28, 0}, []float64{1, 0}, 2},
		"priority, 71% well":            {nil, two, []int{29, 0}, []float64{0.994, 0.006}, 2},
		"priority, 50% well":            {nil, two, []int{50, 0}, []float64{0.7, 0.3}, 2},
		"priority, 25% well":            {nil, two, []int{75, 0}, []float64{0.35, 0.65}, 2},
		"priority, none well":           {nil, two, []int{100, 0}, []float64{0, 1}, 2},
		"priority, too few of both":     {nil, two, []int{75, 75}, []float64{0.5, 0.5}, 2},
		"priority, nobody well":         {nil, two, []int{100, 100}, []float64{0.5, 0.5}, 2},
		"no over-provisioning":          {&model.Locality{Overprovisioning: 100}, two, []int{50, 0}, []float64{0.5, 0.5}, 2},
		"priorities with a gap":         {nil, []at{{"", 3, 10}, {"", 9, 10}}, []int{5, 0}, []float64{0.7, 0.3}, 2},
		"own zone":                      {nil, zones, nil, []float64{1, 0, 0}, 3},
		"half the own zone":             {nil, zones, []int{3}, []float64{0.7, 0.15, 0.15}, 3},
		"spill to where there is room":  {nil, zones, []int{3, 2}, []float64{0.7, 0, 0.3}, 3},
		"own zone down":                 {nil, zones, []int{6}, []float64{0, 0.5, 0.5}, 3},
		"only the own zone":             {nil, zones, []int{5, 6, 6}, []float64{1, 0, 0}, 3},
		"own zone, nobody well":         {nil, zones, []int{6, 6, 6}, []float64{1, 0, 0}, 3},
		"a small zone, nobody well":     {nil, []at{{"eu/a", 0, 1}, {"eu/b", 0, 9}}, []int{1, 9}, []float64{0.28, 0.72}, 2},
		"regions, nobody well":          {nil, far, []int{3, 3, 10, 10}, []float64{6.0 / 26, 0, 10.0 / 26, 10.0 / 26}, 4},
		"prefer region":                 {region, zones, []int{3}, []float64{3.0 / 15, 6.0 / 15, 6.0 / 15}, 1},
		"prefer none":                   {none, zones, nil, []float64{1.0 / 3, 1.0 / 3, 1.0 / 3}, 1},
		"too few for zones":             {nil, []at{{"eu/a", 0, 2}, {"eu/b", 0, 3}}, nil, []float64{0.4, 0.6}, 1},
		"few, and zones all the same":   {&model.Locality{MinEndpoints: 1}, []at{{"eu/a", 0, 1}, {"eu/b", 0, 1}}, nil, []float64{1, 0}, 2},
		"a small own zone":              {nil, []at{{"eu/a", 0, 1}, {"eu/b", 0, 9}}, nil, []float64{0.28, 0.72}, 2},
		"no endpoint in our zone":       {nil, []at{{"eu/b", 0, 6}, {"eu/c", 0, 2}}, nil, []float64{0.75, 0.25}, 1},
		"no zone at some":               {nil, []at{{"eu/a", 0, 6}, {"", 0, 6}}, []int{3, 0}, []float64{0.7, 0.3}, 2},
		"zones without a region":        {nil, []at{{"a", 0, 6}, {"b", 0, 6}}, nil, []float64{1, 0}, 2},
		"other regions, networks":       {nil, far, nil, []float64{1, 0, 0, 0}, 4},
		"own zone down, region stays":   {nil, far, []int{3}, []float64{0, 0.7, 0.3, 0}, 4},
		"region down":                   {nil, far, []int{3, 3}, []float64{0, 0, 1, 0}, 4},
		"region down, the other half":   {nil, far, []int{3, 3, 5}, []float64{0, 0, 0.7, 0.3}, 4},
		"only the other network":        {nil, far, []int{3, 3, 10}, []float64{0, 0, 0, 1}, 4},
		"another network":               {nil, []at{{"dc2:eu/a", 0, 6}, {"dc1:eu/b", 0, 6}}, nil, []float64{0, 1}, 2},
		"distance does not count":       {none, far, nil, []float64{3.0 / 26, 3.0 / 26, 10.0 / 26, 10.0 / 26}, 1},
		"priority before distance":      {nil, []at{{"us/a", 0, 10}, {"eu/a", 1, 10}}, []int{5}, []float64{0.7, 0.3}, 2},
		"a zone of a second priority":   {nil, []at{{"eu/a", 0, 6}, {"eu/a", 1, 6}, {"eu/b", 1, 6}}, []int{6}, []float64{0, 1, 0}, 3},
		"panic: others carry it":        {panic50, two, []int{90, 0}, []float64{0.14, 0.86}, 2},
		"panic: of both a few are well": {panic50, two, []int{75, 90}, []float64{0.35 / 0.49, 0.14 / 0.49}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, placedAt("eu", "a"))
			w.apply(placed(c.locality, c.at...))
			w.sicken(c.sick...)
			const picks = 20_000
			got, each := w.shares(picks, len(c.at))
			for i := range got {
				if math.Abs(got[i]-c.want[i]) > 0.002 {
					t.Fatalf("shares %.3f, want %.3f", got, c.want)
				}
			}
			// Within a tier everyone has the same, to the last request and a few.
			panics := strings.Contains(name, "panic: of both") || strings.Contains(name, "nobody")
			for _, m := range w.cluster("a").members {
				ip := m.ep.Addr().Addr().As4()
				sick := int(ip[2]) < len(c.sick) && int(ip[3]) < c.sick[ip[2]]
				if sick && !panics {
					if each[m.ep] > 0 {
						t.Errorf("%s is not well and was chosen %d times", m.ep.Addr(), each[m.ep])
					}
					continue
				}
				usable := c.at[ip[2]].count
				if !panics && int(ip[2]) < len(c.sick) {
					usable -= c.sick[ip[2]]
				}
				if want := picks * c.want[ip[2]] / float64(usable); math.Abs(float64(each[m.ep])-want) > 3+want/50 {
					t.Errorf("%s was chosen %d times, want %.0f", m.ep.Addr(), each[m.ep], want)
				}
			}
			var st ServiceStats
			w.cluster("a").stats(&st)
			load, well, total := 0.0, 0, 0
			for _, tier := range st.Tiers {
				load, well, total = load+tier.Load, well+tier.Healthy, total+tier.Total
				if tier.Panics != panics {
					t.Errorf("a tier panics: %v", tier.Panics)
				}
			}
			sick := 0
			for _, n := range c.sick {
				sick += n
			}
			if math.Abs(load-1) > 1e-9 || total != len(st.Endpoints) || well != total-sick || len(st.Tiers) != c.tiers {
				t.Errorf("tiers %+v", st.Tiers)
			}
		})
	}
}

// The proxy itself may be anywhere, and where it is not known nothing is near.
func TestPlaceIsNotKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(placed(nil, at{"eu/a", 0, 6}, at{"us/b", 0, 6}, at{"dc2:eu/a", 0, 6}))
	if got, _ := w.shares(3000, 3); math.Abs(got[0]-got[1]) > 0.005 || math.Abs(got[1]-got[2]) > 0.005 {
		t.Errorf("shares %v", got)
	}
	var st ServiceStats
	if w.cluster("a").stats(&st); st.OtherZone != 0 || len(st.Tiers) != 1 {
		t.Errorf("%+v", st)
	}
}

func TestAnotherTierWhereThisHasNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, placedAt("eu", "a"))
	w.apply(placed(&model.Locality{MinEndpoints: 1}, at{"eu/a", 0, 2}, at{"eu/b", 0, 2}, at{"", 1, 1}))
	c := w.cluster("a")
	var tried Tried
	order := ""
	for range 5 {
		if !c.Another(&tried) {
			t.Fatal("there is no other")
		}
		_, ep, _ := c.Pick(w.loops[0], &Ask{Tried: &tried})
		if tried.Has(ep) {
			t.Fatal("one that was tried is chosen before one that was not")
		}
		tried.Add(ep)
		order += strconv.Itoa(int(ep.Addr().Addr().As4()[2]))
	}
	if order != "00112" || c.Another(&tried) {
		t.Errorf("tried %s, want the own zone, the other one, the second priority", order)
	}
	// One that stands aside is left for another zone, too.
	for _, m := range c.members[:2] {
		m.ep.connectFailed(w.loops[0].Now())
	}
	for range 20 {
		if _, ep, _ := c.Pick(w.loops[0], &Ask{}); ep.Addr().Addr().As4()[2] != 1 {
			t.Fatalf("%s was chosen", ep.Addr())
		}
	}
	w.loops[0].pass(time.Second)
	if _, ep, _ := c.Pick(w.loops[0], &Ask{}); ep.Addr().Addr().As4()[2] != 0 {
		t.Errorf("%s was chosen, and the own zone is usable again", ep.Addr())
	}
	var st ServiceStats
	if c.stats(&st); st.OtherZone != 22 { // of the second priority none says where it is
		t.Errorf("%d picks in other zones", st.OtherZone)
	}
}

func TestPanicIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(placed(&model.Locality{Panic: 30}, at{"", 0, 10}))
	c := w.cluster("a")
	stats := func() (st ServiceStats) {
		c.stats(&st)
		return st
	}
	pick := func() {
		for range 100 {
			c.Pick(w.loops[0], &Ask{})
		}
	}
	w.sicken(7)
	if pick(); stats().Panics != 0 || stats().Panicked != 0 || stats().Tiers[0].Panics {
		t.Errorf("with 30%% well: %+v", stats())
	}
	w.sicken(8)
	if pick(); stats().Panics != 1 || stats().Panicked != 80 || !stats().Tiers[0].Panics {
		t.Errorf("with 20%% well: %+v", stats())
	}
	w.sicken(10)
	if pick(); stats().Panics != 1 || stats().Panicked != 180 {
		t.Errorf("with nobody well: %+v", stats())
	}
	w.sicken(0)
	if pick(); stats().Panics != 1 || stats().Panicked != 180 || stats().Tiers[0].Panics {
		t.Errorf("with all well: %+v", stats())
	}
}

// In a large tier who is not well loses its rows, and nobody else does.
func TestHealthOfOneAmongMany(t *testing.T) {
	t.Parallel()
	for _, balance := range []model.Balance{model.RoundRobin, model.LeastRequest} {
		w := newWorld(t, 1)
		s := placed(nil, at{"", 0, 250}, at{"", 0, 250}, at{"", 0, 250}, at{"", 0, 250})
		s.Balance = balance
		w.apply(s)
		c := w.cluster("a")
		row := func() *row { return c.plan.Load().tiers[0].rows.at(600) }
		was := row()
		w.sicken(0, 0, 1)
		if row() != was {
			t.Error("rows were made anew that have nothing to do with it")
		}
		w.sicken(100)
		chosen := func() (n [4]int, sick int) {
			got, each := w.shares(20_000, 4)
			for i := range n {
				n[i] = int(math.Round(got[i] * 20_000))
			}
			for ep, k := range each {
				if ep.sick.Load() {
					sick += k
				}
			}
			return n, sick
		}
		if n, sick := chosen(); sick > 0 || n[0] < 2900 || n[0] > 3800 {
			t.Errorf("%s: chosen %v, %d times not well", balance, n, sick)
		}
		w.sicken(0)
		if n, _ := chosen(); n[0] < 4500 {
			t.Errorf("%s: those that are well again were chosen %d times", balance, n[0])
		}
		count := func() int { return c.plan.Load().tiers[0].count }
		w.sicken(250, 250)
		if _, sick := chosen(); sick > 0 || count() != 500 {
			t.Errorf("%s: %d times one that is not well was chosen, of %d", balance, sick, count())
		}
		w.sicken(250, 0)
		if count() != 750 {
			t.Errorf("%s: the tier has %d endpoints, and 750 are well", balance, count())
		}
		if n, sick := chosen(); sick > 0 || n[1] < 6000 {
			t.Errorf("%s: chosen %v, %d times not well", balance, n, sick)
		}
		w.sicken(1000, 1000, 1000, 1000)
		if n, sick := chosen(); count() != 1000 || sick != 20_000 {
			t.Errorf("%s: nobody is well, and %v were chosen", balance, n)
		}
		w.sicken(250, 250, 250, 249)
		if _, sick := chosen(); sick > 0 {
			t.Errorf("%s: one is well, and %d times another was chosen", balance, sick)
		}
	}
}

// A tier goes on where it was when the health of another changes, and when the
// configuration does.
func TestTiersGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, placedAt("eu", "a"))
	s := placed(nil, at{"eu/a", 0, 6}, at{"eu/b", 0, 6})
	w.apply(s)
	c := w.cluster("a")
	seen := map[*Endpoint]int{}
	for i := range 60 {
		_, ep, _ := c.Pick(w.loops[0], &Ask{})
		seen[ep]++
		w.sicken(0, i%2)
		if i%7 == 0 {
			s := *s
			s.MaxIdle = 1 + i
			w.apply(&s)
		}
	}
	for ep, n := range seen {
		if n != 10 {
			t.Errorf("%s was chosen %d times of 60", ep.Addr(), n)
		}
	}
}
