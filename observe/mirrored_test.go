package observe

import (
	"fmt"
	"strings"
	"testing"
)

// copies lists the samples of naru_mirrored_total.
func copies(g *Registry) string {
	var b strings.Builder
	g.Collect(func(f Family) {
		if f.Name == "naru_mirrored_total" {
			f.Each(func(s *Sample) { fmt.Fprintln(&b, strings.Join(s.Values, " "), s.Value) })
		}
	})
	return b.String()
}

// TestMirrored counts allocations, so it does not run in parallel.
func TestMirrored(t *testing.T) {
	g := NewRegistry(2)
	one, two := g.Mirrored("next", 0), g.Mirrored("next", 1)
	if g.Mirrored("next", 0) != one || g.Mirrored("other", 0) == one {
		t.Error("a loop counts twice for a service, or two services as one")
	}
	one.Answered(200)
	one.Answered(204)
	two.Answered(200)
	two.Answered(503)
	two.Answered(999)
	two.Answered(-1)
	one.Failed(Overloaded)
	one.Failed(Reasons) // there is no such
	one.GivenUp(Behind)
	two.GivenUp(Incomplete)
	want := `next 2xx 3
next 5xx 1
next behind 1
next incomplete 1
next internal 1
next none 2
next overloaded 1
`
	if got := copies(g); got != want {
		t.Errorf("counted\n%s, want\n%s", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { one.Answered(200); one.Failed(Overloaded); one.GivenUp(Behind) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	g.Keep(ScopeRoute, func(string) bool { return false })
	g.Keep(ScopeService, func(name string) bool { return name == "next" })
	if copies(g) == "" || g.mirrored["other"] != nil {
		t.Error("the copies of a service that stays are gone, or the others' are not")
	}
	g.Keep(ScopeService, func(string) bool { return false })
	one.Answered(200) // by a Program that drains
	if got := copies(g); got != "" {
		t.Errorf("left %s", got)
	}
}
