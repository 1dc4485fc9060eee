package upstream

import (
	"net/netip"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// plan is what a pick reads: the endpoints that may be chosen, and how. It
// does not change.
type plan struct {
	// tiers share the requests; there is one unless localities or priorities
	// differ.
	tiers []tier
	count int // endpoints in all tiers
	set   *settings
	none  observe.Reason // why there is no endpoint
	// at finds the endpoints of the mesh by their workloads' addresses, also
	// those that are not well; nil where there are none.
	at map[netip.AddrPort]*Endpoint
	// out are the endpoints that are ejected and wait for a probe, nil without.
	out *ejected
}

// member is an endpoint and its weight.
type member struct {
	ep      *Endpoint
	weight  uint32
	standby bool // gets nothing while another can
}

// newPlan lays out members in one tier.
func newPlan(members []member, set *settings, none observe.Reason) *plan {
	p := &plan{set: set, none: none, count: len(members)}
	if len(members) > 0 {
		p.tiers = []tier{newTier(members, set)}
	}
	return p
}

// choose gives the endpoint of the next try, nil when the plan is empty.
func (p *plan) choose(cur *cursor, now time.Duration, a *Ask) *Endpoint {
	if a.Tried != nil && a.Tried.Only.IsValid() {
		return p.at[a.Tried.Only]
	}
	if len(p.tiers) == 0 {
		return nil
	}
	t := &p.tiers[0]
	ep := t.candidate(cur, p.set, now, a, 0)
	if ep.usable(now, a.Tried) {
		return ep
	}
	return t.another(cur, p.set, now, a, ep)
}

// holds says whether an endpoint is in the plan that is not among tried.
func (p *plan) holds(tried *Tried) bool {
	if p.count > tried.Len() {
		return true
	}
	for i := range p.tiers {
		for k := range p.tiers[i].rows {
			if !tried.Has(p.tiers[i].rows[k].ep) {
				return true
			}
		}
	}
	return false
}
