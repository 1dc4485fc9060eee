package link

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/naru-mesh/naru/model"
)

// catalog holds the resources of the newest Snapshot and the order in which
// they last changed. One goroutine applies Snapshots; any number read.
type catalog struct {
	mu      sync.RWMutex
	entries map[Name]*entry
	// log is every live entry and the tombstones, by seq. An entry that was
	// replaced is dead and leaves at the next tidying: so what a proxy misses
	// is the end of the log, with the newest state of each resource once.
	log []*entry
	// seq is that of the newest change.
	seq uint64
	// horizon: tombstones up to it are forgotten; who has seen less must say
	// what it has.
	horizon uint64
	dead    int
	// users are the listeners and services that name a certificate.
	users   map[string][]*entry
	system  model.Version
	changed chan struct{} // closed and made anew with each change
	at      time.Time     // of the newest change
	// encoded counts the frames that were made.
	encoded uint64
}

// entry is a resource at the server. It is not written to but for dead.
type entry struct {
	Name
	seq   uint64
	noun  any    // nil: it was removed
	frame []byte // shared by all streams
	sum   string
	mark  uint64
	now   facts
	// ever is what it was and is: whoever wanted any of that may have it.
	ever facts
	dead bool // guarded by catalog.mu
}

func newCatalog() *catalog {
	return &catalog{entries: map[Name]*entry{}, users: map[string][]*entry{}, changed: make(chan struct{})}
}

// mesh is what a Service of that name is in the mesh, nil where there is none.
func (c *catalog) mesh(service string) *model.MeshService {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[Name{KindService, service}]; e != nil {
		if s, ok := e.noun.(*model.Service); ok {
			return s.Mesh
		}
	}
	return nil
}

// apply makes s the newest. What is the same pointer as before is not looked
// at; what is new is encoded, once. tooLarge names what cannot be sent.
func (c *catalog) apply(s *model.Snapshot, now time.Time) (tooLarge []Name) {
	// Nobody else writes: reading needs no lock here.
	var fresh []*entry
	seen := make(map[Name]struct{}, len(c.entries))
	each(&s.Config, func(noun any) {
		name := nameOf(noun)
		old := c.entries[name]
		seen[name] = struct{}{}
		if old != nil && old.noun == noun {
			return
		}
		e := &entry{Name: name, noun: noun, now: factsOf(noun)}
		e.frame, e.sum = frameOf(name, noun)
		e.mark = markOf(name, e.sum)
		c.encoded++
		if len(e.frame) > mostBody {
			tooLarge = append(tooLarge, name)
			return // whoever has the one before keeps it
		}
		e.ever = e.now
		if old != nil {
			e.ever = e.now.join(old.ever)
			if old.sum == e.sum && old.noun != nil {
				// Made anew with the same content: only the pointer is new.
				e.seq = old.seq
			}
		}
		fresh = append(fresh, e)
	})
	for name, old := range c.entries {
		if _, ok := seen[name]; !ok && old.noun != nil {
			fresh = append(fresh, &entry{Name: name, ever: old.ever})
		}
	}
	slices.SortFunc(fresh, func(a, b *entry) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		if a.Name.Name < b.Name.Name {
			return -1
		}
		return 1
	})

	c.mu.Lock()
	defer c.mu.Unlock()
	c.system = s.Version
	touched := map[string]struct{}{}
	for _, e := range fresh {
		old := c.entries[e.Name]
		c.replace(old, e)
		for _, name := range e.now.certificates {
			if old == nil || !slices.Contains(old.now.certificates, name) {
				touched[name] = struct{}{}
			}
		}
		if old != nil {
			for _, name := range old.now.certificates {
				if !slices.Contains(e.now.certificates, name) {
					touched[name] = struct{}{}
				}
			}
		}
	}
	// Who may see a certificate has changed with who names it: it goes to the
	// end of the log, as if it had changed itself.
	for name := range touched {
		old := c.entries[Name{KindCertificate, name}]
		if old == nil || old.noun == nil {
			continue
		}
		e := *old
		e.seq, e.dead = 0, false
		c.replace(old, &e)
	}
	if len(fresh) > 0 || len(touched) > 0 {
		c.tidy()
	}
	c.at = now
	close(c.changed)
	c.changed = make(chan struct{})
	return tooLarge
}

// replace puts e where old (or nothing) was, at the end of the log unless it
// has a place already.
func (c *catalog) replace(old, e *entry) {
	if old != nil {
		for _, name := range old.now.certificates {
			c.users[name] = slices.DeleteFunc(c.users[name], func(u *entry) bool { return u == old })
			if len(c.users[name]) == 0 {
				delete(c.users, name)
			}
		}
	}
	for _, name := range e.now.certificates {
		c.users[name] = append(c.users[name], e)
	}
	c.entries[e.Name] = e
	if e.seq != 0 {
		i := c.after(e.seq - 1)
		c.log[i] = e
		return
	}
	if old != nil {
		old.dead = true
		c.dead++
	}
	c.seq++
	e.seq = c.seq
	c.log = append(c.log, e)
}

// after gives the place in the log of the first entry later than seq.
func (c *catalog) after(seq uint64) int {
	return sort.Search(len(c.log), func(i int) bool { return c.log[i].seq > seq })
}

// tidy takes the dead out of the log when they are as many as the living, and
// forgets the older half of the tombstones when these are.
func (c *catalog) tidy() {
	const few = 1024
	if c.dead > len(c.entries)+few {
		c.log = slices.DeleteFunc(c.log, func(e *entry) bool { return e.dead })
		c.dead = 0
	}
	graves := 0
	for _, e := range c.entries {
		if e.noun == nil {
			graves++
		}
	}
	if graves <= few || graves <= len(c.entries)/2 {
		return
	}
	drop := graves / 2
	c.log = slices.DeleteFunc(c.log, func(e *entry) bool {
		if e.noun != nil || e.dead || drop == 0 {
			return false
		}
		drop--
		c.horizon = e.seq
		delete(c.entries, e.Name)
		return true
	})
}

// difference is what a proxy must be told.
type difference struct {
	frames  [][]byte
	removed []Name
	seq     uint64
	system  model.Version
}

// visible says whether v sees e as it is now.
func (c *catalog) visible(v *view, e *entry) bool {
	if e.noun == nil || !v.matches(e.Name, &e.now) {
		return false
	}
	if e.Kind != KindCertificate {
		return true
	}
	// Of the certificates, those that are named by what the gateway has.
	return slices.ContainsFunc(c.users[e.Name.Name], func(u *entry) bool { return v.matches(u.Name, &u.now) })
}

// since is what has changed for v after seq. !ok: that is too long ago.
func (c *catalog) since(v *view, seq uint64) (d difference, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if seq < c.horizon {
		return d, false
	}
	for _, e := range c.log[c.after(seq):] {
		switch {
		case e.dead:
		case c.visible(v, e):
			d.frames = append(d.frames, e.frame)
		case v.matches(e.Name, &e.ever):
			d.removed = append(d.removed, e.Name)
		}
	}
	d.seq, d.system = c.seq, c.system
	return d, true
}

// same says whether a proxy that has count resources with that digest has
// exactly what v sees; d is then the empty difference.
func (c *catalog) same(v *view, count int, digest uint64) (d difference, same bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.log {
		if !e.dead && c.visible(v, e) {
			count--
			digest ^= e.mark
		}
	}
	d.seq, d.system = c.seq, c.system
	return d, count == 0 && digest == 0
}

// sync is what v lacks and has too much, when it has exactly what it says.
func (c *catalog) sync(v *view, list []have) (d difference) {
	has := make(map[Name]string, len(list))
	for _, h := range list {
		has[Name{h.Kind, h.Name}] = h.Sum
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.log {
		if e.dead || !c.visible(v, e) {
			continue
		}
		if has[e.Name] != e.sum {
			d.frames = append(d.frames, e.frame)
		}
		delete(has, e.Name)
	}
	for name := range has {
		d.removed = append(d.removed, name)
	}
	d.seq, d.system = c.seq, c.system
	return d
}

// resubscribe is the difference between two views of what was told up to seq.
func (c *catalog) resubscribe(old, v *view, seq uint64) (d difference, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if seq < c.horizon {
		return d, false
	}
	for _, e := range c.log {
		if e.dead {
			continue
		}
		now := c.visible(v, e)
		had := e.seq <= seq && c.visible(old, e)
		switch {
		case now && !had:
			d.frames = append(d.frames, e.frame)
		case !now && old.matches(e.Name, &e.ever):
			d.removed = append(d.removed, e.Name)
		}
	}
	d.seq, d.system = c.seq, c.system
	return d, true
}

// origin is where a resource was written.
func (c *catalog) origin(n Name) model.Origin {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[n]; e != nil {
		return originOf(e.noun)
	}
	return model.Origin{}
}

// state gives what a writer waits by.
func (c *catalog) state() (seq uint64, system model.Version, changed <-chan struct{}) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.seq, c.system, c.changed
}

// size is what the catalog holds.
func (c *catalog) size() (resources, bytes int, encoded uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.entries {
		if e.noun != nil {
			resources++
			bytes += len(e.frame)
		}
	}
	return resources, bytes, c.encoded
}
