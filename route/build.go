package route

import (
	"slices"
	"strings"
)

// Build makes a Table. Entries that cannot be built (a bad regex, template or
// name) are left out, each with its error, in the order of their index; a
// Table is always returned. What does not change between two Tables, the
// compiled regexes, is taken from old, which may be nil. The Table keeps
// entries: they must not be changed afterwards.
func Build(entries []Entry, old *Table) (*Table, []EntryError) {
	var errs []EntryError
	var res regexes
	if old != nil {
		res.old = old.regexes
	}
	compiled := make([]entry, len(entries))
	sorted := make([]*entry, 0, len(entries))
	for i := range entries {
		if err := compiled[i].compile(&entries[i], i, &res); err != nil {
			errs = append(errs, EntryError{Index: i, Err: err})
			continue
		}
		sorted = append(sorted, &compiled[i])
	}
	slices.SortFunc(sorted, (*entry).compare)
	t := &Table{
		hosts:   NewHosts[int32](),
		nodes:   make([]node, 0, len(entries)+1),
		edges:   newEdges(len(entries)),
		links:   make([]link, 1, len(entries)+1),
		entries: make([]entry, len(sorted)),
		briefs:  make([]brief, len(sorted)),
		regexes: res.new,
	}
	methods := make(map[string]string) // one copy of each, which stays in the cache
	for i, e := range sorted {
		t.entries[i] = *e
		t.briefs[i] = e.brief(methods)
	}
	b := builder{Table: t, roots: make(map[string]int32), tails: make(map[int32]int32)}
	for i := range t.entries {
		b.insert(int32(i))
	}
	return t, errs
}

// builder adds entries, in order of precedence, so that every list is in order.
type builder struct {
	*Table
	roots map[string]int32
	tails map[int32]int32 // last link of a list, by its first
}

func (b *builder) insert(i int32) {
	e := &b.entries[i]
	hostnames := e.from.Hostnames
	if len(hostnames) == 0 {
		hostnames = []string{""}
	}
	for _, host := range hostnames {
		b.insertAt(b.root(canonicalPattern(host)), i)
	}
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

func (b *builder) insertAt(at, i int32) {
	e := &b.entries[i]
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
		b.append(&node.end, i)
	case kindRest:
		b.append(&node.rest, i)
	default:
		b.append(&node.through, i)
	}
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
