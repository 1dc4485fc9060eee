package dialect

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// Bounds of one document. They are far above what people and generators
// write, and low enough that a hostile file costs memory in proportion to its
// own size only.
const (
	maxBytes = 64 << 20  // text of one document
	maxDepth = 100       // mappings and lists inside each other
	maxNodes = 1_000_000 // beyond the nodes written, those that aliases add
)

// Read parses the text of a document. A syntax error is a Problem with its
// place; Root is then nil.
func Read(doc source.Document) (*Document, []model.Problem) {
	d := &Document{Document: doc}
	if len(doc.Data) > maxBytes {
		return d, []model.Problem{d.Problem(nil, "", "too-big",
			fmt.Sprintf("the document has %d MiB, and %d MiB is the most", len(doc.Data)>>20, maxBytes>>20),
			"split it into several documents with a line ---")}
	}
	root, ok, doubt := readPlain(doc.Data, 1, 0)
	d.plain = ok
	if !ok {
		var problem *model.Problem
		if root, problem = readYAML(d, doubt); problem != nil {
			return d, []model.Problem{*problem}
		}
	}
	if root == nil || root.Tag == "!!null" {
		return d, nil // nothing but comments
	}
	if root.Kind != yaml.MappingNode {
		return d, []model.Problem{d.Problem(root, "", "bad-document",
			"a document is a mapping of fields, and this is "+describe(root),
			`write fields, for example "routes:"`)}
	}
	d.Root = root
	return d, nil
}

// Items reads the items of a block list from their own lines, the first of
// which is the line of that number in doc and begins an item. They are the
// items that Read would find there if the whole is Plain and the lines end
// where an item or the list does. Not ok is for lines that Read must judge. d
// has no Root; it is for a Decoder of the items.
func Items(doc source.Document, lines []byte, line int) (d *Document, items []*yaml.Node, ok bool) {
	if len(doc.Data) > maxBytes {
		return nil, nil, false
	}
	list, ok, _ := readPlain(lines, line, 1)
	if !ok || list == nil || list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 {
		return nil, nil, false
	}
	return &Document{Document: doc, plain: true}, list.Content, true
}

// readYAML reads any YAML with the library's parser. The root is nil when
// the text holds no value. doubt is where there may be a mistake, or nil.
func readYAML(d *Document, doubt *doubt) (*yaml.Node, *model.Problem) {
	var top yaml.Node
	if err := yaml.Unmarshal(d.Data, &top); err != nil {
		p := syntaxProblem(d, err, doubt)
		return nil, &p
	}
	if top.Kind != yaml.DocumentNode || len(top.Content) == 0 {
		return nil, nil
	}
	r := resolver{doc: d, state: map[*yaml.Node]*resolved{}}
	root, _ := r.resolve(top.Content[0], 0)
	return root, r.problem
}

// resolver replaces aliases by what they stand for and merge keys by what
// they merge, so that everyone after it sees a plain tree. It counts what a
// reader of the result will see: an alias that is cheap to write many times
// over ("billion laughs") must not be expensive to read.
type resolver struct {
	doc     *Document
	state   map[*yaml.Node]*resolved // of anchored nodes
	problem *model.Problem           // the first; ends the work
	added   int                      // nodes that aliases added so far
}

type resolved struct {
	node  *yaml.Node // nil while it is being resolved
	nodes int        // in the tree below, itself included
	depth int        // levels below
}

// size is the count and depth of a resolved tree.
type size struct{ nodes, depth int }

func (r *resolver) fail(n *yaml.Node, code, message, hint string) {
	if r.problem == nil {
		p := r.doc.Problem(n, "", code, message, hint)
		r.problem = &p
	}
}

// resolve works in place, because nobody else has the tree yet, and returns
// the node that stands at n's place.
func (r *resolver) resolve(n *yaml.Node, depth int) (*yaml.Node, size) {
	if r.problem != nil {
		return n, size{1, 0}
	}
	if depth > maxDepth {
		r.fail(n, "too-deep", fmt.Sprintf("more than %d levels inside each other", maxDepth), "")
		return n, size{1, 0}
	}
	if n.Kind == yaml.AliasNode {
		return r.alias(n, depth)
	}
	if n.Kind == yaml.ScalarNode && !knownTag(n.Tag) {
		r.fail(n, "bad-value", "the tag "+n.Tag+" is not understood", "leave it out")
	}
	var mine *resolved
	if n.Anchor != "" {
		mine = &resolved{}
		r.state[n] = mine
	}
	total := size{nodes: 1}
	merges := false
	for i, c := range n.Content {
		c, s := r.resolve(c, depth+1)
		n.Content[i] = c
		total.nodes += s.nodes
		total.depth = max(total.depth, s.depth+1)
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode {
				r.fail(c, "bad-value", "a key must be a name, not "+describe(c),
					"text in braces is a mapping in YAML: put it in quotes")
			}
			merges = merges || c.Tag == "!!merge"
		}
	}
	if merges && r.problem == nil {
		r.merge(n)
	}
	if mine != nil {
		mine.node, mine.nodes, mine.depth = n, total.nodes, total.depth
	}
	return n, total
}

func (r *resolver) alias(n *yaml.Node, depth int) (*yaml.Node, size) {
	target := r.state[n.Alias]
	if target == nil || target.node == nil {
		r.fail(n, "bad-value", "*"+n.Value+" contains itself", "an alias can only refer to something before it")
		return n, size{1, 0}
	}
	r.added += target.nodes
	if r.added > maxNodes {
		r.fail(n, "too-big", fmt.Sprintf("aliases add more than %d nodes", maxNodes),
			"write less with * and <<")
	}
	if depth+target.depth > maxDepth {
		r.fail(n, "too-deep", fmt.Sprintf("more than %d levels inside each other", maxDepth), "")
	}
	return target.node, size{target.nodes, target.depth}
}

// merge replaces the merge keys of a mapping. What is written in the mapping
// itself counts first, then the merged mappings in their order.
func (r *resolver) merge(n *yaml.Node) {
	var own, merged []*yaml.Node
	have := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		have[key.Value] = true
		own = append(own, key, value)
	}
	for len(merged) > 0 {
		m := merged[0]
		merged = merged[1:]
		switch m.Kind {
		case yaml.SequenceNode:
			for _, item := range m.Content {
				if item.Kind != yaml.MappingNode {
					r.fail(item, "bad-value", "<< merges mappings, not "+describe(item), "")
					return
				}
			}
			merged = append(append([]*yaml.Node{}, m.Content...), merged...)
		case yaml.MappingNode:
			for i := 0; i+1 < len(m.Content); i += 2 {
				if key := m.Content[i]; !have[key.Value] {
					have[key.Value] = true
					own = append(own, key, m.Content[i+1])
				}
			}
			// Merged pairs are nodes that a reader sees again.
			if r.added += len(m.Content); r.added > maxNodes {
				r.fail(n, "too-big", fmt.Sprintf("aliases add more than %d nodes", maxNodes),
					"write less with * and <<")
				return
			}
		default:
			r.fail(m, "bad-value", "<< merges mappings, not "+describe(m), "")
			return
		}
	}
	n.Content = own
}

// knownTag says whether a scalar's type is one that JSON can say, too.
func knownTag(tag string) bool {
	switch tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!binary", "!!merge":
		return true
	}
	return false
}

// describe says what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) == 0 {
			return "an empty mapping"
		}
		return "a mapping"
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			return "an empty list"
		}
		return "a list"
	}
	value := clip(n.Value)
	switch n.Tag {
	case "!!int", "!!float":
		return "the number " + value
	case "!!bool":
		return value
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "the date " + value
	}
	return fmt.Sprintf("the text %q", value)
}

// clip keeps a quotation short, and on one line.
func clip(s string) string {
	const most = 60
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i] + "..."
	}
	if len(s) <= most {
		return s
	}
	for cut := most; ; cut-- {
		if s[cut]&0xC0 != 0x80 { // not inside a character
			return s[:cut] + "..."
		}
	}
}
