// Package dialect is the contract for the languages in which people write
// configuration, and the strict decoder that they share.
//
// # Life
//
// control gives each document to the first dialect that Claims it, has it
// Parsed once for as long as its bytes do not change, and has all parsed
// documents of a dialect Translated together, because documents refer to each
// other.
//
// # Rules
//
// Pure: no I/O, no clock, no goroutine; what is remembered between calls only
// saves work and never changes a result. A mistake becomes a Problem with file,
// line and column, and takes out only what it touches.
package dialect

import (
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// Dialect is one language.
type Dialect interface {
	// Name is for people: "short", "gatewayapi".
	Name() string
	// Claims says whether a document is of this dialect, from its top-level
	// keys.
	Claims(doc *Document) bool
	// Parse reads one document. The result is kept and given to Translate
	// again as long as the document does not change; nil when nothing of it
	// can be used.
	Parse(doc *Document) (any, []model.Problem)
	// Translate makes nouns of all parsed documents. What was Parsed must not
	// be written to. Nouns should be the same pointers as long as what they
	// were made of is the same, where that is cheap.
	Translate(items []any) *model.Fragment
}

// Rereader is a Dialect that can spare work when a big document changes a
// little.
type Rereader interface {
	Dialect
	// Reread gives what Parse would make of now without Problems. was is what
	// Parse or Reread made of old, which began at the same place, without
	// Problems; it is not written to. Not ok says to Read and Parse.
	Reread(was any, old, now source.Document) (item any, ok bool)
}

// Mover is a Dialect that can spare work when lines are inserted or removed
// above a document.
type Mover interface {
	Dialect
	// Move gives what Parse would make of now without Problems. was is what
	// Parse or Move made of old, without Problems, and is not written to; now
	// differs from old in its Line alone.
	Move(was any, old, now source.Document) any
}
