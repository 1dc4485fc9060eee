package observe

import (
	"fmt"
	"strings"
	"testing"
)

// counted lists the samples of naru_grpc_requests_total.
func counted(g *Registry) string {
	var b strings.Builder
	g.Collect(func(f Family) {
		if f.Name == "naru_grpc_requests_total" {
			f.Each(func(s *Sample) { fmt.Fprintln(&b, strings.Join(s.Values, " "), s.Value) })
		}
	})
	return b.String()
}

// TestCalls counts allocations, so it does not run in parallel.
func TestCalls(t *testing.T) {
	g := NewRegistry(2)
	one, two := g.Calls("r", 0, 2), g.Calls("r", 1, 2)
	if g.Calls("r", 0, 2) != one {
		t.Error("a loop counts twice for a route")
	}
	one.Done([]byte("p.S/A"), GRPCOK)
	one.Done([]byte("p.S/A"), GRPCOK)
	two.Done([]byte("p.S/A"), GRPCOK)
	two.Done([]byte("p.S/A"), GRPCUnavailable)
	one.Done([]byte("p.S/B"), 99)
	one.Done([]byte("p.S/made-up"), GRPCUnimplemented)
	one.Done([]byte("p.S/A"), GRPCUnimplemented)                        // known already
	one.Done([]byte("p.S/C"), GRPCOK)                                   // one too many
	two.Done([]byte("nonsense"), GRPCOK)                                // no method
	two.Done([]byte("p.S/"+strings.Repeat("x", longestMethod)), GRPCOK) // too long
	want := `r other other OK 3
r other other UNIMPLEMENTED 1
r p.S A OK 3
r p.S A UNIMPLEMENTED 1
r p.S A UNAVAILABLE 1
r p.S B UNKNOWN 1
`
	if got := counted(g); got != want {
		t.Errorf("counted\n%s, want\n%s", got, want)
	}
	method := []byte("p.S/A")
	if n := testing.AllocsPerRun(100, func() { one.Done(method, GRPCOK) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	g.KeepCalls(func(route string) bool { return route == "r" })
	if counted(g) == "" {
		t.Error("the calls of a route that stays are gone")
	}
	g.KeepCalls(func(string) bool { return false })
	if got := counted(g); got != "" {
		t.Errorf("left %s", got)
	}
	for i := range 1000 {
		two.Done(fmt.Appendf(nil, "p.S/%d", i), GRPCOK)
	}
	if n := len(two.known); n > 4 {
		t.Errorf("%d methods are known", n)
	}
}
