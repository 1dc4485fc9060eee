// Package locality says which share of a service's requests goes where, by how
// much of it is healthy: to each priority, and within one to each zone. It is
// arithmetic alone.
//
// # Words
//
// A Capacity is what part of a service has: the weight of its healthy endpoints
// and of all. A level is everything that is tried at the same time: the endpoints
// of one priority that are equally far. An over-provisioning factor says how much
// more than its share what is healthy is trusted to carry.
//
// # Rules
//
// Shares are of 1 and sum up to it, unless nothing is there. They change
// gradually with what is healthy: a level that loses an endpoint loses no more
// than that one's share, so that nothing that follows gets everything at once.
//
// The factor is the slack that a service is taken to have: with 1.4 a level
// carries all of its load until fewer than 72% of it are healthy (as in Envoy,
// "Priority levels").
//
// # Not here
//
// Which endpoint of a level is chosen, and who is healthy (package upstream).
package locality
