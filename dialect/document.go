package dialect

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// Document is a source.Document read as a YAML tree, which remembers where in
// the file each of its nodes stands.
//
// Aliases and merge keys (<<) are already resolved: the tree holds mappings,
// sequences and scalars only, and every key is a scalar. A node that was
// written once and referred to twice is shared, so nobody may write to the
// tree.
type Document struct {
	source.Document
	// Root is the document's top mapping; nil when the text is empty or is not
	// a mapping.
	Root *yaml.Node

	plain bool // read by the plain reader: no node refers to another
}

// Plain says that nothing in the tree depends on text elsewhere, as aliases do:
// an item of a block list (not in brackets) is what its own lines say, and
// Items reads it from these.
func (d *Document) Plain() bool { return d.plain }

// Keys are the names at the top of the document, in order.
func (d *Document) Keys() []string {
	if d.Root == nil {
		return nil
	}
	keys := make([]string, 0, len(d.Root.Content)/2)
	for i := 0; i+1 < len(d.Root.Content); i += 2 {
		keys = append(keys, d.Root.Content[i].Value)
	}
	return keys
}

// Get gives the value node of a top-level key, or nil.
func (d *Document) Get(key string) *yaml.Node {
	return child(d.Root, key)
}

// child gives the value of a key in a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// Origin gives the place of a node; field is its path in the document
// ("spec.rules[0].name"). A nil node is the document itself.
func (d *Document) Origin(n *yaml.Node, field string) model.Origin {
	if n == nil {
		return d.place(1, 0, field)
	}
	return d.place(n.Line, n.Column, field)
}

// place turns a line of the document into a line of the file.
func (d *Document) place(line, column int, field string) model.Origin {
	if d.Line > 1 {
		line += d.Line - 1
	}
	return model.Origin{Source: d.Path, Line: line, Column: column, Field: field}
}

// Problem makes a Problem at a node.
func (d *Document) Problem(n *yaml.Node, field, code, message, hint string) model.Problem {
	return model.Problem{
		Origin:   d.Origin(n, field),
		Severity: model.Broken,
		Code:     code,
		Message:  message,
		Hint:     hint,
	}
}

// Decode fills into (a pointer) from n, strictly: an unknown field, a wrong
// type and a duplicate key are Problems, each at its own place with a hint
// ("did you mean path?"), and everything else is decoded all the same. Field
// names are those of the json tags; inline structs, pointers, slices, maps,
// json.Unmarshaler and encoding.TextUnmarshaler types are understood;
// time.Duration is written as "1s", "250ms", "1h30m"; []byte is base64. null
// is the same as leaving a field out, but for fields with the tag empty:"wrong",
// which must not be empty where they are written. path is the field path of n in the
// document, "" for the root. A nil n decodes nothing.
func (d *Document) Decode(n *yaml.Node, path string, into any) []model.Problem {
	in := d.Decoder(path)
	in.Into(n, into)
	return in.Problems()
}

// At finds the node of a field path as Decode writes them
// ("spec.rules[0].matches", `metadata.labels["app.kubernetes.io/name"]`), or
// the nearest parent that is there.
func (d *Document) At(path string) *yaml.Node {
	n := d.Root
	for path != "" && n != nil {
		name, index, rest := nextStep(path)
		var next *yaml.Node
		if index >= 0 {
			if n.Kind == yaml.SequenceNode && index < len(n.Content) {
				next = n.Content[index]
			}
		} else {
			next = child(n, name)
		}
		if next == nil {
			break
		}
		n, path = next, rest
	}
	return n
}

// nextStep splits the first step off a field path: a name, or an index >= 0.
func nextStep(path string) (name string, index int, rest string) {
	path = strings.TrimPrefix(path, ".")
	if strings.HasPrefix(path, "[") {
		if quoted, err := strconv.QuotedPrefix(path[1:]); err == nil {
			name, _ = strconv.Unquote(quoted)
			return name, -1, strings.TrimPrefix(path[1+len(quoted):], "]")
		}
		if number, after, ok := strings.Cut(path[1:], "]"); ok {
			if i, err := strconv.Atoi(number); err == nil && i >= 0 {
				return "", i, after
			}
			return number, -1, after
		}
		return path, -1, ""
	}
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end], -1, path[end:]
	}
	return path, -1, ""
}
