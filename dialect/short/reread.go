package short

import (
	"bytes"
	"slices"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/source"
)

// items are where the routes of a big document stand, so that when one of
// 10,000 changes only its lines are read. The zero items can not be used.
type items struct {
	column int   // of the dashes, from 0
	lines  []int // of the dashes, from 0
	end    int   // the line behind the list; 0 is the end of the text
}

// worthwhile is how many routes make a document big.
const worthwhile = 100

// itemsOf finds the lines of the items of a list.
func itemsOf(doc *dialect.Document, list *routes) (found items) {
	if len(list.items) < worthwhile || !list.block || !doc.Plain() {
		return items{}
	}
	found.column = list.column - 1
	found.lines = make([]int, len(list.items))
	starts := lineStarts(doc.Data)
	for i, n := range list.items {
		found.lines[i] = n.Line - 1
		if !found.begins(doc.Data[starts[n.Line-1]:]) {
			return items{} // what it holds begins on the line after its dash
		}
	}
	for i := 0; i+2 < len(doc.Root.Content); i += 2 {
		if doc.Root.Content[i].Value == "routes" {
			found.end = doc.Root.Content[i+2].Line - 1
		}
	}
	return found
}

// begins says whether a line begins an item.
func (t *items) begins(line []byte) bool {
	if len(line) <= t.column+1 || line[t.column] != '-' || line[t.column+1] != ' ' {
		return false
	}
	for _, c := range line[:t.column] {
		if c != ' ' {
			return false
		}
	}
	return true
}

// lineStarts gives where each line begins; behind the last line break there is
// one more, which may be empty.
func lineStarts(data []byte) []int {
	starts := make([]int, 1, bytes.Count(data, []byte("\n"))+1)
	for i := 0; ; {
		n := bytes.IndexByte(data[i:], '\n')
		if n < 0 {
			return starts
		}
		i += n + 1
		starts = append(starts, i)
	}
}

// Reread implements dialect.Rereader. It is ok when nothing differs but some
// items, which stand on the lines where they stood, what may have been added
// behind the last, and what stands around them, on as many lines as before. Items
// that are the same stay the same nouns.
func (d *Dialect) Reread(was any, old, now source.Document) (any, bool) {
	before, ok := was.(*file)
	if !ok || len(before.items.lines) == 0 {
		return nil, false
	}
	at := &before.items
	from, to := lineStarts(old.Data), lineStarts(now.Data)
	oldEnd, newEnd := len(old.Data), len(now.Data)
	if at.end > 0 {
		if len(from) != len(to) {
			return nil, false
		}
		oldEnd, newEnd = from[at.end], to[at.end]
	}
	n := len(at.lines)
	first := at.lines[0]
	if at.lines[n-1] >= len(to) {
		return nil, false
	}
	f := *before
	if !bytes.Equal(old.Data[:from[first]], now.Data[:to[first]]) || !bytes.Equal(old.Data[oldEnd:], now.Data[newEnd:]) {
		around, ok := d.around(now, to, at)
		if !ok {
			return nil, false
		}
		around.rules, around.items = before.rules, before.items
		f = *around
	}
	f.rules = slices.Clone(before.rules)
	f.items.lines = slices.Clip(f.items.lines) // what is appended is not the old one's
	changed := 0
	for i, line := range at.lines {
		a, b := old.Data[from[line]:oldEnd], now.Data[to[line]:newEnd]
		if i+1 < n {
			next := at.lines[i+1]
			a, b = old.Data[from[line]:from[next]], now.Data[to[line]:to[next]]
		}
		if bytes.Equal(a, b) {
			continue
		}
		if changed++; changed > n/4 || !f.reread(now, i, b) {
			return nil, false
		}
	}
	var c compiler
	for i := range f.rules {
		for _, url := range f.rules[i].urls {
			c.urls.name(url, f.rules[i].scheme, f.rules[i].origin)
		}
	}
	f.services = append(slices.Clone(f.services[:f.own]), c.urls.list...)
	f.alone = join([]*file{&f}, true)
	return &f, true
}

// around reads a document without its items, but for the first: what stands before
// and behind them.
func (d *Dialect) around(now source.Document, starts []int, at *items) (*file, bool) {
	second, end := at.lines[1], at.end
	if end == 0 {
		end = len(starts) - 1
	}
	text := slices.Clone(now.Data[:starts[second]])
	text = append(text, bytes.Repeat([]byte("\n"), end-second)...)
	text = append(text, now.Data[starts[end]:]...)
	now.Data = text
	doc, problems := dialect.Read(now)
	if len(problems) > 0 || doc.Root == nil || !doc.Plain() || !d.Claims(doc) {
		return nil, false
	}
	item, problems := d.Parse(doc)
	f, ok := item.(*file)
	if !ok || len(problems) > 0 || len(f.rules) != 1 {
		return nil, false
	}
	// The items must begin where they did, and be of the same list.
	n := doc.Get("routes")
	same := n != nil && len(n.Content) == 1 && n.Content[0].Line == at.lines[0]+1 && n.Column == at.column+1
	for i := 0; i+2 < len(doc.Root.Content); i += 2 {
		if doc.Root.Content[i].Value == "routes" {
			same = same && doc.Root.Content[i+2].Line == at.end+1
		}
	}
	return f, same
}

// reread puts what text says in the place of item i. Behind the last item there
// may be more.
func (f *file) reread(now source.Document, i int, text []byte) bool {
	if !f.items.begins(text) {
		return false
	}
	doc, nodes, ok := dialect.Items(now, text, f.items.lines[i]+1)
	if !ok || len(nodes) != 1 && (i+1 < len(f.items.lines) || f.items.end > 0) {
		return false
	}
	starts := lineStarts(text)
	c := compiler{doc: doc}
	in := doc.Decoder("")
	in.Enter("routes")
	for k, n := range nodes {
		below := n.Line - 1 - f.items.lines[i]
		r, ok := c.rule(in, n, i+k)
		if !ok || len(in.Problems()) > 0 || !f.items.begins(text[starts[below]:]) {
			return false
		}
		switch {
		case k > 0:
			f.rules, f.items.lines = append(f.rules, r), append(f.items.lines, n.Line-1)
		case below > 0:
			return false // what it holds begins on the line after its dash
		default:
			f.rules[i] = r
		}
	}
	return true
}
