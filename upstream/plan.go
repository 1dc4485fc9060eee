package upstream

import (
	"time"

	"github.com/naru-mesh/naru/observe"
)

// plan is what a pick reads: the endpoints that may be chosen, and how. It
// does not change.
type plan struct {
	// tiers share the requests; there is one unless localities or priorities
	// differ. The nearest of the first priority is the first.
	tiers []tier
	// upto says which tier a draw falls on: the first whose number, of 1<<32, is
	// above it. cursors are those of each tier, by loop. Both are nil where there
	// is one tier.
	upto    []uint64
	cursors [][]cursor
	count   int // endpoints in all tiers
	// only is the endpoint where there is one in all, which needs no choice.
	only *Endpoint
	// panics: endpoints that are not well may be chosen, as if they were.
	panics bool
	set    *settings
	none   observe.Reason // why there is no endpoint
	// at finds the endpoints of the mesh by their workloads' addresses, also
	// those that are not well; nil where there are none.
	at *index
	// out are the endpoints that are ejected and wait for a probe, nil without.
	out *ejected
}

// member is an endpoint and its weight.
type member struct {
	ep      *Endpoint
	weight  uint32
	standby bool // gets nothing while another can
	// As the layout knows: requests should go to it; it stands in the tier; keys
	// can find it.
	well, seated, keyed bool
	rank                uint64 // see group
	of                  *target
}

// alive says whether requests should go to the member.
func (m *member) alive() bool { return !m.standby && !m.ep.out() }

// newPlan lays out members in one tier.
func newPlan(members []member, set *settings, none observe.Reason) *plan {
	p := &plan{set: set, none: none, count: len(members)}
	if len(members) > 0 {
		list, sum, _ := layRows(members)
		p.tiers = []tier{{rows: rowsOf(list), count: len(members), mean: float32(sum) / float32(len(members)), share: 1, whole: 100 * float64(sum), keys: keysOf(members, set.balance)}}
	}
	p.single()
	return p
}

// single finds the one endpoint of a plan that has one.
func (p *plan) single() {
	if p.count == 1 {
		p.only = p.tiers[0].rows.at(0).ep
		// It has everything already: its slow start is not to begin with another's.
		p.only.warming.CompareAndSwap(fromFirstLook, 0)
	}
}

// choose gives the endpoint of the next try, nil when the plan is empty.
func (p *plan) choose(cur *cursor, now time.Duration, a *Ask) *Endpoint {
	if a.Tried != nil && a.Tried.Only.IsValid() {
		return p.at.at(a.Tried.Only)
	}
	k := 0
	switch {
	case p.only != nil:
		if !p.only.usable(now, a.Tried) {
			a.skipped = p.only.against(now, a.Tried)
		}
		a.Chosen = Alone
		return p.only
	case len(p.tiers) == 0:
		return nil
	case p.upto != nil:
		k = p.draw(cur, a)
		cur = &p.cursors[k][cur.loop]
		a.tier = k
	}
	t := &p.tiers[k]
	if a.Hashed && t.keys != nil {
		if ep := t.find(p.set, a); ep != nil {
			return ep
		}
	}
	ep := t.candidate(cur, p.set, now, a, 0)
	if ep.usable(now, a.Tried) {
		return ep
	}
	a.tier, a.skipped = k, ep.against(now, a.Tried)
	ep = t.another(cur, p.set, now, a, ep)
	if p.upto == nil || ep.usable(now, a.Tried) {
		return ep
	}
	return p.elsewhere(cur, now, a, k, ep)
}

// draw chooses a tier by its share. Steps of the golden ratio come to each about
// as often as it is due, also in a short while, which random numbers do not.
// Where a key decides it decides this, too.
func (p *plan) draw(cur *cursor, a *Ask) int {
	cur.split += 0x9E3779B9
	at := uint64(cur.split)
	if a.Hashed && p.set.balance.hashed() {
		at = a.Hash * 0x9E3779B97F4A7C15 >> 32
	}
	low, high := 0, len(p.upto)-1
	for low < high {
		if mid := (low + high) / 2; at < p.upto[mid] {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// elsewhere looks for what is usable in the other tiers, the nearest first: one
// that gets nothing else has this. best is what there is in tier k.
func (p *plan) elsewhere(cur *cursor, now time.Duration, a *Ask, k int, best *Endpoint) *Endpoint {
	for i := range p.tiers {
		if i == k {
			continue
		}
		t, c := &p.tiers[i], &p.cursors[i][cur.loop]
		ep := t.candidate(c, p.set, now, a, 0)
		if !ep.usable(now, a.Tried) {
			ep = t.another(c, p.set, now, a, ep)
		}
		if ep.usable(now, a.Tried) {
			a.tier = i
			return ep
		}
		if ep.hope(now, a.Tried) > best.hope(now, a.Tried) {
			best = ep
		}
	}
	return best
}

// holds says whether an endpoint is in the plan that is not among tried.
func (p *plan) holds(tried *Tried) bool {
	if p.count > tried.Len() {
		return true
	}
	for i := range p.tiers {
		for k := range p.tiers[i].rows.n {
			if !tried.Has(p.tiers[i].rows.at(k).ep) {
				return true
			}
		}
	}
	return false
}

// has says whether ep is in the plan.
func (p *plan) has(ep *Endpoint) bool {
	for i := range p.tiers {
		for k := range p.tiers[i].rows.n {
			if p.tiers[i].rows.at(k).ep == ep {
				return true
			}
		}
	}
	return false
}
