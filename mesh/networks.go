package mesh

import (
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// networkDoor is the name of the Listener for what comes from other networks.
const networkDoor = "mesh/network"

// gate is the gateway of another network than the node's; ok is false where there
// is none, or the network is the node's own, or either is not known.
func (l *Lowering) gate(network string) (host string, port uint16, ok bool) {
	if network == "" || l.node.Network == "" || network == l.node.Network {
		return "", 0, false
	}
	return l.gatewayOf(network)
}

func (l *Lowering) gatewayOf(network string) (host string, port uint16, ok bool) {
	for i := range l.mesh.Networks {
		if n := &l.mesh.Networks[i]; n.Name == network {
			return n.At()
		}
	}
	return "", 0, false
}

// ways is what gate goes by, to be compared.
func (l *Lowering) ways() string {
	if len(l.mesh.Networks) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(l.node.Network)
	for _, n := range l.mesh.Networks {
		b.WriteString("\n" + n.Name + " " + n.Gateway)
	}
	return b.String()
}

// passage are the nouns that lead from a gateway to one port of a workload of its
// network.
type passage struct {
	flow    *model.Flow
	service *model.Service
}

// between makes what a gateway passes on for other networks: TLS for a workload of
// its own, which is not ended here. Whoever is not named so is not reached: it is no
// way to anything else.
func (l *Lowering) between() {
	_, port, ok := l.gatewayOf(l.node.Network)
	if !ok || !l.node.Serve || l.node.Network == "" {
		return
	}
	workloads := slices.DeleteFunc(slices.Clone(l.cfg.Workloads), func(w *model.Workload) bool {
		return w.Place.Network != l.node.Network || w.MeshPort == 0
	})
	slices.SortFunc(workloads, func(a, b *model.Workload) int { return strings.Compare(a.Name, b.Name) })
	l.out.Listeners = append(l.out.Listeners, keep(l, networkDoor, []any{port, l.node.Address, l.mesh.Origin.String()}, func() *model.Listener {
		return &model.Listener{Name: networkDoor, Address: l.node.Address, Port: port, Protocol: model.TLS, Passthrough: true, Limits: doorLimits, Origin: l.mesh.Origin}
	}))
	known := map[string]bool{}
	for _, w := range workloads {
		for i, p := range w.Ports {
			if slices.ContainsFunc(w.Ports[:i], func(o model.WorkloadPort) bool { return o.Port == p.Port }) {
				continue
			}
			name := networkDoor + "/" + l.sni(w, p.Port)
			if known[name] {
				continue // "orders.1" and "orders-1": the first is called so
			}
			known[name] = true
			made := keep(l, name, []any{w, l.mesh.Domain}, func() *passage {
				return &passage{
					flow: &model.Flow{
						Name: name, Parents: []string{networkDoor}, Hostnames: []string{l.sni(w, p.Port)},
						Backends: []model.Backend{{Service: name, Weight: 1}}, Order: model.Order{Name: name}, Origin: w.Origin,
						Subject: model.Subject{Namespace: w.Namespace},
					},
					service: &model.Service{
						Name: name, Endpoints: []*model.Endpoint{{Host: w.Address, Port: w.MeshPort, Place: w.Place}},
						// The other end watches the workload, and looks behind this.
						Ejection: &model.Ejection{Off: true}, Origin: w.Origin,
					},
				}
			})
			l.out.Flows = append(l.out.Flows, made.flow)
			l.out.Services = append(l.out.Services, made.service)
		}
	}
}
