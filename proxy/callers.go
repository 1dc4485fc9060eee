package proxy

import (
	"sync"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// callers counts what is open at the inbound doors of the mesh by who calls:
// connections, and the tunnels in them. It locks, once for each of these.
type callers struct {
	mu   sync.Mutex
	open map[string]int
}

// enter counts one more, unless there are most already; 0 is no bound.
func (c *callers) enter(who string, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.open[who]
	if most > 0 && n >= most {
		return false
	}
	if c.open == nil {
		c.open = map[string]int{}
	}
	c.open[who] = n + 1
	return true
}

// leave ends what enter began.
func (c *callers) leave(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.open[who]; n > 1 {
		c.open[who] = n - 1
	} else {
		delete(c.open, who)
	}
}

// counted says whether a connection whose handshake is over may stay; Left ends
// that.
func (d *door) counted(e *entrance, p *wire.Peer) bool {
	first := e.listeners[0]
	if !first.bySNI() || d.worker.proxy.callers.enter(p.TLS.Identity, first.noun.Mesh.Callers) {
		return true
	}
	d.worker.proxy.opt.Registry.Refused(d.worker.index, observe.TooManyFromCaller)
	d.crowded(p.TLS.Identity, model.Inbound)
	return false
}

// Left is wire.Leaver's. Only callers of the mesh have an identity.
func (d *door) Left(p *wire.Peer) {
	if p.TLS != nil && p.TLS.Identity != "" {
		d.worker.proxy.callers.leave(p.TLS.Identity)
	}
}

// crowded tells who has too many connections open: a workload of this machine,
// or an identity.
func (d *door) crowded(who string, side model.MeshSide) {
	p := d.worker.proxy
	if p.tallies.crowded.Add(who, string(side)) {
		p.opt.Log.Warn("a caller has as many connections open as the mesh allows (mesh.connections); more are refused", "caller", who, "side", string(side))
	}
}
