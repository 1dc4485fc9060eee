package upstream

import (
	"net/netip"
	"sync/atomic"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/upstream/outlier"
	"github.com/naru-mesh/naru/upstream/ring"
)

// claim is an address that a target asks for.
type claim struct {
	t    *target
	addr netip.Addr
}

func (k claim) key(trust int) endpointKey {
	return endpointKey{netip.AddrPortFrom(k.addr, k.t.port), k.t.host, trust, k.t.peer, k.t.sni}
}

// claims appends those of t, of a name by the addresses in use.
func (t *target) claims(list []claim) []claim {
	if t.name == nil {
		return append(list, claim{t, t.addr.Unmap()})
	}
	for _, a := range t.used {
		list = append(list, claim{t, a})
	}
	return list
}

// adopt makes sp the cluster's spec.
func (c *Cluster) adopt(sp *spec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.spec.Swap(sp)
	var was *model.ServiceLimits
	if old != nil {
		was = old.service.Limits
	}
	c.gate.configure(was, sp.service.Limits)
	defer c.wakeAll()
	sp.succeed(old, c)
	c.rebudget(sp.service)
	if c.retired {
		sp.release(c)
		return
	}
	if old != nil && (!same(old.service.Health, sp.service.Health) || old.service.Host != sp.service.Host) {
		c.endChecks() // rebuild begins the new ones
	}
	c.targets = sp.place(c.targets)
	if old == nil || sp.base != old || !c.amend(sp, sp.gone, sp.come, nil) {
		c.rebuild()
	}
	sp.base, sp.hunks, sp.parts, sp.gone, sp.come = nil, nil, nil, nil, nil
}

// addressesChanged is called by the resolver: n has others.
func (c *Cluster) addressesChanged(n *name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sp := c.spec.Load()
	if c.retired || sp == nil {
		return
	}
	var changed []*target
	for _, x := range sp.named {
		if x.n == n && !x.t.current() {
			changed = append(changed, x.t)
		}
	}
	if len(changed) > 0 && !c.amend(sp, nil, nil, changed) {
		c.rebuild()
	}
}

// current says whether the addresses in use are those that the name has.
func (t *target) current() bool {
	now := t.name.addresses()
	return len(now) == len(t.used) && (len(now) == 0 || &now[0] == &t.used[0])
}

// rebuild makes the endpoints those of the spec and of its names' addresses, and
// all that is made of them.
func (c *Cluster) rebuild() {
	sp := c.spec.Load()
	kept := make(map[endpointKey]*Endpoint, len(c.targets))
	var members []member
	var claims []claim
	c.doubles = 0
	c.rebuilds++
	for _, t := range c.targets {
		if t.name != nil {
			t.used = t.name.addresses()
		}
		for _, k := range t.claims(claims[:0]) {
			key := k.key(sp.trust)
			ep := kept[key]
			if ep != nil { // named twice: the weights add up
				m := &members[ep.index]
				m.weight = min(m.weight+t.weight, maxWeight)
				c.doubles++
				continue
			}
			if ep = c.endpoints[key]; ep == nil {
				ep = c.newEndpoint(t, &key)
			}
			kept[key] = ep
			ep.index = len(members)
			members = append(members, memberOf(ep, t))
		}
	}
	var removed []*Endpoint
	for key, ep := range c.endpoints {
		if kept[key] == nil {
			removed = append(removed, ep)
		}
	}
	c.endpoints, c.members = kept, members
	c.watching = make([]*outlier.Endpoint, len(members))
	for i := range members {
		c.watching[i] = members[i].ep.state
	}
	c.detect()
	c.retoken(false)
	c.lay()
	c.publish()
	c.remove(removed)
	c.startChecks()
}

func memberOf(ep *Endpoint, t *target) member {
	return member{ep: ep, weight: t.weight, standby: t.standby, of: t}
}

func (c *Cluster) newEndpoint(t *target, key *endpointKey) *Endpoint {
	ep := &Endpoint{
		addr: key.addr, host: t.host, name: t.name, dialer: t.dialer, raw: t.raw, codec: t.codec,
		watched: watched{cluster: c, state: &outlier.Endpoint{}},
		pools:   make([]atomic.Pointer[pool], len(c.owner.loops)),
		spot:    -1,
		glance:  newGlance(len(c.targets)),
	}
	ep.state.Of = ep
	ep.at = netip.AddrPortFrom(key.addr.Addr().Unmap(), key.addr.Port())
	if at, err := netip.ParseAddrPort(t.inner); err == nil {
		ep.at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	ep.key = ring.Sum(ep.at.AppendTo(nil))
	if len(c.endpoints) > 0 { // those that the service begins with have no others to rely on
		ep.warm(fromFirstLook)
	}
	if t.peer != "" {
		ep.tunnels, ep.inner, ep.peer = c.owner.env.Tunnels, t.inner, t.peer
	}
	return ep
}

// mostAmended is which part of the members, one in so many, a change may be of
// that is not made by making everything anew.
const mostAmended = 16

// amend makes the endpoints those of sp where few are others than before: the
// claims of targets that are gone and have come, and of names whose addresses
// have changed. It looks at nothing else, and says whether that was enough: the
// order of many members is of no matter, of few it is that of the configuration.
func (c *Cluster) amend(sp *spec, gone, come []*target, names []*target) bool {
	if len(c.members) < manyMembers || c.doubles > 0 || c.layout.setting != sp.layoutSetting() {
		return false
	}
	var less, more []claim
	for _, t := range gone {
		less = t.claims(less)
	}
	for _, t := range names {
		now := t.name.addresses()
		for _, h := range model.Hunks(t.used, now, nil) {
			for _, a := range t.used[h.A:h.B] {
				less = append(less, claim{t, a})
			}
			for _, a := range now[h.C:h.D] {
				more = append(more, claim{t, a})
			}
		}
		t.used = now
	}
	for _, t := range come {
		if t.name != nil {
			t.used = t.name.addresses()
		}
		more = t.claims(more)
	}
	less, more = differing(less, more)
	if len(less)+len(more) > len(c.members)/mostAmended {
		return false
	}
	// Nothing is changed before it is known that all can be.
	out := make(map[endpointKey]*Endpoint, len(less))
	for _, k := range less {
		key := k.key(sp.trust)
		ep := c.endpoints[key]
		if ep == nil || out[key] != nil {
			return false
		}
		out[key] = ep
	}
	in := make(map[endpointKey]bool, len(more))
	for _, k := range more {
		key := k.key(sp.trust)
		if in[key] || c.endpoints[key] != nil && out[key] == nil {
			return false // named twice
		}
		in[key] = true
	}
	if !c.fits(less, more, sp) {
		return false
	}
	var came, left, removed []*Endpoint
	for _, k := range less {
		ep := out[k.key(sp.trust)]
		c.takeOut(ep)
		if !in[k.key(sp.trust)] {
			delete(c.endpoints, k.key(sp.trust))
			removed, left = append(removed, ep), append(left, ep)
		}
	}
	for _, k := range more {
		key := k.key(sp.trust)
		ep := out[key]
		if ep == nil {
			ep = c.newEndpoint(k.t, &key)
			c.endpoints[key] = ep
			came = append(came, ep)
		}
		c.putIn(ep, k.t, &sp.near)
	}
	c.detect()
	if all := c.tokens.Load(); all != nil {
		c.tokens.Store(all.change(c.byToken(left), c.byToken(came)))
	}
	if c.layout.at != nil {
		c.layout.at = c.layout.at.change(byAddress(left), byAddress(came))
	}
	c.publish()
	c.remove(removed)
	for _, ep := range came {
		c.startCheck(ep)
	}
	return true
}

// differing leaves out what both lists have, of the same target.
func differing(less, more []claim) (_, _ []claim) {
	if len(less) == 0 || len(more) == 0 {
		return less, more
	}
	both := make(map[claim]bool, len(less))
	for _, k := range less {
		both[k] = false
	}
	rest := more[:0]
	for _, k := range more {
		if _, is := both[k]; is {
			both[k] = true
			continue
		}
		rest = append(rest, k)
	}
	kept := less[:0]
	for _, k := range less {
		if !both[k] {
			kept = append(kept, k)
		}
	}
	return kept, rest
}

// fits says whether the groups stay what they are when claims go and come: none
// is new, none is empty, and none is split.
func (c *Cluster) fits(less, more []claim, sp *spec) bool {
	type zone struct {
		level int
		name  string
	}
	change := map[zone]int{}
	for i, list := range [...][]claim{less, more} {
		for _, k := range list {
			l := c.layout.levelOf(c.standOf(&sp.near, k.t))
			if l < 0 {
				return false
			}
			change[zone{l, k.t.place.Zone}] += 2*i - 1
		}
	}
	counts := map[int]int{}
	for z, n := range change {
		if counts[z.level] += n; c.layout.levels[z.level].zones[z.name] == 0 || c.layout.levels[z.level].zones[z.name]+n <= 0 {
			return false
		}
	}
	for i, n := range counts {
		l := &c.layout.levels[i]
		k := stand{priority: l.priority, distance: l.distance}
		if sp.near.splits(k, l.zones, l.count+n, c.owner.env.Place.Zone) != (l.own >= 0) {
			return false
		}
	}
	return true
}

// levelOf is the number of a level, -1 where there is none.
func (l *layout) levelOf(k stand) int {
	for i := range l.levels {
		if v := &l.levels[i]; v.priority == k.priority && v.distance == k.distance {
			return i
		}
	}
	return -1
}

// takeOut takes a member away.
func (c *Cluster) takeOut(ep *Endpoint) {
	l := &c.layout
	g := &l.groups[ep.group]
	v := &l.levels[g.level]
	v.count--
	v.zones[g.members[ep.row].of.place.Zone]--
	g.leave(ep.row, v.panics)
	l.forget(ep)
	last := len(c.members) - 1
	i := ep.index
	c.members[i], c.watching[i] = c.members[last], c.watching[last]
	c.members[i].ep.index = i
	c.members[last], c.watching[last] = member{}, nil
	c.members, c.watching = c.members[:last], c.watching[:last]
}

// putIn adds a member, as t says.
func (c *Cluster) putIn(ep *Endpoint, t *target, near *nearness) {
	l := &c.layout
	m := memberOf(ep, t)
	ep.index = len(c.members)
	c.members, c.watching = append(c.members, m), append(c.watching, ep.state)
	v := &l.levels[l.levelOf(c.standOf(near, t))]
	v.count++
	v.zones[t.place.Zone]++
	group := v.first
	if v.own >= 0 {
		for l.groups[group].zone != t.place.Zone {
			group++
		}
	}
	c.settle(l, group, &m)
	g := &l.groups[group]
	i := g.join(m)
	ep.ill.Store(!m.well)
	ep.skipped(!m.well && !v.panics)
	g.reseat(i, v.panics)
}

func byAddress(eps []*Endpoint) (list []indexed) {
	for _, ep := range eps {
		list = append(list, indexed{addressHash(ep.at), ep})
	}
	return list
}

func (c *Cluster) byToken(eps []*Endpoint) (list []indexed) {
	for _, ep := range eps {
		list = append(list, indexed{c.Token(ep), ep})
	}
	return list
}
