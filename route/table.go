package route

import (
	"regexp"

	"github.com/naru-mesh/naru/wire"
)

// Table finds the rule for a request among all entries of a listener. It is
// immutable; any number of goroutines may use it. Tables share entries.
type Table struct {
	// hosts gives the root of a host's tree in nodes.
	hosts *Hosts[int32]
	// nodes are the trees of all hosts: a node is a path up to a segment.
	nodes []node
	edges edges
	// links are the lists of entries at the nodes. links[0] ends every list.
	links []link
	// entries in order of precedence, hosts left aside: entries[i] goes before
	// entries[i+1] wherever both match on one host. briefs[i] is what most
	// lookups need of entries[i].
	entries []*entry
	briefs  []brief
	regexes map[string]*regexp.Regexp

	whole  bool // every entry that Build was given is here
	wasted int  // entries that edits took out since all was built
}

// node is a place in a host's tree. Its lists are links, 0 where empty. It is
// one line of the processor's cache, segment included, since in a large table
// it is the misses that cost; and without pointers, which spares the collector.
type node struct {
	end      int32 // entries for paths that end here: exact, template
	through  int32 // for paths that end here or go on: prefix, regex
	rest     int32 // for paths that go on: template with a rest
	variable int32 // the node below for any segment that is not empty; 0 is none
	from     int32 // the node above
	literals bool  // there are edges from here
	segment
}

// brief is the part of an entry that decides where there is nothing to check
// but the method.
type brief struct {
	rule int32
	// matched is Hit.Matched, -1 for the whole path.
	matched int32
	source  int32 // index in what Build was given
	// bare says that method is all there is to check, and nothing to capture.
	bare   bool
	method string
}

type link struct{ entry, next int32 }

// Hit is what Find found. The zero Hit is ready; it may be used again and
// again, and allocates only while it grows.
type Hit struct {
	// Rule is Entry.Rule of the winner.
	Rule int32
	// Matched is how many bytes of the path its prefix covered, trailing slash
	// left aside: 0 for "/" and for a match without a path. For other kinds it
	// is the whole path.
	Matched int
	// Params[:N] are the captures of a path template, in order. Values point
	// into the path.
	Params [MaxParams]Param
	N      int

	lists []int32 // lists of entries whose path matches
	todo  []step  // branches of the tree still to be walked
	tmp   []byte  // for decoding
}

// MaxParams bounds the captures of a path template.
const MaxParams = 8

// Param is a capture of a path template, as it stands in the path: encoded.
type Param struct {
	Name  string
	Value []byte
}

type step struct {
	node int32
	at   int
}

// Find looks for the rule for a request. host is the request's authority, with
// or without port, in any case; h.Path must be as Normalize gives it. Where
// nothing matches it returns false, and hit says nothing. "*" (OPTIONS *) is
// matched by "/", by matches without a path, and by regexes.
func (t *Table) Find(h *wire.Head, host []byte, hit *Hit) bool {
	var buf [maxHost]byte
	s := search{host: canonical(host, &buf)}
	for root, ok := t.hosts.next(&s); ok || s.stage != stageDone; root, ok = t.hosts.next(&s) {
		if !ok {
			continue
		}
		t.collect(root, h.Path, hit)
		for i := hit.pop(t.links); i >= 0; i = hit.pop(t.links) {
			b := &t.briefs[i]
			if b.bare && (b.method == "" || b.method == string(h.Method)) || !b.bare && t.entries[i].matches(h, hit) {
				hit.Rule, hit.Matched, hit.N = b.rule, int(b.matched), 0
				if b.matched < 0 {
					hit.Matched = len(h.Path)
				}
				if !b.bare {
					hit.N = len(t.entries[i].capture(h.Path, hit.Params[:0]))
				}
				return true
			}
		}
	}
	return false
}

// collect puts into hit.lists the lists of all nodes that path leads to.
func (t *Table) collect(root int32, path []byte, hit *Hit) {
	hit.lists = hit.lists[:0]
	if len(path) == 0 || path[0] != '/' {
		if l := t.nodes[root].through; l != 0 {
			hit.lists = append(hit.lists, l)
		}
		return
	}
	hit.todo = append(hit.todo[:0], step{root, 0})
	for len(hit.todo) > 0 {
		s := hit.todo[len(hit.todo)-1]
		hit.todo = hit.todo[:len(hit.todo)-1]
		for {
			n := &t.nodes[s.node]
			if n.through != 0 {
				hit.lists = append(hit.lists, n.through)
			}
			if s.at >= len(path) {
				if n.end != 0 {
					hit.lists = append(hit.lists, n.end)
				}
				break
			}
			if n.rest != 0 {
				hit.lists = append(hit.lists, n.rest)
			}
			if !n.literals && n.variable == 0 {
				break
			}
			end := s.at + 1
			for end < len(path) && path[end] != '/' {
				end++
			}
			segment := path[s.at+1 : end]
			if n.variable != 0 && len(segment) > 0 {
				hit.todo = append(hit.todo, step{n.variable, end})
			}
			if !n.literals {
				break
			}
			next := t.edges.find(t.nodes, s.node, segment)
			if next == 0 {
				break
			}
			s = step{next, end}
		}
	}
}

// pop takes the entry that goes first from hit.lists, or gives -1.
func (hit *Hit) pop(links []link) int32 {
	first, best := int32(-1), -1
	for i, l := range hit.lists {
		if l != 0 && (best < 0 || links[l].entry < first) {
			first, best = links[l].entry, i
		}
	}
	if best >= 0 {
		hit.lists[best] = links[hit.lists[best]].next
	}
	return first
}
