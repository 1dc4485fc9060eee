package ring

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"
)

// table is what both are.
type table interface {
	Lookup(hash uint64, nth int) int
}

var kinds = map[string]func([]Member) table{
	"ring":   func(m []Member) table { return NewRing(m, 0) },
	"maglev": func(m []Member) table { return NewMaglev(m) },
}

// some makes n members of weight w.
func some(n int, w uint32) []Member {
	list := make([]Member, n)
	for i := range list {
		list[i] = Member{Key: Sum(fmt.Appendf(nil, "10.0.%d.%d:80", i>>8, i&255)), Weight: w}
	}
	return list
}

// owners gives the member's key for each of n hashes.
func owners(t table, m []Member, n int) []uint64 {
	list := make([]uint64, n)
	for i := range list {
		list[i] = m[t.Lookup(Mix(uint64(i)), 0)].Key
	}
	return list
}

func TestSharesFollowWeights(t *testing.T) {
	t.Parallel()
	for kind, build := range kinds {
		// The share of a member differs from its weight's by this much at most,
		// in relation to it: points of a ring are where chance puts them.
		bound := map[string]float64{"ring": 0.5, "maglev": 0.03}[kind]
		for name, m := range map[string][]Member{
			"three":   some(3, 1),
			"hundred": some(100, 7),
			"mixed":   append(some(50, 1)[:25], some(50, 4)[25:]...),
		} {
			tab := build(m)
			var sum float64
			for i := range m {
				sum += float64(m[i].Weight)
			}
			const n = 1_000_000
			counts := make([]int, len(m))
			for i := range n {
				counts[tab.Lookup(Mix(uint64(i)), 0)]++
			}
			for i, c := range counts {
				want := n * float64(m[i].Weight) / sum
				if math.Abs(float64(c)-want) > bound*want+4*math.Sqrt(want) {
					t.Errorf("%s, %s: member %d of weight %d has %d hashes, want about %.0f", kind, name, i, m[i].Weight, c, want)
				}
			}
		}
	}
}

// When a member goes, its hashes move and few others; when it comes back, all
// are where they were.
func TestChangesMoveLittle(t *testing.T) {
	t.Parallel()
	const n = 100_000
	for kind, build := range kinds {
		// Maglev gives some evenness for some moves (section 5.3 of its paper).
		bound := map[string]float64{"ring": 0, "maglev": 0.06}[kind]
		for _, count := range []int{3, 10, 100} {
			all := some(count, 1)
			before := owners(build(all), all, n)
			gone := all[count/2].Key
			less := append(append([]Member{}, all[:count/2]...), all[count/2+1:]...)
			moved, its := 0, 0
			for i, key := range owners(build(less), less, n) {
				switch {
				case before[i] == gone:
					its++
				case before[i] != key:
					moved++
				}
			}
			if its == 0 || float64(moved) > bound*n {
				t.Errorf("%s: one of %d went, with %d of %d hashes, and %d others moved", kind, count, its, n, moved)
			}
			// Another order is the same table.
			back := append(append([]Member{}, less...), all[count/2])
			for i, key := range owners(build(back), back, n) {
				if before[i] != key {
					t.Fatalf("%s: hash %d belongs to another after one of %d went and came back", kind, i, count)
				}
			}
		}
	}
}

func TestNextAreOthers(t *testing.T) {
	t.Parallel()
	m := some(5, 1)
	r := NewRing(m, 0)
	for hash := range uint64(1000) {
		seen := map[int]bool{}
		for nth := range 5 {
			seen[r.Lookup(Mix(hash), nth)] = true
		}
		if len(seen) != 5 {
			t.Fatalf("hash %d: five looks found %d members", hash, len(seen))
		}
		if got := r.Lookup(Mix(hash), 9); got < 0 || got > 4 {
			t.Fatalf("a look beyond the last member gives %d", got)
		}
	}
	// What follows a member is what comes after it when it is gone.
	less := m[:4]
	without := NewRing(less, 0)
	for hash := range uint64(1000) {
		if r.Lookup(Mix(hash), 0) == 4 && without.Lookup(Mix(hash), 0) != r.Lookup(Mix(hash), 1) {
			t.Fatalf("hash %d goes elsewhere when its member is passed over than when it is gone", hash)
		}
	}
	tab := NewMaglev(m)
	others := 0
	for hash := range uint64(1000) {
		if tab.Lookup(Mix(hash), 1) != tab.Lookup(Mix(hash), 0) {
			others++
		}
	}
	if others < 700 {
		t.Errorf("a second look at the table finds another member for %d of 1,000 hashes", others)
	}
}

// Next goes around, member by member as Lookup counts them.
func TestNextGoesAround(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5, 1000} {
		m := some(n, 1)
		r := NewRing(m, 0)
		for i := range uint64(100) {
			hash := Mix(i)
			var way []int
			who, at := r.First(hash)
			for range 2 * len(r.places) {
				if !slices.Contains(way, who) {
					if way = append(way, who); len(way) == min(n, 15) {
						break
					}
				}
				who, at = r.Next(at)
			}
			for nth := range 18 {
				if got, want := r.Lookup(hash, nth), way[min(nth, len(way)-1)]; nth < 15 && got != want {
					t.Fatalf("of %d members hash %x has as number %d member %d, and on the way %d", n, hash, nth, got, want)
				}
			}
		}
	}
	tab := NewMaglev(some(5, 1))
	for i := range uint64(100) {
		got, at := tab.First(Mix(i))
		for nth := range 8 {
			if want := tab.Lookup(Mix(i), nth); got != want {
				t.Fatalf("slot %d of a hash is of member %d, and on the way of %d", nth, want, got)
			}
			got, at = tab.Next(at)
		}
	}
}

// Most looks read one line: few points are in another than that of their part.
func TestMostLooksReadOneLine(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 100, 10_000} {
		r := NewRing(some(n, 1), 0)
		const looks = 10_000
		further := 0
		for i := range uint64(looks) {
			hash := Mix(i)
			if _, at := r.First(hash); at/line != r.part(hash) {
				further++
			}
		}
		if further > looks/6 || uint64(len(r.places)) > uint64(r.Len())*4/3+2*line {
			t.Errorf("of %d looks among %d members %d read more than a line; %d places for %d points", looks, n, further, len(r.places), r.Len())
		}
	}
}

func TestOddMembers(t *testing.T) {
	t.Parallel()
	for kind, build := range kinds {
		if got := build(nil).Lookup(1, 0); got != -1 {
			t.Errorf("%s: of no members %d was found", kind, got)
		}
		if got := build(some(1, 0)).Lookup(1, 3); got != 0 {
			t.Errorf("%s: of one member %d was found", kind, got)
		}
		// The heaviest beside the lightest, and two that are the same.
		m := append(some(500, 1), Member{Key: 7, Weight: 1 << 20}, Member{Key: 7, Weight: 1})
		heavy := 0
		tab := build(m)
		for i := range uint64(10_000) {
			if tab.Lookup(Mix(i), 0) == 500 {
				heavy++
			}
		}
		if heavy < 9_800 {
			t.Errorf("%s: one of weight 1048576 beside 500 of 1 has %d of 10,000", kind, heavy)
		}
	}
	if got := NewRing(some(3, 1), 0).Len(); got < DefaultPoints {
		t.Errorf("a ring of 3 has %d points", got)
	}
	if got := NewMaglev(some(1310, 1)).Len(); got != DefaultSlots {
		t.Errorf("a table of 1310 has %d slots", got)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	for kind, build := range kinds {
		tab := build(some(100, 1))
		h := uint64(0)
		if n := testing.AllocsPerRun(1000, func() { h = Mix(h + uint64(tab.Lookup(h, int(h&3)))) }); n != 0 {
			t.Errorf("%s: %v allocations", kind, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for kind, build := range kinds {
		b.Run(kind, func(b *testing.B) {
			tab := build(some(10_000, 1))
			h := uint64(0)
			for b.Loop() {
				h = Mix(h + uint64(tab.Lookup(h, 0)))
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for kind, build := range kinds {
		for _, n := range []int{10, 10_000} {
			m := some(n, 1)
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				for b.Loop() {
					build(m)
				}
			})
		}
	}
}

// A Ring is what its definition says: the member of the next point.
func TestRingIsTheNextPoint(t *testing.T) {
	t.Parallel()
	same := some(70, 1) // ten of each key: their points fill more than their lines
	for i := range same {
		same[i].Key = same[i/10].Key
	}
	for _, m := range [][]Member{some(1, 1), some(7, 3), some(300, 1), append(some(40, 9), some(90, 1)[40:]...), same} {
		type naive struct{ at, key uint64 }
		var points []naive
		var sum uint64
		for _, x := range m {
			sum += uint64(x.Weight)
		}
		each := uint64(64)
		for each*uint64(len(m)) < DefaultPoints {
			each *= 2
		}
		for _, x := range m {
			for k := range pointsOf(x, each, unitOf(sum, len(m))) {
				points = append(points, naive{Mix(x.Key+k*0xD1B54A32D192ED03) >> whoBits, x.Key})
			}
		}
		slices.SortFunc(points, func(a, b naive) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key)) })
		r := NewRing(m, 0)
		if r.Len() != len(points) {
			t.Fatalf("%d points of %d members, want %d", r.Len(), len(m), len(points))
		}
		for i := range uint64(1000) {
			hash := Mix(i)
			switch i {
			case 0:
				hash = 0
			case 1:
				hash = math.MaxUint64
			}
			want := points[0].key
			if k := slices.IndexFunc(points, func(p naive) bool { return p.at >= hash>>whoBits }); k >= 0 {
				want = points[k].key
			}
			if got := m[r.Lookup(hash, 0)].Key; got != want {
				t.Fatalf("of %d members hash %x belongs to another", len(m), hash)
			}
		}
	}
}

// Sum is the same for ever: proxies agree by it, and sessions name endpoints.
func TestSumIsFixed(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	for _, s := range []string{"", "a", "b", "ab", "ba", "12345678", "123456789", "10.0.0.1:80", "10.0.0.2:80", "a\x00", "\x00", "\x00\x00", strings.Repeat("x", 100)} {
		h := Sum([]byte(s))
		if other, twice := seen[h]; twice {
			t.Errorf("%q and %q have one sum", s, other)
		}
		seen[h] = s
	}
	if got := Sum([]byte("10.0.0.1:80")); got != sumOf {
		t.Errorf("the sum of 10.0.0.1:80 is %#x, and was %#x", got, uint64(sumOf))
	}
	// Every bit of what differs matters to about half of the bits of the sum.
	b := []byte("session-0123456789")
	was := Sum(b)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if n := bits.OnesCount64(was ^ Sum(b)); n < 12 || n > 52 {
			t.Errorf("bit %d changes %d bits", i, n)
		}
		b[i/8] ^= 1 << (i % 8)
	}
}

const sumOf = 0xde1fe780021e425

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{8, 24, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			key := make([]byte, n)
			for b.Loop() {
				key[0] = byte(Sum(key))
			}
		})
	}
}
