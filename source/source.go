// Package source is the contract for where configuration comes from.
//
// A Source watches a place and hands over the whole set of its documents, at
// the start and after each change, in a stable order. Documents are bytes with
// a place: what they mean is a dialect's business.
package source

import (
	"context"

	"github.com/naru-mesh/naru/model"
)

// Document is one piece of configuration: a file, or one part of a file with
// several ("---").
type Document struct {
	// Path is the file as the user named it (relative stays relative).
	Path string
	// Line is the line in the file at which Data begins, from 1.
	Line int
	// Data is YAML or JSON text; nobody writes to it.
	Data []byte
	// Sum is a hash of Path, Line and Data: equal sums, equal documents.
	Sum [32]byte
}

// Set is all that a Source holds at one moment.
type Set struct {
	// Documents in order, each once. Nobody writes to the list.
	Documents []Document
	// Problems are mistakes of the place itself: an unreadable file, a name
	// that matches nothing.
	Problems []model.Problem
}

// Source watches one place.
type Source interface {
	// Name says which, for people: the path.
	Name() string
	// Watch calls changed with the full Set as soon as it is read for the
	// first time and after every change, from one goroutine, until ctx ends.
	// Changes that follow each other closely come as one.
	Watch(ctx context.Context, changed func(Set)) error
}
