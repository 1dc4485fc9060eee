// Package peer runs the proxies that the benchmark compares.
//
// # Words
//
// A Kind is a product: how its configuration is written and its process
// started. A Job is what every proxy is to do; a Peer is one that runs.
//
// # Life
//
// Find looks for the products that are installed. A Starter starts processes
// on chosen processors; it belongs to one thread, because the kernel ends a
// child when the thread that started it ends. Peer.Stop ends the process and
// what it has started.
//
// # Rules
//
// All do the same work: HTTP/1.1 with keep-alive on both sides, X-Forwarded-For,
// -Proto and -Host and X-Request-Id added, no access log, one worker. Each is
// tuned as its documentation advises for that. The peers get one route, naru
// as many as the Job says.
//
// # Not here
//
// Load (bench/load) and figures (bench).
package peer
