package model

import (
	"strings"
	"testing"
)

func TestNetworksThatCannotBe(t *testing.T) {
	t.Parallel()
	c := &Config{Mesh: &Mesh{Networks: []MeshNetwork{
		{"dc1", "198.51.100.1:15443"},
		{"dc1", "198.51.100.2:15443"},
		{"a b", "198.51.100.1:15443"},
		{"dc2", "198.51.100.1"},
		{"dc3", "host:0"},
		{"dc4", "not a host:1"},
		{"dc5", "gateways.dc5.example:15443"},
		{"dc6", "[2001:db8::1]:15443"},
	}}}
	out, problems := Validate(c)
	var names, told []string
	for _, n := range out.Mesh.Networks {
		names = append(names, n.Name)
	}
	for _, p := range problems {
		told = append(told, p.String())
	}
	if got := strings.Join(names, " "); got != "dc1 dc5 dc6" {
		t.Errorf("networks %s: %s", got, strings.Join(told, "\n"))
	}
	for i, want := range []string{"two gateways", `no network can be named "a b"`, "network dc2 is at", "network dc3 is at", "network dc4 is at"} {
		if len(told) != 5 || !strings.Contains(told[i], want) {
			t.Fatalf("problems %s, want %s", strings.Join(told, "\n"), want)
		}
	}
}
