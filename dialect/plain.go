package dialect

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// plainReader reads the part of YAML in which nearly all configuration is
// written: mappings and lists by indentation or in brackets, scalars on one
// line, literal blocks, comments. It makes the same tree as the library's
// parser (a fuzz test holds them together), some twenty times faster, which
// is what lets one route among 10,000 change at once.
//
// At anything else it declines: anchors, aliases, tags, merge keys, text over
// several lines, tabs, carriage returns, and every mistake. Then the library
// reads the text. The declining reader may leave a doubt, which is used for
// the message when the library finds a mistake, too: it knows the column.
type plainReader struct {
	text  string
	pos   int
	line  int // from 1
	start int // of the line
	col   int // of pos, when pos is at the first character of a line; -1 at the end
	wide  bool
	depth int
	doubt *doubt

	nodes []yaml.Node  // not yet used
	lists []*yaml.Node // not yet used
	stack []*yaml.Node // children of the collections that are open
}

// doubt is a place that looks like a mistake.
type doubt struct {
	line, column  int
	message, hint string
	// when limits it to certain complaints of the library; "" is all.
	when string
}

// readPlain gives the document's top node, nil when there is none. It is not
// ok when the text must be read by the library. line is the number of the first
// line, and depth how many collections data is inside of.
func readPlain(data []byte, line, depth int) (root *yaml.Node, ok bool, why *doubt) {
	wide, ok := plainText(data)
	if !ok {
		return nil, false, nil
	}
	f := plainReader{text: string(data), line: line, wide: wide, depth: depth}
	root, ok = f.document()
	return root, ok, f.doubt
}

// plainText checks what holds for every character. wide: some have several
// bytes, and so bytes are not columns.
func plainText(data []byte) (wide, ok bool) {
	for _, b := range data {
		if b < ' ' && b != '\n' && b != '\t' || b == 0x7F {
			return false, false
		}
		wide = wide || b >= 0x80
	}
	if !wide {
		return false, true
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1, r >= 0x80 && r < 0xA0,
			r == 0x2028, r == 0x2029, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
			return true, false
		}
		i += n
	}
	return true, true
}

func (f *plainReader) document() (*yaml.Node, bool) {
	if strings.HasPrefix(f.text, "---") && f.blankAt(3) {
		f.pos = 3
		if !f.endLine() || f.col < 0 {
			return nil, false
		}
	} else if !f.indentation() {
		return nil, false
	}
	if f.col < 0 {
		return nil, true
	}
	// A further marker would begin or end a document.
	if rest := f.text[f.start:]; strings.Contains(rest, "\n---") || strings.Contains(rest, "\n...") ||
		strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "...") {
		return nil, false
	}
	root, ok := f.block(f.col, -1)
	if !ok || f.col >= 0 {
		return nil, false
	}
	return root, true
}

// place is the line and column, from 1, of a position on this line.
func (f *plainReader) place(pos int) (line, column int) {
	column = pos - f.start + 1
	if f.wide {
		column = utf8.RuneCountInString(f.text[f.start:pos]) + 1
	}
	return f.line, column
}

// suspect declines and says why.
func (f *plainReader) suspect(pos int, when, message, hint string) bool {
	line, column := f.place(pos)
	f.doubt = &doubt{line: line, column: column, when: when, message: message, hint: hint}
	return false
}

func (f *plainReader) spaces() {
	for f.pos < len(f.text) && f.text[f.pos] == ' ' {
		f.pos++
	}
}

func (f *plainReader) atBreak() bool { return f.pos == len(f.text) || f.text[f.pos] == '\n' }

// blankAt says whether a position ends a word: space, end of line or of text.
// (Tabs end words too, but whoever meets one declines.)
func (f *plainReader) blankAt(pos int) bool {
	return pos >= len(f.text) || f.text[pos] == ' ' || f.text[pos] == '\n' || f.text[pos] == '\t'
}

// endLine leaves a line of which only blanks and a comment may be left, and
// goes to the next that holds something.
func (f *plainReader) endLine() bool {
	from := f.pos
	f.spaces()
	if !f.atBreak() {
		if f.text[f.pos] != '#' || f.pos == from {
			return false
		}
		f.comment()
	}
	if f.pos == len(f.text) {
		f.col = -1
		return true
	}
	f.newLine()
	return f.indentation()
}

func (f *plainReader) comment() {
	if i := strings.IndexByte(f.text[f.pos:], '\n'); i >= 0 {
		f.pos += i
	} else {
		f.pos = len(f.text)
	}
}

// newLine steps over a line break.
func (f *plainReader) newLine() {
	f.pos++
	f.line++
	f.start = f.pos
}

// indentation goes from the start of a line to the first character of it or
// of a later line, and sets col.
func (f *plainReader) indentation() bool {
	for {
		f.spaces()
		switch {
		case f.pos == len(f.text):
			f.col = -1
			return true
		case f.text[f.pos] == '\n':
			f.newLine()
		case f.text[f.pos] == '#':
			if f.comment(); f.pos < len(f.text) {
				f.newLine()
			}
		case f.text[f.pos] == '\t':
			line, _, _ := strings.Cut(f.text[f.pos:], "\n")
			if strings.TrimSpace(line) == "" {
				return false
			}
			return f.suspect(f.pos, "", "a tab stands where YAML wants spaces", "indent with spaces only")
		default:
			f.col = f.pos - f.start
			return true
		}
	}
}

const indentHint = "lines of one mapping or list begin in the same column"

// tooFar declines at a line that is indented further than the lines above
// allow. Without a colon it is text over several lines, which is no mistake.
func (f *plainReader) tooFar() bool {
	line, _, _ := strings.Cut(f.text[f.pos:], "\n")
	if strings.Contains(line, ": ") || strings.HasSuffix(strings.TrimRight(line, " "), ":") || strings.HasPrefix(line, "- ") {
		if above := f.lineAbove(); above != "" && !strings.Contains(above, ":") {
			return f.suspect(f.pos, "", "the indentation does not fit the lines above", "a colon is missing on the line above: "+clip(above))
		}
		return f.suspect(f.pos, "", "the indentation does not fit the lines above", indentHint)
	}
	return false
}

// lineAbove is what stands on the line before this one, or "".
func (f *plainReader) lineAbove() string {
	before := strings.TrimRight(f.text[:f.start], "\n")
	return strings.TrimSpace(before[strings.LastIndexByte(before, '\n')+1:])
}

// dash says whether a list item begins here.
func (f *plainReader) dash() bool {
	return f.text[f.pos] == '-' && f.blankAt(f.pos+1)
}

// block reads what begins at column col below (or behind the dash of) a
// parent at a column further left.
func (f *plainReader) block(col, parent int) (*yaml.Node, bool) {
	if f.depth++; f.depth > maxDepth {
		return nil, false
	}
	defer func() { f.depth-- }()
	if f.dash() {
		return f.sequence(col, false)
	}
	key, isKey, ok := f.keyOrScalar()
	if !ok {
		return nil, false
	}
	if isKey {
		return f.mapping(col, key)
	}
	if key != nil {
		return key, f.scalarEnd(parent)
	}
	return f.inline(parent)
}

// scalarEnd finishes the line of a value; a line further right than the
// parent would go on with it.
func (f *plainReader) scalarEnd(parent int) bool {
	from := f.pos
	if !f.endLine() {
		if f.doubt == nil && f.pos < len(f.text) && f.text[f.pos] == ':' && f.blankAt(f.pos+1) {
			return f.suspect(f.pos, "", "a colon stands where no value can be", "put text that holds \": \" in quotes")
		}
		if f.doubt == nil && f.pos > from {
			return f.suspect(f.pos, "", "something stands behind the end of the value", "put the whole value in quotes")
		}
		return false
	}
	if f.col > parent {
		return f.tooFar()
	}
	return true
}

// keyOrScalar reads a scalar at the start of a block and says whether it is a
// key, which means that a colon follows; pos is then behind the colon. It
// gives nil for what is not a plain or quoted scalar.
func (f *plainReader) keyOrScalar() (n *yaml.Node, isKey, ok bool) {
	switch f.text[f.pos] {
	case '[', '{', '|', '>':
		return nil, false, true
	case '"', '\'':
		if n, ok = f.quoted(); !ok {
			return nil, false, false
		}
	default:
		if n, ok = f.plain(); !ok {
			return nil, false, false
		}
	}
	if f.pos < len(f.text) && f.text[f.pos] == ':' && f.blankAt(f.pos+1) {
		const longest = 1000 // a key of 1,024 characters is a mistake
		if len(n.Value) > longest || n.Tag == "!!merge" {
			return nil, false, false
		}
		f.pos++
		return n, true, true
	}
	return n, false, true
}

func (f *plainReader) mapping(col int, key *yaml.Node) (*yaml.Node, bool) {
	n := f.node(yaml.MappingNode, "!!map", "")
	n.Line, n.Column = key.Line, key.Column
	base := len(f.stack)
	for {
		value, ok := f.value(col)
		if !ok {
			return nil, false
		}
		f.stack = append(f.stack, key, value)
		if f.col < col {
			break
		}
		if f.col > col {
			return nil, f.tooFar()
		}
		if f.dash() {
			return nil, f.suspect(f.pos, "", "an item of a list stands among the fields of a mapping", indentHint)
		}
		at := f.pos
		k, isKey, ok := f.keyOrScalar()
		if !ok {
			return nil, false
		}
		if !isKey {
			if k != nil {
				return nil, f.suspect(at, "", "a colon is missing after a name", `write "name: value", and indent what belongs below it`)
			}
			return nil, false
		}
		key = k
	}
	n.Content = f.take(base)
	return n, true
}

// value reads what a key at column col has behind its colon or below.
func (f *plainReader) value(col int) (*yaml.Node, bool) {
	empty := f.pos // where the library sees a value that is not there
	line, column := f.place(empty)
	f.spaces()
	if !f.atBreak() && f.text[f.pos] == '\t' {
		return nil, false
	}
	if f.atBreak() || f.text[f.pos] == '#' {
		f.pos = empty
		if !f.endLine() {
			return nil, false
		}
		switch {
		case f.col > col:
			return f.block(f.col, col)
		case f.col == col && f.dash():
			return f.sequence(col, true)
		}
		return f.null(line, column), true
	}
	if f.dash() {
		return nil, f.suspect(f.pos, "", "a list begins behind a colon", "write each item on a line of its own, or [a, b]")
	}
	switch f.text[f.pos] {
	case '[', '{', '|', '>':
		return f.inline(col)
	}
	n, isKey, ok := f.keyOrScalar()
	if !ok {
		return nil, false
	}
	if isKey {
		return nil, f.suspect(f.pos-1, "", "a colon stands where no value can be", "put text that holds \": \" in quotes")
	}
	return n, f.scalarEnd(col)
}

// sequence reads the items at column col. A tight one stands in the column of
// the key that it belongs to, so that the next key ends it.
func (f *plainReader) sequence(col int, tight bool) (*yaml.Node, bool) {
	if f.depth++; f.depth > maxDepth {
		return nil, false
	}
	defer func() { f.depth-- }()
	n := f.node(yaml.SequenceNode, "!!seq", "")
	n.Line, n.Column = f.place(f.pos)
	base := len(f.stack)
	for {
		f.pos++
		empty := f.pos
		line, column := f.place(empty)
		f.spaces()
		var item *yaml.Node
		ok := true
		switch {
		case !f.atBreak() && f.text[f.pos] == '\t':
			return nil, false
		case f.atBreak() || f.text[f.pos] == '#':
			f.pos = empty
			if !f.endLine() {
				return nil, false
			}
			if f.col > col {
				item, ok = f.block(f.col, col)
			} else {
				item = f.null(line, column)
			}
		default:
			item, ok = f.block(f.pos-f.start, col)
		}
		if !ok {
			return nil, false
		}
		f.stack = append(f.stack, item)
		switch {
		case f.col < col:
		case f.col > col:
			return nil, f.tooFar()
		case f.dash():
			continue
		case !tight:
			return nil, f.suspect(f.pos, "", "an item of the list does not begin with -", "items of a list begin with \"- \" in the same column")
		}
		n.Content = f.take(base)
		return n, true
	}
}

// inline reads a value that is not a plain or quoted scalar, and its line.
func (f *plainReader) inline(parent int) (*yaml.Node, bool) {
	switch f.text[f.pos] {
	case '[', '{':
		at, line, start := f.pos, f.line, f.start
		n, ok := f.flow()
		if !ok {
			if f.doubt == nil && f.pos == len(f.text) {
				f.line, f.start = line, start
				f.suspect(at, "", "a bracket is opened and not closed", "write [a, b] or {a: 1, b: 2}")
			}
			return nil, false
		}
		return n, f.scalarEnd(parent)
	case '|':
		return f.literal(parent)
	}
	return nil, false
}

// node takes a node from the supply; the caller sets the place.
func (f *plainReader) node(kind yaml.Kind, tag, value string) *yaml.Node {
	if len(f.nodes) == 0 {
		// Guess from what is left to read; an average node has some ten bytes.
		f.nodes = make([]yaml.Node, min(max((len(f.text)-f.pos)/12, 8), 512))
	}
	n := &f.nodes[0]
	f.nodes = f.nodes[1:]
	n.Kind, n.Tag, n.Value = kind, tag, value
	return n
}

func (f *plainReader) null(line, column int) *yaml.Node {
	n := f.node(yaml.ScalarNode, "!!null", "")
	n.Line, n.Column = line, column
	return n
}

// take makes a list of the children above base on the stack.
func (f *plainReader) take(base int) []*yaml.Node {
	from := f.stack[base:]
	if len(from) > cap(f.lists)-len(f.lists) {
		f.lists = make([]*yaml.Node, 0, max(len(from), min(max((len(f.text)-f.pos)/12, 8), 512)))
	}
	used := len(f.lists)
	f.lists = append(f.lists, from...)
	f.stack = f.stack[:base]
	return f.lists[used:len(f.lists):len(f.lists)]
}
