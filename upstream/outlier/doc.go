// Package outlier finds the endpoints of a service that do worse than the rest,
// by how real requests on them went, and says when they may come back.
//
// # Words
//
// A Group is the endpoints of one service. An Endpoint is in, or ejected: then
// it gets no requests, but for a probe, one real request after its back-off
// that decides whether it comes back. Totals are what was counted on it since
// it exists.
//
// # Life
//
// The owner calls Observe for each endpoint about once a second, and when one
// has failed many times in a row, and then Sweep, which says what has changed.
// Probed and Healthy take what is found out about an ejected endpoint. Time is
// an argument, from any clock that only goes forward; nothing here locks.
//
// # Rules
//
// Detectors: failed requests in a row; failed connects in a row; a success rate
// that is too low, with enough requests that it is not chance; one far below the
// mean of the peers; a median latency far above that of the peers.
//
// An endpoint that fails as its peers do is not ejected: what is wrong is behind
// them, and one of them fewer would only make it worse. The last that is in is
// never ejected, nor is any when the allowed share of the group is out.
//
// Each further ejection doubles the back-off, until the endpoint has been well
// for some time.
//
// # Not here
//
// Counting on the request path, and who gets a probe (upstream).
package outlier
