package dialect

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// flow reads a list in brackets or a mapping in braces, over several lines if
// need be. JSON is made of these.
func (f *plainReader) flow() (*yaml.Node, bool) {
	if f.depth++; f.depth > maxDepth {
		return nil, false
	}
	defer func() { f.depth-- }()
	kind, tag, end := yaml.SequenceNode, "!!seq", byte(']')
	if f.text[f.pos] == '{' {
		kind, tag, end = yaml.MappingNode, "!!map", '}'
	}
	n := f.node(kind, tag, "")
	n.Style = yaml.FlowStyle
	n.Line, n.Column = f.place(f.pos)
	f.pos++
	base := len(f.stack)
	for {
		if !f.flowSpace() {
			return nil, false
		}
		if f.text[f.pos] == end {
			break
		}
		item, ok := f.flowNode()
		if !ok {
			return nil, false
		}
		f.stack = append(f.stack, item)
		if kind == yaml.MappingNode {
			value, ok := f.flowValue(item)
			if !ok {
				return nil, false
			}
			f.stack = append(f.stack, value)
		}
		if !f.flowSpace() {
			return nil, false
		}
		if f.text[f.pos] == ',' {
			f.pos++
			continue
		}
		if f.text[f.pos] != end {
			return nil, f.suspect(f.pos, "did not find expected ',' or", "a comma or a closing bracket is missing before this", "write [a, b] or {a: 1, b: 2}")
		}
	}
	f.pos++
	n.Content = f.take(base)
	return n, true
}

// flowValue reads the colon behind a key and the value behind it.
func (f *plainReader) flowValue(key *yaml.Node) (*yaml.Node, bool) {
	const longest = 1000 // as in block mappings
	if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || len(key.Value) > longest {
		return nil, false
	}
	if f.pos == len(f.text) || f.text[f.pos] != ':' {
		return nil, false
	}
	f.pos++
	if key.Style == 0 && !f.blankAt(f.pos) || !f.flowSpace() {
		return nil, false
	}
	return f.flowNode()
}

// flowSpace goes to the next character that counts; there must be one.
func (f *plainReader) flowSpace() bool {
	for f.pos < len(f.text) {
		switch f.text[f.pos] {
		case ' ', '\t':
			f.pos++
		case '\n':
			f.newLine()
		case '#':
			if f.pos > f.start && f.text[f.pos-1] != ' ' {
				return false
			}
			f.comment()
		default:
			return true
		}
	}
	return false
}

func (f *plainReader) flowNode() (*yaml.Node, bool) {
	switch f.text[f.pos] {
	case '[', '{':
		return f.flow()
	case '"', '\'':
		return f.quoted()
	}
	return f.flowPlain()
}

// flowPlain reads a plain scalar inside brackets, where commas and brackets
// end it, too.
func (f *plainReader) flowPlain() (*yaml.Node, bool) {
	begin := f.pos
	c := f.text[begin]
	if strings.IndexByte("&!*?:,[]{}#|>%@`\t", c) >= 0 {
		return nil, false
	}
	if c == '-' && (f.blankAt(begin+1) || strings.IndexByte(",[]{}", f.text[begin+1]) >= 0) {
		return nil, false
	}
	end := begin
	i := begin
scan:
	for ; i < len(f.text); i++ {
		switch f.text[i] {
		case '\n', ',', ']', '}':
			break scan
		case '\t', '?':
			return nil, false
		case '[', '{':
			return nil, f.suspect(begin, "did not find expected ',' or", "inside brackets, text that holds brackets must be in quotes", "for example \"/orders/{id}\"")
		case ' ':
			continue
		case '#':
			if f.text[i-1] == ' ' {
				break scan
			}
		case ':':
			if f.blankAt(i + 1) {
				if i != end {
					return nil, false
				}
				break scan
			}
		}
		end = i + 1
	}
	f.pos = end
	return f.scalar(begin, f.text[begin:end]), true
}
