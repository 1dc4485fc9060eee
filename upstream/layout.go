package upstream

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

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
	at     map[netip.AddrPort]*Endpoint
	// waiting are those that are ejected and may be probed.
	waiting []*Endpoint
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
}

// group is the members of a level, or those of one zone of it.
type group struct {
	level   int
	zone    string
	own     bool
	members []member
	weight  locality.Capacity
	well    int // members
	share   float64
	tier    tier
	stale   bool // tier is not of the members as they are
	out     int  // members that have a place in the tier and are not well
	missing int  // members that are well and have none
	cursors []cursor
}

// A tier of so many members is not made anew for each whose health changes.
// Who is not well keeps its place, which is passed over, until such are too many;
// who is well again and has no place in the tier gets one within gathering.
const (
	manyMembers = 512
	gathering   = 100 * time.Millisecond
)

// mostOut bounds the places that are passed over, of n: another, which looks for
// others, must find one.
func mostOut(n int) int { return min(n/8, 200) }

// mostZones bounds the zones of a region that are told apart.
const mostZones = 64

// lay makes the layout of the members. With c.mu held.
func (c *Cluster) lay() {
	sp := c.spec.Load()
	near, here := sp.near, c.owner.env.Place
	type key struct {
		priority int
		distance model.Distance
		zone     string
	}
	old := make(map[key][]cursor, len(c.layout.groups))
	for i := range c.layout.groups {
		g := &c.layout.groups[i]
		l := &c.layout.levels[g.level]
		old[key{l.priority, l.distance, g.zone}] = g.cursors
	}
	// Which level each member is of, by what it has in common with others.
	at := func(m *member) key {
		k := key{priority: m.of.priority}
		if near.prefer != model.PreferNone {
			k.distance = max(here.To(m.of.place), model.InRegion)
		}
		return k
	}
	byLevel := map[key][]member{}
	for i := range c.members {
		k := at(&c.members[i])
		byLevel[k] = append(byLevel[k], c.members[i])
	}
	keys := make([]key, 0, len(byLevel))
	for k := range byLevel {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.distance, b.distance))
	})
	next := layout{}
	for _, k := range keys {
		members := byLevel[k]
		l := level{priority: k.priority, distance: k.distance, first: len(next.groups), own: -1}
		zones := map[string][]member{"": members}
		if k.distance == model.InRegion && near.prefer == model.PreferZone && len(members) >= near.minEndpoints {
			if split := byZone(members); len(split[here.Zone]) > 0 && len(split) > 1 && len(split) <= mostZones && here.Zone != "" {
				zones, l.own = split, l.first
			}
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
			g := group{level: len(next.levels), zone: zone, own: l.own >= 0 && i == 0, members: zones[zone], stale: true}
			k.zone = zone
			if g.cursors = old[k]; g.cursors == nil {
				g.cursors = c.owner.newCursors(c.name + " " + strconv.Itoa(k.priority) + " " + k.distance.String() + " " + zone)
			}
			for j := range g.members {
				m := &g.members[j]
				m.ep.group, m.ep.row = len(next.groups), j
				far := here.To(m.of.place)
				m.ep.outside = far > model.InRegion || far == model.InRegion && here.Zone != "" && m.of.place.Zone != ""
				m.well = m.alive()
				m.ep.waits = false
				next.wait(m.ep)
				g.weight.Total += uint64(m.weight)
				if m.well {
					g.weight.Healthy += uint64(m.weight)
					g.well++
				}
			}
			next.groups = append(next.groups, g)
		}
		l.last = len(next.groups)
		next.levels = append(next.levels, l)
	}
	if len(sp.targets) > 0 && sp.targets[len(sp.targets)-1].inner != "" { // of the mesh
		next.at = make(map[netip.AddrPort]*Endpoint, len(c.members))
		for _, m := range c.members {
			next.at[m.ep.at] = m.ep
		}
	}
	c.layout = next
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

// replan takes over how all members are. With c.mu held.
func (c *Cluster) replan() {
	for i := range c.members {
		c.layout.note(c.members[i].ep)
	}
	c.publish()
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
	switch {
	case l.levels[g.level].panics: // it is in the tier all the same
	case len(g.members) < manyMembers:
		g.stale = true
	case well && m.seated:
		g.out--
	case well:
		g.missing++
	case m.seated:
		g.out++
	default:
		g.missing--
	}
	ep.ill.Store(!well)
	ep.skip.Store(!well && !l.levels[g.level].panics)
	return true
}

// gather has tiers made anew after a while, with all that has changed until
// then. With c.mu held.
func (c *Cluster) gather() {
	if c.gathers {
		return
	}
	c.gathers = true
	c.owner.launch(func() {
		timer := time.NewTimer(gathering)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.owner.ctx.Done():
			return
		}
		c.gathered()
	})
}

// gathered makes the tiers anew that wait for it.
func (c *Cluster) gathered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathers = false
	if c.retired {
		return
	}
	for i := range c.layout.groups {
		g := &c.layout.groups[i]
		g.stale = g.stale || g.missing > 0
	}
	c.publish()
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
		if g.stale || g.out > mostOut(len(g.members)) {
			g.build(panics, sp.set)
		} else if g.missing > 0 {
			c.gather()
		}
		if g.tier.count == 0 {
			continue
		}
		p.tiers = append(p.tiers, g.tier)
		p.count += g.tier.count
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

// build makes the group's tier: of who is well, or of all in a panic.
func (g *group) build(panics bool, set *settings) {
	g.stale, g.tier, g.out, g.missing = false, tier{}, 0, 0
	all := panics || len(g.members) >= manyMembers && len(g.members)-g.well <= mostOut(len(g.members))
	well := g.members
	if !all && g.well < len(g.members) {
		well = make([]member, 0, g.well)
	}
	for i := range g.members {
		m := &g.members[i]
		m.ep.ill.Store(!m.well)
		m.ep.skip.Store(!m.well && !panics)
		if m.seated = all || m.well; m.seated && !m.well && !panics {
			g.out++
		}
		if m.seated && !all && g.well < len(g.members) {
			well = append(well, *m)
		}
	}
	if len(well) > 0 {
		g.tier = newTier(well, set)
	}
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
				g.stale = g.stale || g.well < len(g.members)
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
			Healthy: g.well, Total: len(g.members), Panics: v.panics,
		}
		if g.own {
			t.Distance = model.InZone
		}
		list = append(list, t)
	}
	return list
}
