package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Freeze seals a valid Config. The Version is a hash of the content: of every
// field of every noun, also those that are not shown (keys), and of where the
// nouns were written, so that what naru explains points at the present line.
// Neither the order of the lists nor pointers matter.
//
// The nouns belong to the Snapshot from now on: nobody may write to them.
func Freeze(c *Config) *Snapshot {
	var f Freezer
	return f.Freeze(c)
}

// Freezer freezes one Config after another and remembers the nouns of the
// last. A noun that has not changed is the same pointer in the next Snapshot,
// even if a dialect made it anew, so whoever compiles Snapshots can recognize
// what is the same by its address. The zero Freezer is ready; it is for one
// goroutine.
type Freezer struct {
	listeners    map[string]frozen[*Listener]
	routes       map[string]frozen[*Route]
	flows        map[string]frozen[*Flow]
	services     map[string]frozen[*Service]
	certificates map[string]frozen[*Certificate]
	workloads    map[string]frozen[*Workload]
	policies     map[string]frozen[*Policy]
	traffic      map[string]frozen[*TrafficPolicy]
	spare        content
}

// frozen is a noun and the hash of its content.
type frozen[T any] struct {
	noun T
	sum  sum
}

// Freeze is as the function of the same name.
func (f *Freezer) Freeze(c *Config) *Snapshot {
	s := &Snapshot{Config: Config{Settings: c.Settings, Mesh: c.Mesh}}
	// The sums of the nouns, kind by kind, each list behind its length.
	all := make([]byte, 0, 16*(len(c.Listeners)+len(c.Routes)+len(c.Flows)+len(c.Services)+len(c.Certificates)+len(c.Workloads)+len(c.Policies)+len(c.Traffic))+256)
	s.Listeners, all = freeze(f, &f.listeners, c.Listeners, all)
	s.Routes, all = freeze(f, &f.routes, c.Routes, all)
	s.Flows, all = freeze(f, &f.flows, c.Flows, all)
	s.Services, all = freeze(f, &f.services, c.Services, all)
	s.Certificates, all = freeze(f, &f.certificates, c.Certificates, all)
	s.Workloads, all = freeze(f, &f.workloads, c.Workloads, all)
	s.Policies, all = freeze(f, &f.policies, c.Policies, all)
	if len(c.Traffic) > 0 { // nothing else changes where there are none
		s.Traffic, all = freeze(f, &f.traffic, c.Traffic, all)
	} else {
		f.traffic = nil
	}
	if b := (*content)(&all); b.bool(c.Mesh != nil) {
		c.Mesh.write(b)
	}
	c.Settings.write((*content)(&all))
	sum := sha256.Sum256(all)
	s.Version = Version(hex.EncodeToString(sum[:8]))
	return s
}

// freeze gives the nouns of list in the order of their names, the same
// pointers as last time where nothing changed, and appends their sums.
func freeze[T interface {
	noun
	comparable
	write(*content)
}](f *Freezer, last *map[string]frozen[T], list []T, sums []byte) ([]T, []byte) {
	list = sorted(list)
	out := make([]T, len(list))
	next := make(map[string]frozen[T], len(list))
	sums = binary.AppendUvarint(sums, uint64(len(list)))
	for i, x := range list {
		old, ok := (*last)[x.name()]
		if !ok || old.noun != x {
			f.spare = f.spare[:0]
			x.write(&f.spare)
			now := frozen[T]{x, f.spare.sum()}
			if !ok || old.sum != now.sum {
				old = now
			}
		}
		next[x.name()] = old
		out[i] = old.noun
		sums = binary.LittleEndian.AppendUint64(sums, old.sum.a)
		sums = binary.LittleEndian.AppendUint64(sums, old.sum.b)
	}
	*last = next
	return out, sums
}
