// Package model holds the nouns that a configuration is made of, and nothing
// that runs.
//
// # Words
//
// A Listener is a door, a Route is one rule behind it, a Service is where a
// route may lead, a Certificate is what a door shows. A Fragment is what one
// dialect made of its documents; a Config is all fragments merged; a Snapshot
// is a Config that was checked and frozen. An Origin says where a noun was
// written, and a Problem is a user's mistake with its place and a hint.
//
// # Life
//
// Dialects build nouns. control merges, Validate drops what is broken (each
// with a Problem), Freeze seals the rest into a Snapshot. A Feed carries
// Snapshots to proxy, which compiles them into a Program.
//
// # Rules
//
// Children name their parents (Route.Parents, never Listener.Routes), so one
// edit by a user changes one noun. After Freeze nothing in a Snapshot is
// written again: share it freely between goroutines. Standard library only.
//
// # Not here
//
// Parsing (dialect), I/O (source), anything that carries a request (proxy).
package model
