package upstream

import (
	"time"

	"github.com/naru-mesh/naru/upstream/ring"
)

// Sessions has the cluster find its endpoints by their tokens, from now on. It
// is for the time of compiling.
func (c *Cluster) Sessions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens.Load() == nil {
		c.retoken(true)
	}
}

// retoken notes the members' tokens; c.mu is held.
func (c *Cluster) retoken(first bool) {
	if !first && c.tokens.Load() == nil {
		return
	}
	list := make([]indexed, len(c.members))
	for i := range c.members {
		ep := c.members[i].ep
		list[i] = indexed{c.Token(ep), ep}
	}
	c.tokens.Store(newIndex(list))
}

// Token is a name of ep that tells its address to nobody who does not know it,
// the same on every proxy and after a restart. It is never 0. It is a hash, no
// secret: who knows the service's name and all addresses that can be may try
// them.
func (c *Cluster) Token(ep *Endpoint) uint64 { return max(ring.Mix(ep.key^c.salt), 1) }

// Knows says whether an endpoint of that token is there now.
func (c *Cluster) Knows(token uint64) bool {
	all := c.tokens.Load()
	return all != nil && all.find(token) != nil
}

// kept gives the endpoint of the request's session, nil where there is none or
// something speaks against it. Only current members can be named.
func (c *Cluster) kept(now time.Duration, a *Ask) *Endpoint {
	all := c.tokens.Load()
	if all == nil || a.Tried != nil && a.Tried.Only.IsValid() {
		return nil
	}
	ep := all.find(a.Session)
	if ep == nil || ep.out() || !ep.usable(now, a.Tried) {
		return nil
	}
	return ep
}
