package short

import (
	"bytes"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
)

// memory keeps the rules of big documents, so that when one route among 10,000
// changes the others are the same nouns, without decoding them again. A rule
// is taken over only when its lines are, byte for byte, what they were at the
// same place.
type memory struct {
	mu   sync.Mutex
	docs map[place][]remembered
}

// place is where a document begins.
type place struct {
	path string
	line int
}

// remembered is one item of a list of routes.
type remembered struct {
	line  int
	lines []byte // nil when the item cannot be taken over
	at    int    // in the rules of the document
	rule  rule
}

const (
	worthwhile = 100 // routes in a document
	mostDocs   = 64  // documents remembered
)

// rules makes the rules of the items, or takes them over. Broken ones are left
// out. in stands at the list. What is to be remembered of it goes to keep when
// the rules are complete.
func (m *memory) rules(in *dialect.Decoder, c *compiler, list routes) (rules []rule, now []remembered) {
	items := list.items
	rules = make([]rule, 0, len(items))
	if len(items) < worthwhile || !list.block {
		for i, n := range items {
			if r, ok := c.rule(in, n, i); ok {
				rules = append(rules, r)
			}
		}
		return rules, nil
	}
	m.mu.Lock()
	before := m.docs[place{c.doc.Path, c.doc.Line}]
	m.mu.Unlock()
	now = make([]remembered, len(items))
	for i, n := range items {
		lines := linesOf(c.doc, items, i)
		if i < len(before) && lines != nil && before[i].line == n.Line && bytes.Equal(before[i].lines, lines) {
			r := before[i].rule
			for _, url := range r.urls {
				c.urls.name(url, r.origin)
			}
			now[i] = remembered{line: n.Line, lines: lines, at: len(rules)}
			rules = append(rules, r)
			continue
		}
		wrong := len(in.Problems())
		r, ok := c.rule(in, n, i)
		if ok && len(in.Problems()) == wrong {
			now[i] = remembered{line: n.Line, lines: lines, at: len(rules)}
		}
		if ok {
			rules = append(rules, r)
		}
	}
	return rules, now
}

// keep remembers the rules of a document.
func (m *memory) keep(doc *dialect.Document, now []remembered, rules []rule) {
	if now == nil {
		return
	}
	for i := range now {
		if now[i].lines != nil {
			now[i].rule = rules[now[i].at]
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs == nil || len(m.docs) >= mostDocs {
		m.docs = map[place][]remembered{}
	}
	m.docs[place{doc.Path, doc.Line}] = now
}

// linesOf are the lines of an item up to the next; nil for the last, whose end
// is not known.
func linesOf(doc *dialect.Document, items []*yaml.Node, i int) []byte {
	if i+1 == len(items) {
		return nil
	}
	lines, ok := doc.Between(items[i], items[i+1])
	if !ok {
		return nil
	}
	return lines
}
