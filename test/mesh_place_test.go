package test

import (
	"strings"
	"testing"
)

// TestMeshPlaces: where a machine was said to be, all know of its workloads; those
// of another network, to whose machines there is no way, are reached through its
// gateway.
func TestMeshPlaces(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	m.plane.mesh(strings.Replace(shopMesh, "mesh: {}", `mesh: {networks: {dc2: "10.77.0.1:15443"}}`, 1), "--control-listen", "10.77.0.1:15012", "--network", "dc2")
	for i, at := range [][2]string{{"eu/eu-1a", "dc1"}, {"eu/eu-1b", "dc2"}} {
		m.join(i, "--join", m.token("--node", m.at[i].name), "--zone", at[0], "--network", at[1])
	}
	a, b := m.at[0], m.at[1]
	a.ip("route add blackhole " + b.addr + "/32")
	b.perform([]string{"--service", "orders", "--port", "9102"}, "serve", "9102", "orders here")
	m.plane.serving("orders", 1)
	surfer := a.surfer()
	eventually(t, "another network's workload is known to be there", func() bool {
		return strings.Contains(m.nodes[0].page("/status"), `"dc2:eu/eu-1b"`)
	})
	eventually(t, "it is reached", func() bool { return callsOrders(surfer) })
}
