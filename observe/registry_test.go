package observe

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// dump lists every sample as NAME{VALUES} VALUE.
func dump(g *Registry) (list []string) {
	g.Collect(func(f Family) {
		f.Each(func(s *Sample) {
			if s.Distribution != nil {
				list = append(list, fmt.Sprintf("%s{%s} %d", f.Name, strings.Join(s.Values, ","), s.Distribution.Total()))
				return
			}
			list = append(list, fmt.Sprintf("%s{%s} %v", f.Name, strings.Join(s.Values, ","), s.Value))
		})
	})
	return list
}

func TestCollect(t *testing.T) {
	t.Parallel()
	g := NewRegistry(2)
	for _, name := range []string{"b", "a"} {
		one := g.Traffic(ScopeService, name, 1)
		one.Begin()
		one.Done(&Record{Status: 503, BytesIn: 1, BytesOut: 2})
		one.Begin()
	}
	g.Traffic(ScopeRoute, "unused", 0)
	flow := g.Traffic(ScopeFlow, "f", 0)
	flow.Begin()
	flow.Moved(3, 4)
	flow.Begin()
	flow.Done(&Record{Scheme: "tcp"})
	g.Refused(0, NoRoute)
	g.Refused(1, NoRoute)
	g.Refused(99, Reasons) // neither such a loop nor such a reason
	g.Refused(0, ReasonNone)
	g.Func("naru_connections", "Replaced.", KindGauge, nil, func(func(float64, ...string)) { t.Error("the first Func was asked") })
	g.Func("naru_connections", "Open.", KindGauge, []string{"x", "y"}, func(emit func(float64, ...string)) {
		emit(1, "few")
		emit(2, "a", "b", "many")
	})
	want := []string{
		"naru_connections{few,} 1",
		"naru_connections{a,b} 2",
		"naru_flow_connection_duration_seconds{f} 1",
		"naru_flow_connections_active{f} 1",
		"naru_flow_connections_total{f} 1",
		"naru_flow_received_bytes_total{f} 3",
		"naru_flow_sent_bytes_total{f} 4",
		"naru_refused_total{no_route} 2",
		"naru_refused_total{internal} 1",
		"naru_service_request_bytes_total{a} 1",
		"naru_service_request_bytes_total{b} 1",
		"naru_service_request_duration_seconds{a} 1",
		"naru_service_request_duration_seconds{b} 1",
		"naru_service_requests_active{a} 1",
		"naru_service_requests_active{b} 1",
		"naru_service_requests_total{a,503} 1",
		"naru_service_requests_total{b,503} 1",
		"naru_service_response_bytes_total{a} 2",
		"naru_service_response_bytes_total{b} 2",
	}
	if got := dump(g); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTrafficIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	g := NewRegistry(0) // counts as one
	a := g.Traffic(ScopeRoute, "a", 0)
	if g.Traffic(ScopeRoute, "a", 0) != a {
		t.Error("another one the second time")
	}
	if g.Traffic(ScopeRoute, "a", 3) == a || g.Traffic(ScopeService, "a", 0) == a || g.Traffic(ScopeRoute, "b", 0) == a {
		t.Error("shared where it should not be")
	}
}

func TestKeepForgets(t *testing.T) {
	t.Parallel()
	g := NewRegistry(1)
	for _, s := range []Scope{ScopeRoute, ScopeService} {
		for _, name := range []string{"stays", "goes"} {
			g.Traffic(s, name, 0).Begin()
		}
	}
	held := g.Traffic(ScopeRoute, "goes", 0)
	g.Keep(ScopeRoute, func(name string) bool { return name == "stays" })
	held.Done(&Record{Status: 200}) // by a Program that drains
	for name, want := range map[string]uint64{"stays": 1, "goes": 0} {
		if s := g.Totals(ScopeRoute, name); s.Active != want {
			t.Errorf("%s: %d active", name, s.Active)
		}
	}
	if s := g.Totals(ScopeService, "goes"); s.Active != 1 {
		t.Error("a service went with the route")
	}
}

// TestReloadsDoNotGrowMemory names other routes 200 times over.
func TestReloadsDoNotGrowMemory(t *testing.T) {
	g := NewRegistry(2)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	reload := func(n int) {
		for i := range 200 {
			g.Traffic(ScopeRoute, fmt.Sprintf("%d/%d", n, i), i%2).Begin()
		}
		prefix := fmt.Sprintf("%d/", n)
		g.Keep(ScopeRoute, func(name string) bool { return strings.HasPrefix(name, prefix) })
	}
	reload(0)
	before := heap()
	for n := range 200 {
		reload(n + 1)
	}
	if after := heap(); after > before+before/2+256<<10 {
		t.Errorf("from %d to %d bytes", before, after)
	}
	runtime.KeepAlive(g)
}
