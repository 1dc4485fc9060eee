package ring

import (
	"math/bits"
	"slices"
	"sort"
)

// Bounds of a Ring's points.
const (
	// DefaultPoints is how many points there are at least.
	DefaultPoints = 1024
	// perMember is how many a member of mean weight has at least: shares differ
	// by about an eighth then.
	perMember = 64
	// MostPoints bounds the memory of a Ring, 16 bytes each.
	MostPoints = 8 << 20
)

// Ring is a circle of points. It does not change.
type Ring struct {
	points []point
}

type point struct {
	at     uint64
	member int32
}

// NewRing lays out members, with at least points of them (0 is DefaultPoints).
func NewRing(members []Member, points int) *Ring {
	r := &Ring{}
	if len(members) == 0 {
		return r
	}
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
	r.points = make([]point, 0, each*sum/unit+uint64(len(members)))
	for i, m := range members {
		for k := range max(uint64(max(m.Weight, 1))*each/unit, 1) {
			r.points = append(r.points, point{Mix(m.Key + k*0xD1B54A32D192ED03), int32(i)})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int {
		switch x, y := members[a.member].Key, members[b.member].Key; {
		case a.at < b.at || a.at == b.at && x < y:
			return -1
		case a.at > b.at || x > y:
			return 1
		}
		return int(a.member - b.member)
	})
	return r
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
	at := sort.Search(len(r.points), func(i int) bool { return r.points[i].at >= hash })
	if at == len(r.points) {
		at = 0
	}
	got := r.points[at].member
	var passed [15]int32
	for n := 0; n < nth && n < len(passed); n++ {
		passed[n] = got
		for steps := 0; steps < len(r.points) && slices.Contains(passed[:n+1], got); steps++ {
			if at++; at == len(r.points) {
				at = 0
			}
			got = r.points[at].member
		}
	}
	return int(got)
}

// Len is the number of points.
func (r *Ring) Len() int { return len(r.points) }
