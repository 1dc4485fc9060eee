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
	// long are the segments that nodes have no room for.
	long map[int32]string
}

// segment is the text that leads to a node, in place.
type segment struct {
	size uint8 // tooLong: see edges.long
	text [41]byte
}

const tooLong = 0xff

// leads says whether the edge to node n comes from a node by a segment.
func (e *edges) leads(nodes []node, n, from int32, by []byte) bool {
	to := &nodes[n]
	if to.from != from {
		return false
	}
	if to.size == tooLong {
		return e.long[n] == string(by)
	}
	return string(to.text[:to.size]) == string(by)
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
		if s.hash == hash && e.leads(nodes, s.node, from, segment) {
			return s.node
		}
	}
}

// add adds the edge from a node to n, which is new.
func (e *edges) add(nodes []node, n, from int32, by []byte) {
	to := &nodes[n]
	to.from, to.size = from, tooLong
	if len(by) <= len(to.text) {
		to.size = uint8(copy(to.text[:], by))
	} else {
		if e.long == nil {
			e.long = make(map[int32]string)
		}
		e.long[n] = string(by)
	}
	if e.used++; 2*e.used > len(e.slots) {
		old := e.slots
		e.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.node != 0 {
				e.put(s)
			}
		}
	}
	e.put(slot{e.hash(from, by), n})
}

func (e *edges) put(s slot) {
	mask := uint32(len(e.slots) - 1)
	i := s.hash & mask
	for e.slots[i].node != 0 {
		i = (i + 1) & mask
	}
	e.slots[i] = s
}
