// Package observe counts and records what happens, without knowing who wants
// to know.
//
// # Words
//
// A Reason is why naru itself ended an exchange. A Record is the single
// account of a finished exchange, from which metrics, access log and (later)
// spans are made. A Traffic is what one event loop counted for one route,
// service or listener; Counter and Histogram are its parts, with one writer
// and any number of readers. The Registry knows every Traffic, and functions
// that read the figures of other rooms; a Family is one metric as exporters
// see it, summed over the loops.
//
// # Life
//
// app makes one Registry for the process. When a Program is built each loop
// asks for its Traffics and keeps the pointers; what a configuration no longer
// names is forgotten with Keep. Exporters call Collect when they are asked.
//
// # Rules
//
// Nothing here allocates, locks or waits on the request path. Label sets are
// bounded by the configuration, never by what clients send. Standard library
// only; exporters live in export.
package observe
