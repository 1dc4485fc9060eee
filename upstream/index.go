package upstream

import (
	"encoding/binary"
	"net/netip"

	"github.com/naru-mesh/naru/upstream/ring"
)

// index finds endpoints by hashes. It does not change: another with one
// endpoint more or less shares most of it.
type index struct {
	shards [][]indexed // as many as a power of two
	n      int
}

type indexed struct {
	hash uint64
	ep   *Endpoint
}

// perShard is about how many endpoints a shard has when an index is made, and
// mostShard times as many are a reason to make it anew.
const (
	perShard  = 8
	mostShard = 4
)

// newIndex takes endpoints by their hashes.
func newIndex(list []indexed) *index {
	size := 1
	for size*perShard < len(list) {
		size *= 2
	}
	x := &index{shards: make([][]indexed, size), n: len(list)}
	for _, e := range list {
		s := x.shard(e.hash)
		*s = append(*s, e)
	}
	return x
}

func (x *index) shard(hash uint64) *[]indexed { return &x.shards[hash&uint64(len(x.shards)-1)] }

// find gives the endpoint of a hash, nil where there is none.
func (x *index) find(hash uint64) *Endpoint {
	for _, e := range *x.shard(hash) {
		if e.hash == hash {
			return e.ep
		}
	}
	return nil
}

// at gives the endpoint at an address, of an index by addressHash.
func (x *index) at(addr netip.AddrPort) *Endpoint {
	if x == nil {
		return nil
	}
	hash := addressHash(addr)
	for _, e := range *x.shard(hash) {
		if e.hash == hash && e.ep.at == addr {
			return e.ep
		}
	}
	return nil
}

// change gives the index without gone and with come. Indexes of many are
// changed, others are made anew by all.
func (x *index) change(gone, come []indexed) *index {
	next := &index{shards: append([][]indexed(nil), x.shards...), n: x.n + len(come) - len(gone)}
	for _, g := range gone {
		s := next.shard(g.hash)
		less := make([]indexed, 0, len(*s))
		for _, e := range *s {
			if e.ep != g.ep {
				less = append(less, e)
			}
		}
		*s = less
	}
	for _, e := range come {
		s := next.shard(e.hash)
		*s = append((*s)[:len(*s):len(*s)], e)
	}
	if next.n > len(next.shards)*perShard*mostShard {
		var all []indexed
		for _, s := range next.shards {
			all = append(all, s...)
		}
		return newIndex(all)
	}
	return next
}

// addressHash is quick, and for this process alone.
func addressHash(a netip.AddrPort) uint64 {
	b := a.Addr().As16()
	hi, lo := binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
	return ring.Mix(ring.Mix(hi)^lo) + uint64(a.Port())*0x9E3779B97F4A7C15>>7
}
