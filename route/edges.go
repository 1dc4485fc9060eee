package route

import (
	"hash/maphash"
	"math/bits"
)

// edges lead from a node down to the one for the next segment. It is one hash
// table for the nodes of all hosts, with open addressing: a step costs one slot
// and one node, where Go's map with a composite key takes twice as long. The
// seed keeps clients and users from choosing segments that collide.
type edges struct {
	seed  maphash.Seed
	slots []slot // a power of two, at most half full
	used  int
}

// slot names a node, 0 is an empty slot: a node below another is never the
// first.
type slot struct {
	hash uint32
	node int32
}

// newEdges makes room for n edges.
func newEdges(n int) edges {
	return edges{seed: maphash.MakeSeed(), slots: make([]slot, 1<<bits.Len(uint(2*n+1)))}
}

func (e *edges) hash(from int32, segment []byte) uint32 {
	h := maphash.Bytes(e.seed, segment) + uint64(from)*0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// find gives the node below from for a segment, or 0.
func (e *edges) find(nodes []node, from int32, segment []byte) int32 {
	hash := e.hash(from, segment)
	mask := uint32(len(e.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := e.slots[i]
		if s.node == 0 {
			return 0
		}
		if s.hash == hash {
			if n := &nodes[s.node]; n.from == from && n.segment == string(segment) {
				return s.node
			}
		}
	}
}

// add adds an edge that is not there yet, to a node that nodes has.
func (e *edges) add(nodes []node, n int32) {
	if e.used++; 2*e.used > len(e.slots) {
		old := e.slots
		e.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.node != 0 {
				e.put(s)
			}
		}
	}
	e.put(slot{e.hash(nodes[n].from, []byte(nodes[n].segment)), n})
}

func (e *edges) put(s slot) {
	mask := uint32(len(e.slots) - 1)
	i := s.hash & mask
	for e.slots[i].node != 0 {
		i = (i + 1) & mask
	}
	e.slots[i] = s
}
