package route

import (
	"maps"
	"regexp"
	"slices"

	"github.com/naru-mesh/naru/model"
)

// edit gives the Table of entries when it differs little from t: one route of
// ten thousand changes far more often than all of them. It copies the tree,
// which is a few plain blocks of memory, takes out what is gone and hangs in
// what is new; t serves on meanwhile. It gives nil when all is better built
// anew: much differs, something has a mistake, or too much waste has gathered.
func (t *Table) edit(entries []Entry) *Table {
	d := t.diff(entries)
	if d == nil {
		return nil
	}
	wasted := t.wasted + len(d.gone)
	if wasted > len(entries)/4 {
		return nil
	}
	res := regexes{old: t.regexes}
	added := make([]ranked, len(d.added))
	for i, source := range d.added {
		e := new(entry)
		if e.compile(&entries[source], &res) != nil {
			return nil
		}
		added[i] = ranked{e, source}
	}
	slices.SortFunc(added, ranked.compare)

	b := builder{Table: &Table{
		hosts:   t.hosts,
		nodes:   append(make([]node, 0, len(t.nodes)+8*len(added)), t.nodes...),
		edges:   t.edges,
		links:   append(make([]link, 0, len(t.links)+2*len(added)), t.links...),
		regexes: t.regexes,
		whole:   true,
		wasted:  wasted,
	}}
	b.edges.slots = slices.Clone(t.edges.slots)
	b.edges.long = maps.Clone(t.edges.long)
	if len(res.new) > 0 {
		b.regexes = make(map[string]*regexp.Regexp, len(t.regexes)+len(res.new))
		maps.Copy(b.regexes, t.regexes)
		maps.Copy(b.regexes, res.new)
	}
	for _, rank := range d.gone {
		e := t.entries[rank]
		for _, host := range e.hosts() {
			root, _ := t.hosts.get(canonicalPattern(host))
			b.remove(b.list(root, e), rank)
		}
	}
	places := b.arrange(t, d, added, entries)
	for i, r := range added {
		for _, host := range r.entry.hosts() {
			b.insert(b.list(b.rootOf(t, canonicalPattern(host)), r.entry), places[i])
		}
	}
	return b.Table
}

// diff is what to change.
type diff struct {
	gone  []int32 // ranks in the old Table
	added []int32 // indexes in the new entries
	// Entries of the old Table from index tail on have moved by shift.
	tail, shift int32
}

// diff compares by position from both ends; nil when too much is different.
func (t *Table) diff(entries []Entry) *diff {
	before, now := len(t.entries), len(entries)
	if !t.whole || before == 0 || now == 0 {
		return nil
	}
	ranks := make([]int32, before) // by index
	for rank := range t.briefs {
		ranks[t.briefs[rank].source] = int32(rank)
	}
	same := func(i, j int) bool { return t.entries[ranks[i]].from.same(&entries[j]) }
	head, tail := 0, 0
	for head < min(before, now) && same(head, head) {
		head++
	}
	for tail < min(before, now)-head && same(before-1-tail, now-1-tail) {
		tail++
	}
	d := &diff{tail: int32(before - tail), shift: int32(now - before)}
	most := now / 8
	if before != now && max(before, now)-head-tail > most {
		return nil
	}
	for i := head; i < max(before, now)-tail; i++ {
		if before == now && same(i, i) {
			continue
		}
		if i < before-tail {
			d.gone = append(d.gone, ranks[i])
		}
		if i < now-tail {
			d.added = append(d.added, int32(i))
		}
		if len(d.gone) > most || len(d.added) > most {
			return nil
		}
	}
	return d
}

// same says whether o makes the same entry, Rule aside.
func (e *Entry) same(o *Entry) bool {
	return e.Order == o.Order && e.Preflight == o.Preflight &&
		slices.Equal(e.Hostnames, o.Hostnames) && sameMatch(&e.Match, &o.Match)
}

func sameMatch(a, b *model.Match) bool {
	return a.PathKind == b.PathKind && a.Path == b.Path && a.Method == b.Method &&
		slices.Equal(a.Headers, b.Headers) && slices.Equal(a.Queries, b.Queries) && slices.Equal(a.Cookies, b.Cookies)
}

// arrange puts the entries that stay and those that are added in order, and
// makes the links speak of the new order. It gives the places of the added.
func (b *builder) arrange(t *Table, d *diff, added []ranked, entries []Entry) (places []int32) {
	b.entries = make([]*entry, 0, len(entries))
	b.briefs = make([]brief, 0, len(entries))
	places = make([]int32, 0, len(added))
	methods := make(map[string]string)
	moved := make([]int32, len(t.entries))
	for _, rank := range d.gone {
		moved[rank] = -1
	}
	take := func(e *entry, f brief) int32 {
		f.rule = entries[f.source].Rule
		b.entries, b.briefs = append(b.entries, e), append(b.briefs, f)
		return int32(len(b.entries) - 1)
	}
	add := func() {
		r := added[len(places)]
		f := r.entry.brief(methods)
		f.source = r.source
		places = append(places, take(r.entry, f))
	}
	for rank, e := range t.entries {
		if moved[rank] < 0 {
			continue
		}
		f := t.briefs[rank]
		if f.source >= d.tail {
			f.source += d.shift
		}
		for len(places) < len(added) && added[len(places)].compare(ranked{e, f.source}) < 0 {
			add()
		}
		moved[rank] = take(e, f)
	}
	for len(places) < len(added) {
		add()
	}
	for i := 1; i < len(b.links); i++ {
		if l := &b.links[i]; l.entry >= 0 { // not waste already
			l.entry = moved[l.entry]
		}
	}
	return places
}

// rootOf gives the root of a host's tree, which may be new.
func (b *builder) rootOf(t *Table, host string) int32 {
	root, ok := b.hosts.get(host)
	if !ok {
		if b.hosts == t.hosts {
			b.hosts = t.hosts.clone()
		}
		root = b.newNode()
		b.hosts.Add(host, root)
	}
	return root
}

// insert puts an entry at its place in a list.
func (b *builder) insert(list *int32, rank int32) {
	b.links = append(b.links, link{entry: rank})
	for *list != 0 && b.links[*list].entry < rank {
		list = &b.links[*list].next
	}
	made := int32(len(b.links) - 1)
	b.links[made].next = *list
	*list = made
}

// remove takes an entry out of a list.
func (b *builder) remove(list *int32, rank int32) {
	for *list != 0 && b.links[*list].entry != rank {
		list = &b.links[*list].next
	}
	*list = b.links[*list].next // its link is waste: arrange gives it -1
}
