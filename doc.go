// Package naru is the map of the house. Nothing runs here; the binary is
// cmd/naru.
//
// naru is an API gateway and a service mesh in one Go binary: many languages
// in, one model, one program swapped in, one path through.
//
// A configuration goes up: source reads documents, dialect makes nouns of
// them, control merges and checks, and offers a model.Snapshot as a Feed.
// A request goes through: wire/loop reads bytes, wire/http1 makes an exchange
// of them, proxy finds its rule with route, runs filter's chain, and asks a
// service through upstream.
//
// The rooms and who may enter which stand in floors.txt; ARCHITECTURE.md is
// the tour, RATIONALE.md says why it is so and not otherwise.
package naru
