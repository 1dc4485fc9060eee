package model

import (
	"slices"
	"strings"
	"testing"
)

func TestBoundsOfBalancing(t *testing.T) {
	t.Parallel()
	source := []HashKey{{Kind: HashSource}}
	for _, c := range []struct {
		s       Service
		problem string
		factor  int
		subset  int
	}{
		{Service{Balance: RingHash, Hash: source, HashBalanceFactor: 125}, "", 125, 0},
		{Service{Balance: RingHash, Hash: source, HashBalanceFactor: 100}, "gives an endpoint 100% of its share by keys; there is no bound", 0, 0},
		{Service{Balance: Maglev, Hash: source, HashBalanceFactor: 1001}, "write 101 to 1000", 0, 0},
		{Service{HashBalanceFactor: 125}, "service a bounds what an endpoint gets by keys, and is not balanced by them", 125, 0},
		{Service{SubsetSize: 20}, "", 0, 20},
		{Service{SubsetSize: -1}, "uses -1 endpoints; all are used", 0, 0},
		{Service{Balance: Maglev, Hash: source, SubsetSize: 20}, "service a is balanced by maglev and has a subset", 0, 0},
		{Service{Balance: Maglev, Hash: []HashKey{{HashCEL, "request.path"}}}, "", 0, 0},
		{Service{Balance: Maglev, Hash: []HashKey{{HashCEL, ""}, source[0]}}, "hashes a CEL expression that is empty", 0, 0},
		{Service{Balance: Maglev, Hash: []HashKey{{HashCEL, strings.Repeat("x", MostHashCode+1)}, source[0]}}, "longer than 1024 characters", 0, 0},
	} {
		c.s.Name, c.s.Endpoints = "a", []*Endpoint{{Host: "10.0.0.1", Port: 80}}
		out, problems := Validate(&Config{Services: []*Service{&c.s}})
		said := slices.ContainsFunc(problems, func(p Problem) bool {
			return c.problem != "" && strings.Contains(p.String(), c.problem) || c.problem == "" && strings.Contains(p.String(), "service a ")
		})
		if said != (c.problem != "") || out.Services[0].HashBalanceFactor != c.factor || out.Services[0].SubsetSize != c.subset {
			t.Errorf("%+v: factor %d, subset %d, %v; want %d, %d, %q", c.s, out.Services[0].HashBalanceFactor, out.Services[0].SubsetSize, problems, c.factor, c.subset, c.problem)
		}
	}
}
