package ring

import (
	"math/bits"
	"slices"
)

// Bounds of a Ring's points.
const (
	// DefaultPoints is how many points there are at least.
	DefaultPoints = 1024
	// perMember is how many a member of mean weight has at least: shares differ
	// by about an eighth then.
	perMember = 64
	// MostPoints bounds the memory of a Ring, 8.5 bytes each.
	MostPoints = 8 << 20
	// MostMembers is how many members can have points; the rest has none.
	MostMembers = 1 << whoBits

	// whoBits of a point say whose it is, the others where it is.
	whoBits = 20
	who     = 1<<whoBits - 1
	// perBucket is about how many points a bucket has: a line of the processor's
	// cache, so that a look costs two of them, whatever the size.
	perBucket = 8
)

// Ring is a circle of points. It does not change.
type Ring struct {
	// points are in their order: the upper 44 bits are the place, the others the
	// member. starts has the first point of each bucket, by the upper bits of a
	// hash: there the search begins, and ends some points later.
	points []uint64
	starts []uint32
	shift  uint8
}

// NewRing lays out members, with at least points of them (0 is DefaultPoints).
// It takes time in proportion to the points: they are even enough to be sorted
// by where they fall.
func NewRing(members []Member, points int) *Ring {
	r := &Ring{}
	if len(members) == 0 {
		return r
	}
	members = members[:min(len(members), MostMembers)]
	if points <= 0 {
		points = DefaultPoints
	}
	var sum uint64
	for _, m := range members {
		sum += uint64(max(m.Weight, 1))
	}
	// How many points a weight has is a power of two, and so the same for most
	// changes: were it exact, each member that comes or goes would change the
	// points of all others, and move hashes that have nothing to do with it.
	each := uint64(1) << bits.Len(uint((max(min(points, MostPoints), 1)-1)/len(members)))
	unit := unitOf(sum, len(members))
	for each = max(each, perMember); each > 1 && each*sum/unit > MostPoints; {
		each /= 2
	}
	total := uint64(0)
	for _, m := range members {
		total += pointsOf(m, each, unit)
	}
	log := max(bits.Len64(total/perBucket), 1)
	r.shift = uint8(64 - log)
	r.starts = make([]uint32, 1<<log)
	for _, m := range members {
		for k := range pointsOf(m, each, unit) {
			r.starts[m.point(k)>>r.shift]++
		}
	}
	sofar := uint32(0)
	for b, n := range r.starts { // each start is its end, until the points are in
		sofar += n
		r.starts[b] = sofar
	}
	r.points = make([]uint64, total)
	for i, m := range members {
		for k := range pointsOf(m, each, unit) {
			at := m.point(k)
			b := &r.starts[at>>r.shift]
			*b--
			r.points[*b] = at&^who | uint64(i)
		}
	}
	for b, from := range r.starts {
		to := len(r.points)
		if b+1 < len(r.starts) {
			to = int(r.starts[b+1])
		}
		sortFew(r.points[from:to], members)
	}
	return r
}

// pointsOf is how many points m has.
func pointsOf(m Member, each, unit uint64) uint64 {
	return max(uint64(max(m.Weight, 1))*each/unit, 1)
}

// point is the place of the kth.
func (m *Member) point(k uint64) uint64 { return Mix(m.Key + k*0xD1B54A32D192ED03) }

// sortFew sorts the points of a bucket. Who share a place go by their keys, so
// that the order of the members does not matter.
func sortFew(p []uint64, members []Member) {
	for i := 1; i < len(p); i++ {
		v := p[i]
		k := i
		for ; k > 0 && before(v, p[k-1], members); k-- {
			p[k] = p[k-1]
		}
		p[k] = v
	}
}

func before(a, b uint64, members []Member) bool {
	if a>>whoBits != b>>whoBits {
		return a < b
	}
	if x, y := members[a&who].Key, members[b&who].Key; x != y {
		return x < y
	}
	return a < b
}

// unitOf gives the power of two that is not above the mean weight, so that it
// stays the same for most changes.
func unitOf(sum uint64, members int) uint64 {
	return 1 << (bits.Len64(sum/uint64(members)) - 1)
}

// Lookup gives the member that hash belongs to, or when nth is more than 0 the
// nth of those that follow it, up to the 15th; -1 where there is none.
func (r *Ring) Lookup(hash uint64, nth int) int {
	if len(r.points) == 0 {
		return -1
	}
	at := int(r.starts[hash>>r.shift])
	for hash &^= who; at < len(r.points) && r.points[at] < hash; {
		at++
	}
	if at == len(r.points) {
		at = 0
	}
	got := int32(r.points[at] & who)
	if nth == 0 {
		return int(got)
	}
	return r.after(at, got, nth)
}

// after gives the nth member after got, whose point is at.
func (r *Ring) after(at int, got int32, nth int) int {
	var passed [15]int32
	for n := 0; n < nth && n < len(passed); n++ {
		passed[n] = got
		for steps := 0; steps < len(r.points) && slices.Contains(passed[:n+1], got); steps++ {
			if at++; at == len(r.points) {
				at = 0
			}
			got = int32(r.points[at] & who)
		}
	}
	return int(got)
}

// Len is the number of points.
func (r *Ring) Len() int { return len(r.points) }
