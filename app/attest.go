package app

import (
	"errors"
	"net/netip"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/identity/attest"
)

// attest says who a process is: by the cgroup or the network namespace that it
// is in, or by whom it was started.
func (n *node) attest(p identity.Process) ([]identity.ID, error) {
	w := attest.Of(n.inhabitants(), p.PID)
	if w == nil {
		return nil, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.locals[w.Name]; r != nil {
		return []identity.ID{r.id}, nil
	}
	return nil, nil // it has left meanwhile
}

// inhabitants is what tells the workloads' processes apart.
func (n *node) inhabitants() []attest.Workload {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]attest.Workload, 0, len(n.locals))
	for name, r := range n.locals {
		w := attest.Workload{Name: name, By: r.by, Unseen: r.unseen}
		if r.cage != nil {
			w.Cgroup, w.Netns = r.cage.Cgroup, r.cage.Netns
		}
		all = append(all, w)
	}
	return all
}

// lent says whether a connection to a port of a workload's own was made by it:
// what proxy asks.
func (g *gateway) lent(workload string, client, door netip.AddrPort) error {
	g.mu.Lock()
	n := g.node
	g.mu.Unlock()
	if n == nil {
		return errors.New("no workloads are served")
	}
	return n.callers.Check(n.inhabitants(), workload, client, door)
}
