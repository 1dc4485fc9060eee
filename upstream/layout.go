package upstream

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/locality"
)

// nearness is a model.Locality, defaults filled in.
type nearness struct {
	prefer       model.Nearness
	minEndpoints int
	factor       float64 // of over-provisioning
	panic        int     // percent
}

func nearnessOf(svc *model.Service) nearness {
	l := svc.Locality
	if l == nil {
		l = &model.Locality{}
	}
	return nearness{
		prefer:       cmp.Or(l.Prefer, model.PreferZone),
		minEndpoints: cmp.Or(l.MinEndpoints, model.DefaultMinEndpoints),
		factor:       float64(cmp.Or(l.Overprovisioning, model.DefaultOverprovisioning)) / 100,
		panic:        l.Panic,
	}
}

// layout is how the members of a cluster stand: levels in the order in which
// they are tried, each of one or several groups, of which every one becomes a
// tier. Members make it; health changes its sums alone, and only the tier of
// the group that it has changed in is made anew. Guarded by the cluster's mutex.
type layout struct {
	levels []level
	groups []group // of the first level, then of the second
	at     *index  // by addresses; nil but in the mesh
	// waiting are those that are ejected and may be probed.
	waiting []*Endpoint
	setting layoutSetting
}

// layoutSetting is what of a spec decides how members stand.
type layoutSetting struct {
	near    nearness
	balance balance
	subset  int
	trust   int
	mesh    bool
	broken  bool
}

func (sp *spec) layoutSetting() layoutSetting {
	return layoutSetting{
		near: sp.near, balance: sp.set.balance, subset: sp.set.subset, trust: sp.trust, broken: sp.err != nil,
		mesh: sp.err == nil && len(sp.service.Endpoints) > 0 && sp.service.Endpoints[len(sp.service.Endpoints)-1].Authority != "",
	}
}

// level is what is tried at the same time: the members of one priority that are
// equally far, where the own zone and the rest of the region count as one.
type level struct {
	priority    int
	distance    model.Distance // of the nearest: InRegion, unless zones do not count
	first, last int            // its groups; last is one more
	// own is the group of our own zone, -1 where zones are not told apart.
	own    int
	panics bool
	share  float64
	zones  map[string]int // members, by zone
	count  int            // members
}

// mostZones bounds the zones of a region that are told apart.
const mostZones = 64

// stand is which level a member is of, by what it has in common with others.
type stand struct {
	priority int
	distance model.Distance
	zone     string // of a group
}

func (c *Cluster) standOf(near *nearness, t *target) stand {
	k := stand{priority: t.priority}
	if near.prefer != model.PreferNone {
		k.distance = max(c.owner.env.Place.To(t.place), model.InRegion)
	}
	return k
}

// splits says whether a level of count members in zones has a group for each.
func (near *nearness) splits(k stand, zones map[string]int, count int, here string) bool {
	return k.distance == model.InRegion && near.prefer == model.PreferZone && count >= near.minEndpoints &&
		here != "" && zones[here] > 0 && len(zones) > 1 && len(zones) <= mostZones
}

// lay makes the layout of the members. With c.mu held.
func (c *Cluster) lay() {
	sp := c.spec.Load()
	near, here := &sp.near, c.owner.env.Place
	type kept struct {
		cursors []cursor
		keys    *keyed
	}
	old := make(map[stand]kept, len(c.layout.groups))
	for i := range c.layout.groups {
		g := &c.layout.groups[i]
		l := &c.layout.levels[g.level]
		old[stand{l.priority, l.distance, g.zone}] = kept{g.cursors, g.keys}
	}
	byLevel := map[stand][]member{}
	for i := range c.members {
		k := c.standOf(near, c.members[i].of)
		byLevel[k] = append(byLevel[k], c.members[i])
	}
	keys := make([]stand, 0, len(byLevel))
	for k := range byLevel {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b stand) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.distance, b.distance))
	})
	next := layout{setting: sp.layoutSetting()}
	for _, k := range keys {
		members := byLevel[k]
		l := level{priority: k.priority, distance: k.distance, first: len(next.groups), own: -1, zones: map[string]int{}, count: len(members)}
		for i := range members {
			l.zones[members[i].of.place.Zone]++
		}
		zones := map[string][]member{"": members}
		if near.splits(k, l.zones, l.count, here.Zone) {
			zones, l.own = byZone(members), l.first
		}
		names := make([]string, 0, len(zones))
		for zone := range zones {
			names = append(names, zone)
		}
		slices.SortFunc(names, func(a, b string) int { // the own zone is the first
			if own := l.own >= 0 && (a == here.Zone) != (b == here.Zone); own && a == here.Zone {
				return -1
			} else if own {
				return 1
			}
			return cmp.Compare(a, b)
		})
		for i, zone := range names {
			k.zone = zone
			g := group{
				level: len(next.levels), zone: zone, own: l.own >= 0 && i == 0, stale: true,
				cursors: old[k].cursors, keys: old[k].keys, subset: sp.set.subset, salt: c.owner.salt,
				members: make([]member, 0, len(zones[zone])),
			}
			if g.cursors == nil {
				g.cursors = c.owner.newCursors(c.name + " " + strconv.Itoa(k.priority) + " " + k.distance.String() + " " + zone)
			}
			for _, m := range zones[zone] {
				c.settle(&next, len(next.groups), &m)
				g.join(m)
			}
			next.groups = append(next.groups, g)
		}
		l.last = len(next.groups)
		next.levels = append(next.levels, l)
	}
	if next.setting.mesh {
		list := make([]indexed, len(c.members))
		for i := range c.members {
			ep := c.members[i].ep
			list[i] = indexed{addressHash(ep.at), ep}
		}
		next.at = newIndex(list)
	}
	c.layout = next
}

// settle tells a member where it is in the layout, but for its row.
func (c *Cluster) settle(l *layout, group int, m *member) {
	here := c.owner.env.Place
	m.ep.group = group
	far := here.To(m.of.place)
	m.ep.outside = far > model.InRegion || far == model.InRegion && here.Zone != "" && m.of.place.Zone != ""
	m.well = m.alive()
	m.ep.waits = false
	l.wait(m.ep)
}

// wait takes over whether ep may be probed, and says whether that is new.
func (l *layout) wait(ep *Endpoint) bool {
	waits := ep.due.Load() != 0 && !ep.sick.Load()
	if waits == ep.waits {
		return false
	}
	if ep.waits = waits; waits {
		l.waiting = append(l.waiting, ep)
	} else if i := slices.Index(l.waiting, ep); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return true
}

// forget takes ep off what may be probed.
func (l *layout) forget(ep *Endpoint) {
	if i := slices.Index(l.waiting, ep); ep.waits && i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	ep.waits = false
}

// byZone sorts members by where they are.
func byZone(members []member) map[string][]member {
	zones := map[string][]member{}
	for _, m := range members {
		zones[m.of.place.Zone] = append(zones[m.of.place.Zone], m)
	}
	return zones
}

// changed takes over how ep is: nothing but its own group is looked at. With
// c.mu held.
func (c *Cluster) changed(ep *Endpoint) {
	if c.layout.note(ep) {
		c.publish()
	}
}

// note takes over how ep is, and says whether that is new.
func (l *layout) note(ep *Endpoint) bool {
	if ep.group >= len(l.groups) {
		return false
	}
	g := &l.groups[ep.group]
	if ep.row >= len(g.members) || g.members[ep.row].ep != ep {
		return false // removed
	}
	m := &g.members[ep.row]
	waits, well := l.wait(ep), m.alive()
	if m.well == well {
		return waits
	}
	m.well = well
	if well {
		g.weight.Healthy += uint64(m.weight)
		g.well++
	} else {
		g.weight.Healthy -= uint64(m.weight)
		g.well--
	}
	panics := l.levels[g.level].panics
	ep.ill.Store(!well)
	ep.skipped(!well && !panics)
	g.turn(ep)
	g.reseat(ep.row, panics)
	return true
}

// publish makes the plan of the layout. With c.mu held.
func (c *Cluster) publish() {
	sp := c.spec.Load()
	none := observe.NoEndpoint
	if sp.err != nil {
		none = observe.UpstreamTLS
	}
	l := &c.layout
	l.shares(&sp.near)
	p := &plan{set: sp.set, none: none, at: l.at}
	if len(l.waiting) > 0 {
		p.out = &ejected{eps: slices.Clone(l.waiting)}
	}
	p.tiers = make([]tier, 0, len(l.groups))
	var shares []float64
	var cursors [][]cursor
	for i := range l.groups {
		g := &l.groups[i]
		panics := l.levels[g.level].panics
		if g.stale {
			g.build(panics, sp.set)
		}
		if g.rekey {
			c.gather()
		}
		for _, ep := range g.turned {
			c.recheck(ep)
		}
		g.turned = g.turned[:0]
		if g.seats == 0 {
			continue
		}
		p.tiers = append(p.tiers, g.tier())
		p.count += g.seats
		p.panics = p.panics || panics && g.well < len(g.members)
		shares, cursors = append(shares, g.share), append(cursors, g.cursors)
	}
	if len(p.tiers) > 1 {
		p.cursors = cursors
		p.upto = make([]uint64, len(shares))
		sum, last := 0.0, 0
		for i, s := range shares {
			if sum += s; s > 0 {
				last = i
			}
			p.upto[i] = min(uint64(sum*(1<<32)), 1<<32)
		}
		for i := last; i < len(shares); i++ { // what rounding has left
			p.upto[i] = 1 << 32
		}
	}
	p.single()
	now := l.panicking()
	if now && !c.panicked {
		c.panics++
	}
	if now != c.panicked && l.at == nil { // of the mesh each caller has a cluster: who does not serve is told by its node
		log := c.owner.env.Log.With("service", c.name)
		if now {
			log.Warn("too few endpoints are healthy: all are used, healthy or not")
		} else {
			log.Info("enough endpoints are healthy again")
		}
	}
	c.panicked = now
	c.plan.Store(p)
}

// panicking says whether any level uses what is not well.
func (l *layout) panicking() bool {
	return slices.ContainsFunc(l.levels, func(l level) bool { return l.panics })
}

// shares says what each level and each group gets, and who panics.
func (l *layout) shares(near *nearness) {
	caps := make([]locality.Capacity, len(l.levels), len(l.levels)+len(l.groups))
	none := true
	for i := range l.groups {
		g := &l.groups[i]
		caps[g.level].Healthy += g.weight.Healthy
		caps[g.level].Total += g.weight.Total
		none = none && g.well == 0
	}
	shares, carried := locality.Levels(nil, caps, near.factor)
	for i := range l.levels {
		v := &l.levels[i]
		v.share = shares[i]
		// Where nobody is well all are chosen: a wrong health check must not stop
		// a service that may work.
		panics := none || carried < 1 && caps[i].Below(near.panic)
		if panics != v.panics {
			v.panics = panics
			for k := v.first; k < v.last; k++ {
				g := &l.groups[k]
				g.stale = g.stale || g.well < len(g.members) // others may be chosen
			}
		}
	}
	for i := range l.levels {
		v := &l.levels[i]
		if v.own < 0 {
			l.groups[v.first].share = v.share
			continue
		}
		zones := caps[len(l.levels):len(l.levels)]
		for k := v.first; k < v.last; k++ {
			z := l.groups[k].weight
			if v.panics {
				z.Healthy = z.Total
			}
			zones = append(zones, z)
		}
		for k, s := range locality.Zones(nil, zones, v.own-v.first, near.factor) {
			l.groups[v.first+k].share = s * v.share
		}
	}
}

// stats appends the figures of each group.
func (l *layout) stats(list []TierStats) []TierStats {
	for i := range l.groups {
		g := &l.groups[i]
		v := &l.levels[g.level]
		t := TierStats{
			Priority: v.priority, Distance: v.distance, Zone: g.zone, Load: g.share,
			Healthy: g.well, Total: len(g.members), Used: g.seats, Panics: v.panics,
		}
		if g.own {
			t.Distance = model.InZone
		}
		list = append(list, t)
	}
	return list
}
