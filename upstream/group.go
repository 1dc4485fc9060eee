package upstream

import (
	"math"
	"slices"

	"github.com/naru-mesh/naru/upstream/locality"
	"github.com/naru-mesh/naru/upstream/ring"
)

// group is the members of a level, or those of one zone of it, and the tier that
// is made of them. The next plan gets its rows as they are then.
type group struct {
	level   int
	zone    string
	own     bool
	members []member
	weight  locality.Capacity
	well    int // members
	share   float64
	cursors []cursor

	stale bool // the rows are to be made anew
	rows  draft
	seats int     // members that have rows
	sum   uint64  // of their weights
	scale float64 // the weight of a row that is taken in every round
	// placed: it is known which rows are whose, so that one can come or go. Of a
	// member that has one row Endpoint.spot says it, of others several.
	placed  bool
	several map[*Endpoint][]int
	keys    *keyed
	rekey   bool // keys are of other members
	astray  int  // members that keys find and that have no row
	// subset is how many members have rows at most, 0: all. salt is this proxy's.
	subset int
	salt   uint64
	// turned are members of a subset that were in and are out, or the reverse, or
	// may be: who is neither in nor known to be ill is not checked.
	turned []*Endpoint
}

// Of so many members no tier is made anew when one comes or goes, is not well or
// well again: its rows alone change. With fewer it costs nothing, and the order
// stays that of the configuration.
const manyMembers = 512

// mostRows bounds the rows of one member that comes among many, and leastTaken
// is how seldom a row may be taken, on the mean, before all are made anew.
const (
	mostRows   = 64
	leastTaken = 1.0 / 8
)

// wanted says whether m should have rows, unless a subset is full.
func wanted(m *member, panics bool) bool { return m.well || panics }

// rankOf orders the members of a subset, for each proxy differently: those with
// the highest are in (rendezvous hashing; D. Thaler, C. Ravishankar, 1998).
func (g *group) rankOf(m *member) uint64 { return ring.Mix(m.ep.key ^ g.salt) }

// build makes the rows anew, and what finds keys where they are few.
func (g *group) build(panics bool, set *settings) {
	g.stale, g.rows, g.seats, g.sum, g.placed, g.several = false, draft{}, 0, 0, false, nil
	in := make([]member, 0, len(g.members))
	least := g.entry(panics)
	for i := range g.members {
		m := &g.members[i]
		m.seated = wanted(m, panics) && m.rank >= least
		m.ep.ill.Store(!m.well)
		m.ep.skipped(!m.well && !panics)
		if m.seated {
			in = append(in, *m)
		}
	}
	if len(in) > 0 {
		var list []row
		list, g.sum, g.scale = layRows(in)
		g.rows.rows, g.seats = rowsOf(list), len(in)
		if g.placed = len(g.members) >= manyMembers; g.placed {
			g.several = map[*Endpoint][]int{}
			for i := range list {
				g.place(list[i].ep, i)
			}
		}
	}
	if g.subset > 0 {
		g.turned = g.turned[:0]
		for i := range g.members {
			g.turned = append(g.turned, g.members[i].ep)
		}
	}
	g.find(in, set.balance)
}

// entry is the least rank that is in the subset.
func (g *group) entry(panics bool) uint64 {
	if g.subset == 0 || len(g.members) <= g.subset {
		return 0
	}
	ranks := make([]uint64, 0, len(g.members))
	for i := range g.members {
		if m := &g.members[i]; wanted(m, panics) {
			ranks = append(ranks, m.rank)
		}
	}
	if len(ranks) <= g.subset {
		return 0
	}
	slices.Sort(ranks)
	return ranks[len(ranks)-g.subset]
}

// find has keys lead to the members in: at once where they are few or there is
// nothing else, otherwise soon.
func (g *group) find(in []member, by balance) {
	switch {
	case !by.hashed():
		g.keys, g.rekey = nil, false
		return
	case len(in) == 0:
		g.keys, g.rekey = nil, false // until there is somebody
		return
	case g.keys == nil || g.keys.by != by || len(g.members) < manyMembers:
		g.keys = keysOf(in, by)
	}
	g.match()
}

// match compares what keys find with who has rows.
func (g *group) match() {
	weights := make(map[*Endpoint]uint32, len(g.keys.eps))
	for _, e := range g.keys.eps {
		weights[e.ep] = e.weight
	}
	g.astray, g.rekey = 0, false
	found := 0
	for i := range g.members {
		m := &g.members[i]
		w, is := weights[m.ep]
		if m.keyed = is; !is {
			g.rekey = g.rekey || m.seated
			continue
		}
		found++
		g.rekey = g.rekey || w != m.weight
		if !m.seated {
			g.astray++
		}
	}
	g.rekey = g.rekey || found < len(g.keys.eps) || g.astray > mostAstray(len(g.members))
}

// mostAstray bounds the members of n that keys find and that get nothing. Their
// keys go where those would go next, which takes another look for each.
func mostAstray(n int) int { return n / 8 }

// place notes that row i is ep's.
func (g *group) place(ep *Endpoint, i int) {
	if at, ok := g.several[ep]; ok {
		g.several[ep] = append(at, i)
		return
	}
	if ep.spot >= 0 && ep.spot < i && g.rows.at(ep.spot).ep == ep {
		g.several[ep] = []int{ep.spot, i}
		return
	}
	ep.spot = i
}

// seat gives m rows.
func (g *group) seat(m *member) {
	w := float64(m.weight)
	n := 1
	if g.scale == 0 {
		g.scale = w
	} else {
		n = int(math.Ceil(w / g.scale))
	}
	if n > mostRows {
		g.stale = true
		return
	}
	r := row{ep: m.ep, weight: m.weight, share: max(uint32(min(w/float64(n)/g.scale*full, full)), 1)}
	if n == 1 {
		m.ep.spot = g.rows.n
		g.rows.put(g.rows.n, r)
	} else { // evenly spread: whose row it was moves to the end
		step := max(g.rows.n/n, 1)
		at := make([]int, 0, n)
		for k := range n {
			i := (int(m.ep.key%uint64(step)) + k*step)
			if i < g.rows.n {
				g.move(i, g.rows.n)
			} else {
				i = g.rows.n
			}
			g.rows.put(i, r)
			at = append(at, i)
		}
		g.several[m.ep] = at
	}
	m.seated = true
	g.turn(m.ep)
	g.seats++
	g.sum += uint64(m.weight)
	if m.keyed {
		g.astray--
	} else if g.keys != nil {
		g.rekey = true
	}
	g.worn()
}

// unseat takes m's rows away.
func (g *group) unseat(m *member) {
	at, ok := g.several[m.ep]
	if !ok {
		at = []int{m.ep.spot}
	}
	delete(g.several, m.ep)
	m.ep.spot = -1
	slices.Sort(at)
	for _, i := range slices.Backward(at) {
		if last := g.rows.n - 1; i != last {
			g.move(last, i)
		}
		g.rows.drop()
	}
	m.seated = false
	g.turn(m.ep)
	g.seats--
	g.sum -= uint64(m.weight)
	if m.keyed {
		if g.astray++; g.astray > mostAstray(len(g.members)) {
			g.rekey = true
		}
	}
	g.worn()
}

func (g *group) turn(ep *Endpoint) {
	if g.subset > 0 {
		g.turned = append(g.turned, ep)
	}
}

// worn has rows made anew that are taken too seldom: what was heaviest is gone.
func (g *group) worn() {
	if g.rows.n > 0 && float64(g.sum) < g.scale*float64(g.rows.n)*leastTaken {
		g.stale = true
	}
}

// move puts row from at to, in place of what is there.
func (g *group) move(from, to int) {
	r := *g.rows.at(from)
	g.rows.put(to, r)
	if at, ok := g.several[r.ep]; ok {
		at[slices.Index(at, from)] = to
		return
	}
	r.ep.spot = to
}

// reseat sees that member i has rows if it should, and in a subset the next if
// it should not.
func (g *group) reseat(i int, panics bool) {
	if !g.placed || g.stale {
		g.stale = true
		return
	}
	m := &g.members[i]
	switch wants := wanted(m, panics); {
	case wants == m.seated:
	case m.seated:
		g.unseat(m)
		g.fill(panics)
	case g.subset == 0 || g.seats < g.subset:
		g.seat(m)
	default:
		if last := g.lowest(); last.rank < m.rank {
			g.unseat(last)
			g.seat(m)
		}
	}
}

// fill gives the place that is free in a subset to the next.
func (g *group) fill(panics bool) {
	if g.subset == 0 || g.seats >= g.subset {
		return
	}
	var next *member
	for i := range g.members {
		if m := &g.members[i]; !m.seated && wanted(m, panics) && (next == nil || m.rank > next.rank) {
			next = m
		}
	}
	if next != nil {
		g.seat(next)
	}
}

// lowest is the one in a subset that leaves it first.
func (g *group) lowest() (low *member) {
	for i := range g.members {
		if m := &g.members[i]; m.seated && (low == nil || m.rank < low.rank) {
			low = m
		}
	}
	return low
}

// join adds a member. It has no row yet: reseat.
func (g *group) join(m member) (i int) {
	i = len(g.members)
	m.seated, m.keyed, m.rank = false, false, g.rankOf(&m)
	m.ep.row, m.ep.spot = i, -1
	g.members = append(g.members, m)
	g.weight.Total += uint64(m.weight)
	if m.well {
		g.weight.Healthy += uint64(m.weight)
		g.well++
	}
	return i
}

// leave takes member i out; the last one takes its number.
func (g *group) leave(i int, panics bool) {
	m := &g.members[i]
	if m.seated && g.placed && !g.stale {
		g.unseat(m)
	} else {
		g.stale = g.stale || !g.placed
	}
	if m.keyed {
		g.astray--
		g.rekey = true
	}
	g.weight.Total -= uint64(m.weight)
	if m.well {
		g.weight.Healthy -= uint64(m.weight)
		g.well--
	}
	last := len(g.members) - 1
	g.members[i] = g.members[last]
	g.members[i].ep.row = i
	g.members[last] = member{}
	g.members = g.members[:last]
	g.stale = g.stale || last < manyMembers
	if !g.stale {
		g.fill(panics)
	}
}

// tier is what a plan gets.
func (g *group) tier() tier {
	t := tier{rows: g.rows.share(), count: g.seats, mean: float32(float64(g.sum) / float64(max(g.seats, 1))), share: float32(g.share), keys: g.keys}
	if g.keys != nil {
		t.whole = 100 * float64(min(g.keys.sum, g.sum))
	}
	return t
}
