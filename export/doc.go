// Package export carries what observe counted and recorded to those who want
// to know.
//
// # Words
//
// An AccessLog is a file (or standard output) with a line for each finished
// exchange. Prometheus is the page that a Prometheus server scrapes.
//
// # Life
//
// app makes one AccessLog when the settings ask for one, gives its Write to
// the loops, and closes it after they have ended. Its one goroutine is the
// only one that touches the file.
//
// # Rules
//
// A loop never waits for a reader: an AccessLog whose file is too slow drops
// lines and counts them, and its memory is bounded. A scrape of many routes
// streams; it does not build the page first.
//
// # Not here
//
// Counting (observe), deciding who may read the metrics (admin).
package export
