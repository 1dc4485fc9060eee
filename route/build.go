package route

import (
	"cmp"
	"slices"
	"strings"
)

// Build makes a Table. Entries that cannot be built (a bad regex, template or
// name) are left out, each with its error, in the order of their index; a
// Table is always returned. old may be nil: where few entries differ from those
// it was built from, only these are compiled and hung into a copy of its tree
// (edit.go), and compiled regexes are always taken over. The Table keeps what
// entries point to: that must not be changed afterwards.
func Build(entries []Entry, old *Table) (*Table, []EntryError) {
	var res regexes
	if old != nil {
		if t := old.edit(entries); t != nil {
			return t, nil
		}
		res.old = old.regexes
	}
	var errs []EntryError
	compiled := make([]entry, len(entries))
	sorted := make([]ranked, 0, len(entries))
	for i := range entries {
		if err := compiled[i].compile(&entries[i], &res); err != nil {
			errs = append(errs, EntryError{Index: i, Err: err})
			continue
		}
		sorted = append(sorted, ranked{&compiled[i], int32(i)})
	}
	slices.SortFunc(sorted, ranked.compare)
	t := &Table{
		hosts:   NewHosts[int32](),
		nodes:   make([]node, 0, len(entries)+1),
		edges:   newEdges(len(entries)),
		links:   make([]link, 1, len(entries)+1),
		entries: make([]*entry, len(sorted)),
		briefs:  make([]brief, len(sorted)),
		regexes: res.new,
		whole:   len(errs) == 0,
	}
	methods := make(map[string]string) // one copy of each, which stays in the cache
	for i, r := range sorted {
		t.entries[i] = r.entry
		t.briefs[i] = r.entry.brief(methods)
		t.briefs[i].source, t.briefs[i].rule = r.source, entries[r.source].Rule
	}
	b := builder{Table: t, roots: make(map[string]int32), tails: make(map[int32]int32)}
	for i, e := range t.entries {
		for _, host := range e.hosts() {
			b.append(b.list(b.root(canonicalPattern(host)), e), int32(i))
		}
	}
	return t, errs
}

// ranked is an entry and its index in what Build was given.
type ranked struct {
	*entry
	source int32
}

func (r ranked) compare(o ranked) int {
	return cmp.Or(r.entry.compare(o.entry), cmp.Compare(r.source, o.source))
}

// builder adds entries, in order of precedence, so that every list is in order.
type builder struct {
	*Table
	roots map[string]int32
	tails map[int32]int32 // last link of a list, by its first
}

// hosts are the patterns of the entry, "" where it has none.
func (c *entry) hosts() []string {
	if len(c.from.Hostnames) == 0 {
		return []string{""}
	}
	return c.from.Hostnames
}

func (b *builder) root(host string) int32 {
	root, ok := b.roots[host]
	if !ok {
		root = b.newNode()
		b.roots[host] = root
		b.hosts.Add(host, root)
	}
	return root
}

// list finds the list in which e belongs, below a root, and makes the nodes
// that lead to it. What it gives holds until the next node is made.
func (b *builder) list(at int32, e *entry) *int32 {
	path := e.path
	if e.kind == kindRegex {
		// A regex hangs at the last whole segment of its literal text.
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
	}
	n := 0
	for path != "" {
		path = path[1:] // the slash
		end := strings.IndexByte(path, '/')
		if end < 0 {
			end = len(path)
		}
		segment := path[:end]
		path = path[end:]
		if e.kind == kindRest && path == "" {
			break
		}
		if n < len(e.params) && segment[0] == '{' {
			at = b.below(at)
			n++
			continue
		}
		at = b.child(at, segment)
	}
	node := &b.nodes[at]
	switch e.kind {
	case kindExact, kindTemplate:
		return &node.end
	case kindRest:
		return &node.rest
	}
	return &node.through
}

func (b *builder) newNode() int32 {
	b.nodes = append(b.nodes, node{})
	return int32(len(b.nodes) - 1)
}

// child gives the node below at for a segment.
func (b *builder) child(at int32, segment string) int32 {
	by := []byte(segment)
	n := b.edges.find(b.nodes, at, by)
	if n == 0 {
		n = b.newNode()
		b.nodes[at].literals = true
		b.edges.add(b.nodes, n, at, by)
	}
	return n
}

// below gives the node below at for any segment.
func (b *builder) below(at int32) int32 {
	if b.nodes[at].variable == 0 {
		n := b.newNode() // never 0: roots come first
		b.nodes[at].variable = n
	}
	return b.nodes[at].variable
}

func (b *builder) append(list *int32, i int32) {
	l := int32(len(b.links))
	b.links = append(b.links, link{entry: i})
	if *list == 0 {
		*list = l
		b.tails[l] = l
		return
	}
	first := *list
	b.links[b.tails[first]].next = l
	b.tails[first] = l
}
