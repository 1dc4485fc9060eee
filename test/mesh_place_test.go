package test

import (
	"strings"
	"testing"
)

// TestMeshPlaces: where a machine was said to be, all know of its workloads.
func TestMeshPlaces(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.startControl(shopMesh)
	for i, zone := range []string{"eu/eu-1a", "eu/eu-1b"} {
		m.join(i, "--join", m.token("--node", m.at[i].name), "--zone", zone, "--network", "dc1")
	}
	for _, h := range m.at {
		h.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	}
	m.plane.serving("orders", 2)
	eventually(t, "each knows where the other's are", func() bool {
		a, b := m.nodes[0].page("/status"), m.nodes[1].page("/status")
		return strings.Contains(a, `"dc1:eu/eu-1b"`) && strings.Contains(b, `"dc1:eu/eu-1a"`)
	})
}
