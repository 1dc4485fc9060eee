package model

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func rolling(change func(*Route)) *Config {
	c := &Config{
		Listeners: []*Listener{{Name: "l", Port: 80, Protocol: HTTP}},
		Routes: []*Route{{
			Name: "r0", Parents: []string{"l"}, Backends: []Backend{{Service: "a", Weight: 3}, {Service: "b", Weight: 7}},
			Rollout: &Rollout{Name: "r0", To: "b"},
		}},
	}
	for _, name := range []string{"a", "b", "c"} {
		c.Services = append(c.Services, &Service{Name: name, Endpoints: []*Endpoint{{Host: "10.0.0.1", Port: 80}}})
	}
	change(c.Routes[0])
	return c
}

// TestRolloutsThatCannotBe: the new version gets nothing, whatever its weight says,
// until somebody looks at how it does; where the rollout is broken, never.
func TestRolloutsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*Route)
		want   string // "" is no problem
		kept   bool
	}{
		{func(*Route) {}, "", true},
		{func(r *Route) { r.Rollout.To = "c" }, "to which the route does not lead", false},
		{func(r *Route) { r.Rollout.To = "" }, "leads to no service", false},
		{func(r *Route) { r.Rollout.Name = "" }, "has no name", false},
		{func(r *Route) { r.Backends[0].Weight = 0 }, "nothing to go back to", false},
		{func(r *Route) { r.Rollout.Steps = []RolloutStep{{Share: 2}, {Share: 1}} }, "has a step to 0.0001% after one to 0.0002%", false},
		{func(r *Route) { r.Rollout.Steps = []RolloutStep{{Share: 0}} }, "has a step to 0%", false},
		{func(r *Route) { r.Rollout.Steps = []RolloutStep{{Share: Million + 1}} }, "has a step to 100.0001%", false},
		{func(r *Route) { r.Rollout.Steps = []RolloutStep{{Share: 1, Hold: time.Millisecond}} }, "has a step that lasts 1ms", false},
		{func(r *Route) { r.Rollout.Steps = make([]RolloutStep, 101) }, "has 101 steps", false},
		{func(r *Route) { r.Rollout.Hold = -1 }, "has steps that last -1ns", false},
		{func(r *Route) { r.Rollout.MaxWait = -1 }, "waits up to -1ns", false},
		{func(r *Route) { r.Rollout.Success = Million }, "wants 100% of the requests to succeed", false},
		{func(r *Route) { r.Rollout.MinRequests = -1 }, "wants -1 requests a step", false},
		{func(r *Route) { r.Rollout.Latency = &RolloutLatency{Quantile: 100} }, "compares p100", false},
		{func(r *Route) { r.Rollout.Latency = &RolloutLatency{Ratio: 99} }, "faster than the baseline: 0.99x", false},
		{func(r *Route) { r.Rollout.Latency = &RolloutLatency{Ratio: 150, Most: time.Second} }, "both by a time and by the baseline", false},
		{func(r *Route) { r.Rollout.Latency = &RolloutLatency{Most: -1} }, "less than nothing", false},
		{func(r *Route) { r.Rollout.Success = Million * 99 / 10000 }, "goes back only where fewer than 0.99% of the new version's requests succeed", true},
		{func(r *Route) { r.Rollout.Steps = []RolloutStep{{Share: 1}} }, "ends at 0.0001%", true},
		{func(r *Route) { r.Rollout.MaxWait = 1 }, "waits no more than 1ns", true},
		{func(r *Route) {
			r.Timeouts.Backend, r.Rollout.Latency = time.Second, &RolloutLatency{Most: 2 * time.Second}
		}, "it never looks at it", true},
	} {
		good, problems := Validate(rolling(c.change))
		if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Message, c.want)) {
			t.Errorf("problems %v, want %q", problems, c.want)
			continue
		}
		r := good.Routes[0]
		if got := r.Backends[1].Weight; (r.Rollout != nil) != c.kept || got != 0 && c.want != "nothing to go back to" && c.want != "to which the route does not lead" && c.want != "leads to no service" {
			t.Errorf("%q: rollout %v, the new version has weight %d", c.want, r.Rollout, got)
		}
	}
}

// TestRolloutsOfOneName say the same; a run that the control plane has given
// weights is left as it is.
func TestRolloutsOfOneName(t *testing.T) {
	t.Parallel()
	c := rolling(func(r *Route) { r.Rollout.Run = "run" })
	twin := copied(c.Routes[0])
	twin.Name, twin.Matches = "r1", []Match{{PathKind: PathExact, Path: "/x"}}
	twin.Rollout = copied(twin.Rollout)
	c.Routes = append(c.Routes, twin)
	good, problems := Validate(c)
	if len(problems) > 0 || good.Routes[0] != c.Routes[0] || good.Routes[1] != twin {
		t.Fatalf("two routes of one rollout are not as they were: %v", problems)
	}
	twin.Rollout.Version = "another"
	good, problems = Validate(c)
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "has the name r0 of another one") || good.Routes[1].Rollout != nil || good.Routes[1].Backends[1].Weight != 0 {
		t.Errorf("%v, %+v", problems, good.Routes[1])
	}
}

// TestWeigh: the others keep their proportions, and all is a million.
func TestWeigh(t *testing.T) {
	t.Parallel()
	list := []Backend{{Service: "a", Weight: 1}, {Service: "new", Weight: 5}, {Service: "b", Weight: 2}, {Service: "c"}}
	for share, want := range map[int][]int{
		0:       {333333, 0, 666667, 0},
		10_000:  {330000, 10_000, 660000, 0},
		Million: {0, Million, 0, 0},
	} {
		var got []int
		for _, b := range Weigh(list, "new", share) {
			got = append(got, b.Weight)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", share, got, want)
		}
	}
	if list[1].Weight != 5 {
		t.Error("it was written to")
	}
}
