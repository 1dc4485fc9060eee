package upstream

import (
	"time"
)

// What finds keys among many is made anew beside the loops, of all changes until
// then. In the meantime they go by what there was: an endpoint that is gone or
// not well is passed over, so that its keys go to the next of theirs, and one that
// has come gets requests without a key alone. On a ring that is where these keys
// stay; of a Maglev table some move once more.
//
// gathering is how long changes are gathered at least. Making a table takes no
// more than a tenth of a processor's time for a cluster, and no more than one of
// a Set is made at a time.
const (
	gathering = 100 * time.Millisecond
	restShare = 9
)

// gather has keys find other members after a while. With c.mu held.
func (c *Cluster) gather() {
	if c.gathers {
		return
	}
	c.gathers = true
	c.owner.launch(func() {
		timer := time.NewTimer(gathering)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-c.owner.ctx.Done():
				return
			}
			began := time.Now()
			if !c.gathered() {
				return
			}
			timer.Reset(max(gathering, restShare*time.Since(began)))
		}
	})
}

// gathered makes what finds keys anew where that is of other members, and says
// whether there were changes meanwhile.
func (c *Cluster) gathered() (again bool) {
	type wanted struct {
		stand
		keys *keyed
	}
	var list []wanted
	c.mu.Lock()
	for i := range c.layout.groups {
		if g := &c.layout.groups[i]; g.rekey {
			l := &c.layout.levels[g.level]
			list = append(list, wanted{stand{l.priority, l.distance, g.zone}, g.snapshot()})
		}
	}
	c.mu.Unlock()
	select {
	case c.owner.tables <- struct{}{}:
	case <-c.owner.ctx.Done():
		return false
	}
	for i := range list {
		if len(list[i].keys.eps) > 0 {
			list[i].keys.build()
		}
	}
	<-c.owner.tables
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return false
	}
	for i := range c.layout.groups {
		g := &c.layout.groups[i]
		l := &c.layout.levels[g.level]
		for _, w := range list {
			if w.stand != (stand{l.priority, l.distance, g.zone}) || g.keys == nil || w.keys.by != g.keys.by {
				continue
			}
			if len(w.keys.eps) > 0 {
				g.keys = w.keys
			}
			g.match()
			g.rekey = g.rekey && g.seats > 0
		}
		again = again || g.rekey
	}
	c.gathers = again
	c.publish()
	return again
}

// snapshot is what keys should find, its table not made yet.
func (g *group) snapshot() *keyed {
	k := &keyed{by: g.keys.by, eps: make([]keyedEndpoint, 0, g.seats)}
	for i := range g.members {
		if m := &g.members[i]; m.seated {
			k.eps = append(k.eps, keyedEndpoint{m.ep, m.ep.glance, m.weight})
			k.sum += uint64(m.weight)
		}
	}
	return k
}
