package ring

import "slices"

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
	type state struct {
		next, skip uint32
		due        uint64 // what the member's weight has added up to
	}
	n := uint32(size)
	states := make([]state, len(members))
	for i, m := range members {
		second := Mix(m.Key)
		states[i] = state{next: uint32(m.Key % uint64(n)), skip: uint32(second%uint64(n-1)) + 1}
	}
	t.slots = make([]int32, size)
	for i := range t.slots {
		t.slots[i] = -1
	}
	for left := size; left > 0; {
		for _, i := range order {
			s := &states[i]
			// A light member passes in some rounds and a heavy one takes several
			// slots, as its weight says; a round takes a slot a member or more.
			for s.due += uint64(max(members[i].Weight, 1)); s.due >= unit && left > 0; s.due -= unit {
				for t.slots[s.next] >= 0 {
					if s.next += s.skip; s.next >= n {
						s.next -= n
					}
				}
				t.slots[s.next] = i
				left--
			}
		}
	}
	return t
}

// Lookup gives the member that hash belongs to, or when nth is more than 0 that
// of another slot, a different one for each; -1 where there is none.
func (t *Maglev) Lookup(hash uint64, nth int) int {
	if len(t.slots) == 0 {
		return -1
	}
	if nth > 0 {
		hash = Mix(hash + uint64(nth))
	}
	return int(t.slots[hash%uint64(len(t.slots))])
}

// Len is the number of slots.
func (t *Maglev) Len() int { return len(t.slots) }
