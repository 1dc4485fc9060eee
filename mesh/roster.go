package mesh

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// roster is the workloads that serve a service, in the order of the Config. It
// does not change: a service whose roster is the same has the same endpoints.
type roster struct{ workloads []*model.Workload }

// list gives the workloads of a roster, of which nil is an empty one.
func (r *roster) list() []*model.Workload {
	if r == nil {
		return nil
	}
	return r.workloads
}

// rosters are those of one Config after another.
type rosters struct {
	of     []*model.Workload // no other has this list
	sorted bool              // by name, of which there are no two
	by     map[string]*roster
	// left are rosters that were replaced at the last change. Those of the call
	// before are still compared with, so their lists are used again at the next.
	left map[string]*roster
}

// mostAmended is which part of the workloads, one in so many, may be others for
// rosters to be amended.
const mostAmended = 8

// follow makes them those of list. It looks only at workloads that are not where
// they were.
func (r *rosters) follow(list []*model.Workload) {
	hunks := model.Hunks(r.of, list, nil)
	n := 0
	sorted := r.sorted && r.by != nil
	for _, h := range hunks {
		n += h.B - h.A + h.D - h.C
		sorted = sorted && ascend(list[max(h.C-1, 0):min(h.D+1, len(list))])
	}
	switch {
	case !sorted || n > len(list)/mostAmended:
		r.count(list)
	case n > 0:
		r.amend(list, hunks)
	}
	for _, h := range slices.Backward(hunks) {
		r.of = slices.Replace(r.of, h.A, h.B, list[h.C:h.D]...)
	}
}

func ascend(list []*model.Workload) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1].Name >= list[i].Name {
			return false
		}
	}
	return true
}

// count looks at all.
func (r *rosters) count(list []*model.Workload) {
	by := make(map[string]*roster, len(r.by))
	for _, w := range list {
		services(w, func(service string) {
			one := by[service]
			if one == nil {
				one = &roster{}
				by[service] = one
			}
			one.workloads = append(one.workloads, w)
		})
	}
	for name, one := range by {
		if old := r.by[name]; old != nil && slices.Equal(old.workloads, one.workloads) {
			by[name] = old
		}
	}
	r.by, r.left, r.sorted = by, map[string]*roster{}, ascend(list)
}

// services visits what w serves, each once.
func services(w *model.Workload, visit func(string)) {
	for i, p := range w.Ports {
		if !slices.ContainsFunc(w.Ports[:i], func(o model.WorkloadPort) bool { return o.Service == p.Service }) {
			visit(p.Service)
		}
	}
}

func (r *rosters) amend(list []*model.Workload, hunks []model.Hunk) {
	changed := map[string]*roster{}
	find := func(service string, w *model.Workload) (to *roster, i int, is bool) {
		if to = changed[service]; to == nil {
			old := r.by[service].list()
			to = &roster{}
			if left := r.left[service]; left != nil {
				to.workloads = left.workloads[:0]
			}
			to.workloads = append(slices.Grow(to.workloads, len(old)+1), old...)
			changed[service] = to
		}
		i, is = slices.BinarySearchFunc(to.workloads, w.Name, func(x *model.Workload, name string) int { return strings.Compare(x.Name, name) })
		return to, i, is
	}
	for _, h := range hunks {
		for _, w := range list[h.C:h.D] {
			services(w, func(service string) {
				to, i, is := find(service, w)
				if is { // it is another than it was
					to.workloads[i] = w
					return
				}
				to.workloads = slices.Insert(to.workloads, i, w)
			})
		}
	}
	for _, h := range hunks {
		for _, w := range r.of[h.A:h.B] {
			services(w, func(service string) {
				if to, i, is := find(service, w); is && to.workloads[i] == w {
					to.workloads = slices.Delete(to.workloads, i, i+1)
				}
			})
		}
	}
	clear(r.left)
	for name, one := range changed {
		if old := r.by[name]; old != nil {
			r.left[name] = old
		}
		if len(one.workloads) == 0 {
			delete(r.by, name)
		} else {
			r.by[name] = one
		}
	}
}

// aimed is what targets are made of: nothing else decides them.
type aimed struct {
	services []*model.Service
	vips     [][]netip.Addr
	rosters  []*roster
	domain   string
}

// same says whether b leads to the same targets. Whether a workload serves, and
// how much of it, is of no matter to where it is.
func (a *aimed) same(b *aimed) bool {
	return a.domain == b.domain && slices.Equal(a.services, b.services) &&
		slices.EqualFunc(a.vips, b.vips, func(x, y []netip.Addr) bool { return slices.Equal(x, y) }) &&
		slices.EqualFunc(a.rosters, b.rosters, samePlaces)
}

func samePlaces(a, b *roster) bool {
	if a == b {
		return true
	}
	x, y := a.list(), b.list()
	for _, h := range model.Hunks(x, y, nil) {
		if !slices.EqualFunc(x[h.A:h.B], y[h.C:h.D], func(v, w *model.Workload) bool { return v.Address == w.Address && slices.Equal(v.Ports, w.Ports) }) {
			return false
		}
	}
	return true
}
