// Package load is both ends of a benchmark: the service behind a proxy, and
// the clients before it.
//
// # Words
//
// The origin is the service: it answers by the last segment of the path, with
// bodies that never change. A Plan says what clients do during a window of
// time; a Result is what came of it. In a closed loop a client sends its next
// request when it has the answer to the last; in an open loop requests are due
// at a fixed rate, whatever the answers do, and a latency counts from when the
// request was due. A fresh client opens a connection for each request.
//
// # Life
//
// Serve and Answer are the main functions of two child processes. They end
// when their standard input does, so nothing outlives the benchmark. A
// Generator is the parent's handle of the second: one command at a time, a
// line of JSON each way.
//
// # Rules
//
// Clients check status and length of each answer; anything else is a failure
// with a name. The window begins after the warm-up; only what is completed
// within it counts. The generator reads the processor time of the proxy's
// processes itself, at the same two moments as its own counters.
//
// # Not here
//
// What is compared with what, and proxies (package bench).
package load
