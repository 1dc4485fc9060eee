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
	// MostPoints bounds the memory of a Ring, 11 bytes each.
	MostPoints = 8 << 20
	// MostMembers is how many members can have points; the rest has none.
	MostMembers = 1 << whoBits

	// whoBits of a point say whose it is, the others where it is.
	whoBits = 20
	who     = 1<<whoBits - 1
	// line is how many places for points are in a line of the processor's cache, and
	// perLine how many of them have a point, on the mean.
	line    = 8
	perLine = 6
)

// none is in a place that has no point, while a Ring is made: were one there, a hash
// in 2^44 would go to the next.
const none = 0

// Ring is a circle of points. It does not change.
type Ring struct {
	// places have the points in their order, the upper 44 bits of each where it is, the
	// others whose. Each line of them is for an equal part of the circle: a point is in
	// the line of its part, or in one that follows where that is full. A place without
	// a point repeats the next one. So the first that is not below a hash, from the line
	// of that on, is the one that it belongs to, and most often that is to read one line,
	// whatever the size. At the end the first point stands once more, above all hashes.
	places  []uint64
	parts   uint64
	points  int
	members int
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
	r.members = len(members)
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
	for _, m := range members {
		r.points += int(pointsOf(m, each, unit))
	}
	r.parts = uint64(r.points/perLine + 1)
	from := make([]int, r.parts) // by part: where its points begin
	for _, m := range members {
		for k := range pointsOf(m, each, unit) {
			from[r.part(m.point(k))]++
		}
	}
	end := 0
	for i, n := range from { // it is where they end, until they are in
		end = max(end, i*line) + n
		from[i] = end
	}
	r.places = make([]uint64, (end/line+1)*line)
	for i, m := range members {
		for k := range pointsOf(m, each, unit) {
			p := m.point(k)
			at := &from[r.part(p)]
			*at--
			r.places[*at] = p&^who | uint64(i)
		}
	}
	end = len(r.places)
	for _, at := range slices.Backward(from) {
		sortFew(r.places[at:end], members)
		end = at
	}
	r.fill()
	return r
}

// part is which part of the circle a place is in.
func (r *Ring) part(place uint64) uint64 {
	part, _ := bits.Mul64(place&^who, r.parts)
	return part
}

// fill repeats points where there is none.
func (r *Ring) fill() {
	first := slices.IndexFunc(r.places, func(p uint64) bool { return p != none })
	next := r.places[first] | ^uint64(who)
	for i, p := range slices.Backward(r.places) {
		if p != none {
			next = p
		}
		r.places[i] = next
	}
}

// pointsOf is how many points m has.
func pointsOf(m Member, each, unit uint64) uint64 {
	return max(uint64(max(m.Weight, 1))*each/unit, 1)
}

// point is the place of the kth.
func (m *Member) point(k uint64) uint64 { return Mix(m.Key + k*0xD1B54A32D192ED03) }

// sortFew sorts the points of a part, as far as there are any. Who
// share a place go by their keys, so that the order of the members does not matter.
func sortFew(p []uint64, members []Member) {
	for i := 1; i < len(p) && p[i] != none; i++ {
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
// nth of those that follow it, up to the 15th and the last; -1 where there is none.
func (r *Ring) Lookup(hash uint64, nth int) int {
	got, at := r.First(hash)
	if nth == 0 || got < 0 {
		return got
	}
	return r.after(at, got, nth)
}

// First gives the member that hash belongs to and where its point is, for Next; -1
// where there is none.
func (r *Ring) First(hash uint64) (member int, at uint64) {
	if len(r.places) == 0 {
		return -1, 0
	}
	hash &^= who
	for i := r.part(hash) * line; ; i += line {
		// All are looked at: to guess which one it is costs more.
		l := (*[line]uint64)(r.places[i:])
		n := below(l[0], hash) + below(l[1], hash) + below(l[2], hash) + below(l[3], hash) +
			below(l[4], hash) + below(l[5], hash) + below(l[6], hash) + below(l[7], hash)
		if n < line {
			return int(l[n] & who), i + n
		}
	}
}

// below is 1 where a is below b, and 0 otherwise.
func below(a, b uint64) uint64 {
	_, is := bits.Sub64(a, b, 0)
	return is
}

// Next gives the member of the place that follows, which may be the same again, and
// where that is. The ring has points.
func (r *Ring) Next(at uint64) (member int, next uint64) {
	if at++; at >= uint64(len(r.places)) {
		at = 0
	}
	return int(r.places[at] & who), at
}

// after gives the nth member after got, whose point is at.
func (r *Ring) after(at uint64, got, nth int) int {
	var passed [15]int
	for n := range min(nth, len(passed), r.members-1) {
		passed[n] = got
		for steps := 0; steps < len(r.places) && slices.Contains(passed[:n+1], got); steps++ {
			got, at = r.Next(at)
		}
	}
	return got
}

// Len is the number of points.
func (r *Ring) Len() int { return r.points }
