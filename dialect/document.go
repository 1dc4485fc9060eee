package dialect

import (
	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// Document is a source.Document read as a YAML tree, which remembers where in
// the file each of its nodes stands.
type Document struct {
	source.Document
	// Root is the document's top mapping; nil when the text is empty or is not
	// a mapping.
	Root *yaml.Node
}

// Read parses the text of a document. A syntax error is a Problem with its
// place; Root is then nil.
func Read(doc source.Document) (*Document, []model.Problem) {
	panic("to be written by the owner of dialect")
}

// Keys are the names at the top of the document, in order.
func (d *Document) Keys() []string { panic("to be written") }

// Get gives the value node of a top-level key, or nil.
func (d *Document) Get(key string) *yaml.Node { panic("to be written") }

// Origin gives the place of a node; field is its path in the document
// ("spec.rules[0].name").
func (d *Document) Origin(n *yaml.Node, field string) model.Origin { panic("to be written") }

// Problem makes a Problem at a node.
func (d *Document) Problem(n *yaml.Node, field, code, message, hint string) model.Problem {
	panic("to be written")
}

// Decode fills into (a pointer) from n, strictly: an unknown field, a wrong
// type and a duplicate key are Problems, each at its own place with a hint
// ("did you mean path?"), and everything else is decoded all the same. Field
// names are those of the json tags; inline structs, pointers, slices, maps,
// json.Unmarshaler and encoding.TextUnmarshaler types are understood;
// time.Duration is written as "1s", "250ms", "1h30m". path is the field path
// of n in the document, "" for the root.
func (d *Document) Decode(n *yaml.Node, path string, into any) []model.Problem {
	panic("to be written")
}

// At finds the node of a field path as Decode writes them
// ("spec.rules[0].matches"), or the nearest parent that is there.
func (d *Document) At(path string) *yaml.Node { panic("to be written") }
