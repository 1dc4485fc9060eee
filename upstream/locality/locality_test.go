package locality

import (
	"math"
	"math/rand/v2"
	"testing"
)

// factor is what a service has of which nothing is said (model.DefaultOverprovisioning).
const factor = 1.4

// near says whether two lists of shares are the same within a percent, which is
// what the published tables are rounded to.
func near(a, b []float64) bool {
	for i := range a {
		if math.Abs(a[i]-b[i]) > 0.0101 {
			return false
		}
	}
	return len(a) == len(b)
}

func caps(pairs ...uint64) (list []Capacity) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, Capacity{pairs[i], pairs[i+1]})
	}
	return list
}

// The tables are those of Envoy's documentation, "Priority levels".
func TestLevels(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		levels  []Capacity
		want    []float64
		carried float64
	}{
		"all healthy":            {caps(100, 100, 100, 100), []float64{1, 0}, 1},
		"72%":                    {caps(72, 100, 100, 100), []float64{1, 0}, 1},
		"71%":                    {caps(71, 100, 100, 100), []float64{0.99, 0.01}, 1},
		"50%":                    {caps(50, 100, 100, 100), []float64{0.70, 0.30}, 1},
		"25%":                    {caps(25, 100, 100, 100), []float64{0.35, 0.65}, 1},
		"25% and 25%":            {caps(25, 100, 25, 100), []float64{0.50, 0.50}, 0.7},
		"0% and 100%":            {caps(0, 100, 100, 100), []float64{0, 1}, 1},
		"72%, 72%, 100%":         {caps(72, 100, 72, 100, 100, 100), []float64{1, 0, 0}, 1},
		"50%, 50%, 100%":         {caps(50, 100, 50, 100, 100, 100), []float64{0.70, 0.30, 0}, 1},
		"25%, 100%, 100%":        {caps(25, 100, 100, 100, 100, 100), []float64{0.35, 0.65, 0}, 1},
		"25%, 25%, 100%":         {caps(25, 100, 25, 100, 100, 100), []float64{0.35, 0.35, 0.30}, 1},
		"25%, 25%, 20%":          {caps(25, 100, 25, 100, 20, 100), []float64{0.357, 0.357, 0.286}, 0.98},
		"nothing":                {caps(0, 30, 0, 10), []float64{0.75, 0.25}, 0},
		"nothing anywhere":       {caps(0, 0), []float64{0}, 0},
		"an empty level between": {caps(50, 100, 0, 0, 5, 5), []float64{0.70, 0, 0.30}, 1},
		"one, and half of it":    {caps(50, 100), []float64{1}, 0.7},
	} {
		got, carried := Levels(nil, c.levels, factor)
		if !near(got, c.want) || math.Abs(carried-c.carried) > 0.001 {
			t.Errorf("%s: shares %.3f of %.2f, want %.3f of %.2f", name, got, carried, c.want, c.carried)
		}
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zones []Capacity
		want  []float64
	}{
		"even":                          {caps(3, 3, 3, 3, 3, 3), []float64{1, 0, 0}},
		"a third of the own is gone":    {caps(2, 3, 3, 3, 3, 3), []float64{0.933, 0.033, 0.033}},
		"two thirds of the own":         {caps(1, 3, 3, 3, 3, 3), []float64{0.467, 0.267, 0.267}},
		"all of the own":                {caps(0, 3, 3, 3, 3, 3), []float64{0, 0.5, 0.5}},
		"another zone has none":         {caps(3, 3, 0, 3, 3, 3), []float64{1, 0, 0}},
		"only the own is left":          {caps(1, 3, 0, 3, 0, 3), []float64{1, 0, 0}},
		"what is left is elsewhere":     {caps(1, 3, 2, 3, 3, 3), []float64{0.467, 0, 0.533}},
		"nobody has anything left":      {caps(1, 4, 2, 4, 1, 4), []float64{0.35, 0.433, 0.217}},
		"one here, nine there":          {caps(1, 1, 9, 9), []float64{0.28, 0.72}},
		"nine here, one there":          {caps(9, 9, 1, 1), []float64{1, 0}},
		"a zone without endpoints":      {caps(3, 3, 0, 0, 3, 3), []float64{1, 0, 0}},
		"no endpoints at all":           {caps(0, 0, 0, 0), []float64{0, 0}},
		"nothing is healthy anywhere":   {caps(0, 3, 0, 3), []float64{1, 0}},
		"twice as much as all others":   {caps(20, 20, 5, 5, 5, 5), []float64{1, 0, 0}},
		"less than the mean, all there": {caps(5, 5, 20, 20, 5, 5), []float64{0.70, 0.30, 0}},
	} {
		if got := Zones(nil, c.zones, 0, factor); !near(got, c.want) {
			t.Errorf("%s: shares %.3f, want %.3f", name, got, c.want)
		}
	}
}

// Whatever is healthy, shares are shares; and where callers are spread as they
// are taken to be, no zone's endpoints carry more than over-provisioning allows
// as long as all together could.
func TestShares(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 9))
	for range 2000 {
		zones := make([]Capacity, 2+rnd.IntN(4))
		for i := range zones {
			zones[i].Total = 1 + rnd.Uint64N(20)
			zones[i].Healthy = rnd.Uint64N(zones[i].Total + 1)
		}
		levels, carried := Levels(nil, zones, factor)
		if carried < 0 || carried > 1 {
			t.Fatalf("%v: %f is carried", zones, carried)
		}
		each := [][]float64{levels}
		for own := range zones {
			each = append(each, Zones(nil, zones, own, factor))
		}
		for _, shares := range each {
			sum := 0.0
			for _, s := range shares {
				if sum += s; s < 0 || math.IsNaN(s) {
					t.Fatalf("%v: shares %v", zones, shares)
				}
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("%v: shares %v", zones, shares)
			}
		}
		mean, short := 0.0, false
		for _, z := range zones {
			mean += float64(z.Total) / float64(len(zones))
		}
		spare, lack := 0.0, 0.0
		for _, z := range zones {
			can := factor * float64(z.Healthy) / mean
			spare += max(0, can-1)
			lack += max(0, 1-can)
		}
		short = lack > spare
		for i, z := range zones {
			load := 0.0
			for own := range zones {
				load += each[1+own][i]
			}
			if can := factor * float64(z.Healthy) / mean; !short && load > can+1e-9 {
				t.Fatalf("%v: zone %d gets %.3f and can carry %.3f", zones, i, load, can)
			}
		}
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at      Capacity
		percent int
		want    bool
	}{
		{Capacity{0, 10}, 0, false}, {Capacity{4, 10}, 50, true}, {Capacity{5, 10}, 50, false},
		{Capacity{9, 10}, 100, true}, {Capacity{10, 10}, 100, false}, {Capacity{0, 10}, -1, false}, {Capacity{0, 0}, 50, false},
	} {
		if got := c.at.Below(c.percent); got != c.want {
			t.Errorf("%v below %d%%: %v", c.at, c.percent, got)
		}
	}
}
