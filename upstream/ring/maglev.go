package ring

import (
	"math/bits"
	"slices"
)

// sizes of a Maglev table are primes. The first is for services of any ordinary
// size; the others are as much larger than very large ones as it takes for
// shares to differ by no more than about a fiftieth.
var sizes = [...]int{DefaultSlots, 655_373, 5_000_011}

// DefaultSlots is the size of a Maglev table that serves up to 1,310 members.
const DefaultSlots = 65_537

// Maglev is a table of slots. It does not change.
type Maglev struct{ slots []int32 }

// NewMaglev fills a table for members.
func NewMaglev(members []Member) *Maglev {
	t := &Maglev{}
	if len(members) == 0 {
		return t
	}
	size := sizes[len(sizes)-1]
	for _, s := range sizes {
		if s >= 50*len(members) {
			size = s
			break
		}
	}
	// The order of the members decides who goes first: it is that of their keys.
	order := make([]int32, len(members))
	sum := uint64(0)
	for i, m := range members {
		order[i] = int32(i)
		sum += uint64(max(m.Weight, 1))
	}
	unit := unitOf(sum, len(members))
	slices.SortFunc(order, func(a, b int32) int {
		switch x, y := members[a].Key, members[b].Key; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return int(a - b)
	})
	// What a round needs lies in the order of the round. Whether a slot is taken
	// is asked about a dozen times for each slot: a bit each stays in the
	// processor's cache, where the slots do not.
	type state struct {
		next, skip  uint32
		member      int32
		weight, due uint64 // due is what the weight has added up to
	}
	n := uint32(size)
	states := make([]state, len(members))
	for k, i := range order {
		m := &members[i]
		states[k] = state{
			member: i, weight: uint64(max(m.Weight, 1)),
			next: uint32(m.Key % uint64(n)), skip: uint32(Mix(m.Key)%uint64(n-1)) + 1,
		}
	}
	t.slots = make([]int32, size)
	taken := make([]uint64, size/64+1)
	for left := size; left > 0; {
		for k := range states {
			s := &states[k]
			// A light member passes in some rounds and a heavy one takes several
			// slots, as its weight says; a round takes a slot a member or more.
			for s.due += s.weight; s.due >= unit && left > 0; s.due -= unit {
				at := s.next
				for taken[at/64]>>(at%64)&1 != 0 {
					if at += s.skip; at >= n {
						at -= n
					}
				}
				taken[at/64] |= 1 << (at % 64)
				t.slots[at] = s.member
				s.next = at
				left--
			}
		}
	}
	return t
}

// Lookup gives the member that hash belongs to, or when nth is more than 0 that
// of another slot, a different one for each; -1 where there is none.
func (t *Maglev) Lookup(hash uint64, nth int) int {
	if nth > 0 {
		hash = Mix(hash + uint64(nth))
	}
	got, _ := t.First(hash)
	return got
}

// First gives the member that hash belongs to, and what Next takes; -1 where there
// is none.
func (t *Maglev) First(hash uint64) (member int, at uint64) {
	if len(t.slots) == 0 {
		return -1, 0
	}
	slot, _ := bits.Mul64(hash, uint64(len(t.slots))) // quicker than a remainder
	return int(t.slots[slot]), hash
}

// Next gives the member of another slot, which may be the same member again: the
// nth time that of Lookup's nth. The table has slots.
func (t *Maglev) Next(at uint64) (member int, next uint64) {
	member, _ = t.First(Mix(at + 1))
	return member, at + 1
}

// Len is the number of slots.
func (t *Maglev) Len() int { return len(t.slots) }
