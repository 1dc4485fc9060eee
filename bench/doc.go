// Command bench compares naru with nginx, HAProxy, Caddy and Envoy: the same
// work, the same service behind, one processor for the proxy, the others for
// clients and service.
//
// # Words
//
// The field is all proxies, running side by side. A row is a kind of load; a
// round gives each proxy its turn at it, in an order that rotates. A figure is
// something else than load: memory, starts, reloads. A spread is the median of
// the rounds with the least and the most. A ratio is naru's figure by another's
// in the same round, because the machine's mood changes from round to round
// more than within one. A target is what naru must reach.
//
// # Life
//
// main starts the origin and the generator (bench/load) as processes of this
// same program, then the field (bench/peer), goes through rows and figures,
// prints the report and writes it into bench/results. Whatever ends it, every
// process that it started ends too.
//
// # Rules
//
// Compare ratios, not figures of different runs. Proxies that are not
// installed are named and left out; bench/install gets those that Debian has.
//
// # Not here
//
// The load itself (bench/load), configurations (bench/peer), processor time
// and memory of processes (bench/cost), what happens when something breaks
// (bench/faults).
package main
