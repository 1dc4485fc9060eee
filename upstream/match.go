package upstream

import "github.com/naru-mesh/naru/model"

// mostApart is how many differences a list bears that is not laid out anew, one
// in so many.
const mostApart = 8

// alike says where two lists of endpoints differ, and whether that is so little
// that one is amended to the other. Who hands on a list hands on the pointers of
// what has not changed: then it is a matter of microseconds.
func alike(old, now []*model.Endpoint) (hunks []model.Hunk, little bool) {
	if len(old) == len(now) && (len(now) == 0 || &old[0] == &now[0]) {
		return nil, true
	}
	hunks = model.Hunks(old, now, func(a, b *model.Endpoint) bool { return *a == *b })
	n := 0
	for _, h := range hunks {
		n += h.B - h.A + h.D - h.C
	}
	return hunks, n <= len(old)/mostApart
}

// going gives the targets of what is gone from old, and those too by what they
// were, as it may have come in another place.
func (c *Cluster) going(old *spec, hunks []model.Hunk) (gone []*target, by map[model.Endpoint][]*target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	come := false
	for _, h := range hunks {
		if h.B <= len(c.targets) { // always, as old is in force
			gone = append(gone, c.targets[h.A:h.B]...)
		}
		come = come || h.D > h.C
	}
	if len(gone) == 0 || !come {
		return gone, nil
	}
	by = make(map[model.Endpoint][]*target, len(gone))
	k := 0
	for _, h := range hunks {
		for i := h.A; i < h.B && k < len(gone); i++ {
			e := *old.service.Endpoints[i]
			by[e] = append(by[e], gone[k])
			k++
		}
	}
	return gone, by
}
