// Package observe counts and records what happens, without knowing who wants
// to know.
//
// # Words
//
// A Reason is why naru itself ended an exchange. A Record is the single
// account of a finished exchange, from which metrics, access log and (later)
// spans are made. Counter and Histogram are sharded by event loop: one writer
// a shard, any number of readers.
//
// # Rules
//
// Nothing here allocates, locks or waits on the request path. Label sets are
// bounded by the configuration, never by what clients send. Standard library
// only; exporters live in export.
package observe
