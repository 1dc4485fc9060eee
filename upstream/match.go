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

// spare finds the targets of what is gone from old by what they were: it may have
// come in another place.
func spare(old *spec, hunks []model.Hunk) map[model.Endpoint][]*target {
	gone, come := 0, 0
	for _, h := range hunks {
		gone, come = gone+h.B-h.A, come+h.D-h.C
	}
	if gone == 0 || come == 0 {
		return nil
	}
	m := make(map[model.Endpoint][]*target, gone)
	for _, h := range hunks {
		for i := h.A; i < h.B; i++ {
			e := *old.service.Endpoints[i]
			m[e] = append(m[e], old.targets[i])
		}
	}
	return m
}
