package model

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// twins warns of routes that no request comes to, because another has the same
// match behind the same listeners and goes before it. Ten thousand routes are
// compared whenever one of them changes: their hashes are kept, and what is
// looked at besides holds no pointers.
func (v *checker) twins(routes []*Route, last *hashes) *hashes {
	now := last.next(routes)
	t := twins{checker: v, hashes: now, places: make([]int32, 1<<bits.Len(uint(2*len(now.sums))))}
	from := 0
	for i, to := range now.ends {
		t.told = false
		for ; from < int(to); from++ {
			t.owners = append(t.owners, int32(i))
			t.add(int32(from))
		}
	}
	return now
}

// hashes are those of the matches of routes, one for each match and host.
type hashes struct {
	seed   maphash.Seed
	routes []*Route // sorted by name
	ends   []int32  // by route, the index in sums behind its last
	sums   []uint64
}

// next gives the hashes of routes, and takes over those of the routes that are
// the same. h may be nil.
func (h *hashes) next(routes []*Route) *hashes {
	if h == nil {
		h = &hashes{seed: maphash.MakeSeed()}
	}
	now := &hashes{seed: h.seed, routes: routes, ends: make([]int32, 0, len(routes)), sums: make([]uint64, 0, len(routes)+len(routes)/8)}
	before := 0
	for _, r := range routes {
		for before < len(h.routes) && h.routes[before] != r && h.routes[before].Name < r.Name {
			before++
		}
		if before < len(h.routes) && h.routes[before] == r {
			from := int32(0)
			if before > 0 {
				from = h.ends[before-1]
			}
			now.sums = append(now.sums, h.sums[from:h.ends[before]]...)
			before++
		} else {
			for k := range max(len(r.Matches), 1) {
				of := now.hash(r.match(k))
				for n := range max(len(r.Hostnames), 1) {
					now.sums = append(now.sums, of*31+maphash.String(now.seed, r.hostname(n)))
				}
			}
		}
		now.ends = append(now.ends, int32(len(now.sums)))
	}
	return now
}

// match is one of the alternatives; no match is one for every request.
func (r *Route) match(i int) *Match {
	if len(r.Matches) == 0 {
		return &Match{}
	}
	return &r.Matches[i]
}

// hostname is one of them, "" for any.
func (r *Route) hostname(i int) string {
	if len(r.Hostnames) == 0 {
		return ""
	}
	return r.Hostnames[i]
}

// twins is a table of hashes with linear probing.
type twins struct {
	*checker
	*hashes
	owners []int32 // routes, by the index of the hash
	places []int32 // index of the hash and 1; 0 is empty
	told   bool    // of the route that is being added
}

func (t *twins) add(index int32) {
	hash, mask := t.sums[index], uint64(len(t.places)-1)
	at := hash & mask
	for ; t.places[at] != 0; at = (at + 1) & mask {
		old := t.places[at] - 1
		if t.sums[old] != hash {
			continue
		}
		r, m, host := t.what(index)
		other, n, otherHost := t.what(old)
		switch {
		case host != otherHost || !m.same(n):
			continue
		case r == other:
			return // twice in one route, which harms nobody
		}
		switch before := precedes(other, r); {
		case before && within(r.Parents, other.Parents):
			t.tell(r, other, m, host)
			return
		case !before && within(other.Parents, r.Parents):
			t.tell(other, r, m, host)
			t.places[at] = index + 1
			return
		}
	}
	t.places[at] = index + 1
}

// what a hash is of.
func (t *twins) what(index int32) (r *Route, m *Match, host string) {
	i := t.owners[index]
	r = t.routes[i]
	if i > 0 {
		index -= t.ends[i-1]
	}
	hosts := max(len(r.Hostnames), 1)
	return r, r.match(int(index) / hosts), r.hostname(int(index) % hosts)
}

// tell says that winner has what loser asks for.
func (t *twins) tell(loser, winner *Route, m *Match, host string) {
	if t.told {
		return
	}
	t.told = true
	path := m.Path
	if m.PathKind == PathAny {
		path = "/"
	}
	t.at = loser.Origin
	t.doubtful("duplicate-match", fmt.Sprintf("route %s never gets %s: route %s (%s) has the same match and goes before it",
		loser.Name, strings.TrimSpace(m.Method+" "+host+path), winner.Name, place(winner.Origin)),
		"leave one out, or let them differ; one route may lead to several services by weight")
}

// precedes says which of two routes with the same match gets the requests.
func precedes(a, b *Route) bool {
	return cmp.Or(a.Order.Compare(b.Order), cmp.Compare(a.Name, b.Name)) < 0
}

// within says whether all of part are in whole.
func within(part, whole []string) bool {
	for _, p := range part {
		if !slices.Contains(whole, p) {
			return false
		}
	}
	return true
}

// hash is equal for matches that are the same.
func (h *hashes) hash(m *Match) uint64 {
	kind, path := m.form()
	sum := maphash.String(h.seed, path)*31 + uint64(len(kind))
	if m.Method != "" {
		sum = sum*31 + maphash.String(h.seed, m.Method)
	}
	for i := range m.Headers { // a sum, because their order does not matter
		sum += maphash.String(h.seed, m.Headers[i].Value)
	}
	for i := range m.Queries {
		sum += 3 * maphash.String(h.seed, m.Queries[i].Value)
	}
	for i := range m.Cookies {
		sum += 5 * maphash.String(h.seed, m.Cookies[i].Value)
	}
	return sum
}

// form brings kind and path to one form: what captures are called does not
// matter.
func (m *Match) form() (PathKind, string) {
	switch m.PathKind {
	case PathAny:
		return PathPrefix, "/"
	case PathTemplate:
		segments := strings.Split(m.Path, "/")
		for i, s := range segments {
			switch {
			case !strings.HasPrefix(s, "{"):
			case strings.HasSuffix(s, "...}"):
				segments[i] = "{...}"
			default:
				segments[i] = "{}"
			}
		}
		return m.PathKind, strings.Join(segments, "/")
	}
	return m.PathKind, m.Path
}

// same says whether two matches hold for the same requests, as far as one can
// see without thinking.
func (m *Match) same(o *Match) bool {
	if m.Method != o.Method || len(m.Headers) != len(o.Headers) || len(m.Queries) != len(o.Queries) || len(m.Cookies) != len(o.Cookies) {
		return false
	}
	kind, path := m.form()
	if otherKind, otherPath := o.form(); kind != otherKind || path != otherPath {
		return false
	}
	return sameFields(m.Headers, o.Headers, strings.EqualFold) && sameFields(m.Queries, o.Queries, equal) && sameFields(m.Cookies, o.Cookies, equal)
}

func equal(a, b string) bool { return a == b }

// sameFields compares two lists of one length without regard to order.
func sameFields(a, b []FieldMatch, name func(a, b string) bool) bool {
	for i := range a {
		if !slices.ContainsFunc(b, func(f FieldMatch) bool {
			return f.Kind == a[i].Kind && f.Value == a[i].Value && name(f.Name, a[i].Name)
		}) {
			return false
		}
	}
	return true
}
