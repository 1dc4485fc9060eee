package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Freeze seals a valid Config. The Version is a hash of the content: of every
// field of every noun, also those that are not shown (keys), and of where the
// nouns were written, so that what naru explains points at the present line.
// Neither the order of the lists nor pointers matter.
//
// The nouns, and the lists of them, belong to the Snapshot from now on: nobody may
// write to them.
func Freeze(c *Config) *Snapshot {
	var f Freezer
	return f.Freeze(c)
}

// Freezer freezes one Config after another and remembers the nouns of the
// last. A noun that has not changed is the same pointer in the next Snapshot,
// even if a dialect made it anew, so whoever compiles Snapshots can recognize
// what is the same by its address. What is at the same address as at the last
// call has not changed, and costs next to nothing. The zero Freezer is ready; it
// is for one goroutine.
type Freezer struct {
	listeners    froze[*Listener]
	routes       froze[*Route]
	flows        froze[*Flow]
	services     froze[*Service]
	certificates froze[*Certificate]
	workloads    froze[*Workload]
	policies     froze[*Policy]
	traffic      froze[*TrafficPolicy]
	spare        content
	// endpoints are the sums of those of long lists, by service.
	endpoints map[string]*endpointSums
}

// froze is what was frozen last of a kind.
type froze[T any] struct {
	in   []T   // as it came, sorted by name; no other has this list
	out  []T   // what became of each; a Snapshot has it
	kept int   // of out that are not those of in, but from before
	sums []sum // of each
	all  sum   // of them all, in whatever order
}

// Freeze is as the function of the same name.
func (f *Freezer) Freeze(c *Config) *Snapshot {
	s := &Snapshot{Config: Config{Settings: c.Settings, Mesh: c.Mesh}}
	all := make(content, 0, 1024)
	s.Listeners = freeze(f, &f.listeners, c.Listeners, &all)
	s.Routes = freeze(f, &f.routes, c.Routes, &all)
	s.Flows = freeze(f, &f.flows, c.Flows, &all)
	s.Services = freeze(f, &f.services, c.Services, &all)
	s.Certificates = freeze(f, &f.certificates, c.Certificates, &all)
	s.Workloads = freeze(f, &f.workloads, c.Workloads, &all)
	s.Policies = freeze(f, &f.policies, c.Policies, &all)
	if len(c.Traffic) > 0 { // nothing else changes where there are none
		s.Traffic = freeze(f, &f.traffic, c.Traffic, &all)
	} else {
		f.traffic = froze[*TrafficPolicy]{}
	}
	if all.bool(c.Mesh != nil) {
		c.Mesh.write(&all)
	}
	c.Settings.write(&all)
	sum := sha256.Sum256(all)
	s.Version = Version(hex.EncodeToString(sum[:8]))
	for name := range f.endpoints {
		if i, ok := slices.BinarySearchFunc(s.Services, name, func(x *Service, name string) int { return strings.Compare(x.Name, name) }); !ok || len(s.Services[i].Endpoints) < manyEndpoints {
			delete(f.endpoints, name)
		}
	}
	return s
}

// freeze gives the nouns of list in the order of their names, the same
// pointers as last time where nothing changed, and appends how many they are and
// the sum of their sums to all.
func freeze[T interface {
	noun
	comparable
	write(*content)
}](f *Freezer, last *froze[T], list []T, all *content) []T {
	hunks := Hunks(last.in, list, nil)
	if !inOrder(list, hunks) {
		list = sorted(list)
		hunks = Hunks(last.in, list, nil)
	}
	// What a noun was before stands in a hunk too, as names are unique.
	before := map[string]frozen[T]{}
	for _, h := range hunks {
		for i := h.A; i < h.B; i++ {
			before[last.in[i].name()] = frozen[T]{last.out[i], last.sums[i]}
			if last.all.less(last.sums[i]); last.out[i] != last.in[i] {
				last.kept--
			}
		}
	}
	var out, made []T // made are what becomes of what stands in hunks now
	var fresh []sum
	for _, h := range hunks {
		for _, x := range list[h.C:h.D] {
			now := f.sumOf(x)
			if old, ok := before[x.name()]; ok && old.sum == now && old.noun != x {
				x = old.noun
				last.kept++
			}
			made, fresh = append(made, x), append(fresh, now)
			last.all.more(now)
		}
	}
	if out = list; last.kept > 0 {
		out = make([]T, 0, len(list))
		at := 0
		for _, h := range hunks {
			out = append(append(out, last.out[at:h.A]...), made[:h.D-h.C]...)
			at, made = h.B, made[h.D-h.C:]
		}
		out = append(out, last.out[at:]...)
	}
	for _, h := range slices.Backward(hunks) { // so that places before stay what they are
		last.in = slices.Replace(last.in, h.A, h.B, list[h.C:h.D]...)
		from := len(fresh) - (h.D - h.C)
		last.sums = slices.Replace(last.sums, h.A, h.B, fresh[from:]...)
		fresh = fresh[:from]
	}
	last.out = out
	all.number(uint64(len(list)))
	*all = binary.LittleEndian.AppendUint64(*all, last.all.a)
	*all = binary.LittleEndian.AppendUint64(*all, last.all.b)
	return slices.Clip(out)
}

// frozen is a noun and the hash of its content.
type frozen[T any] struct {
	noun T
	sum  sum
}

// more adds a sum to a sum of many, less takes it away.
func (s *sum) more(o sum) { s.a, s.b = s.a+o.a, s.b+o.b }
func (s *sum) less(o sum) { s.a, s.b = s.a-o.a, s.b-o.b }

// inOrder says whether list is sorted by name, where the one before was and they
// differ by hunks.
func inOrder[T noun](list []T, hunks []Hunk) bool {
	for _, h := range hunks {
		for i := max(h.C, 1); i < min(h.D+1, len(list)); i++ {
			if strings.Compare(list[i-1].name(), list[i].name()) > 0 {
				return false
			}
		}
	}
	return true
}

// manyEndpoints are so many that writing them down takes longer than to find
// those that were written down before.
const manyEndpoints = 64

// endpointSums are those of a long list of endpoints.
type endpointSums struct {
	of   []*Endpoint
	sums []sum
	all  sum // of each and the next, so that their order counts
}

// sumOf hashes x. Of a long list of endpoints only those are written down that were
// not there last time.
func (f *Freezer) sumOf(x interface{ write(*content) }) sum {
	f.spare = f.spare[:0]
	s, ok := x.(*Service)
	if !ok || len(s.Endpoints) < manyEndpoints {
		x.write(&f.spare)
		return f.spare.sum()
	}
	e := f.endpoints[s.Name]
	if e == nil {
		if f.endpoints == nil {
			f.endpoints = map[string]*endpointSums{}
		}
		e = &endpointSums{}
		f.endpoints[s.Name] = e
	}
	for _, h := range slices.Backward(Hunks(e.of, s.Endpoints, nil)) {
		for i := h.A; i <= h.B; i++ {
			e.all.less(e.pair(i))
		}
		now := make([]sum, 0, h.D-h.C)
		for _, x := range s.Endpoints[h.C:h.D] {
			f.spare = f.spare[:0]
			x.write(&f.spare)
			now = append(now, f.spare.sum())
		}
		e.sums = slices.Replace(e.sums, h.A, h.B, now...)
		for i := h.A; i <= h.A+len(now); i++ {
			e.all.more(e.pair(i))
		}
	}
	e.of = s.Endpoints
	f.spare = f.spare[:0]
	s.writeBut(&f.spare)
	f.spare = binary.LittleEndian.AppendUint64(f.spare, uint64(len(e.sums)))
	f.spare = binary.LittleEndian.AppendUint64(f.spare, e.all.a)
	f.spare = binary.LittleEndian.AppendUint64(f.spare, e.all.b)
	return f.spare.sum()
}

// pair hashes what stands before place i and what stands there; outside of the list
// there is nothing.
func (e *endpointSums) pair(i int) sum {
	var b [32]byte
	if i > 0 {
		binary.LittleEndian.PutUint64(b[:], e.sums[i-1].a)
		binary.LittleEndian.PutUint64(b[8:], e.sums[i-1].b)
	}
	if i < len(e.sums) {
		binary.LittleEndian.PutUint64(b[16:], e.sums[i].a)
		binary.LittleEndian.PutUint64(b[24:], e.sums[i].b)
	}
	return content(b[:]).sum()
}
