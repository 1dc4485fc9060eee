// Package upstream runs what a model.Service asks for: it knows the service's
// endpoints, chooses one for each try, and lends a connection to it.
//
// # Words
//
// A Set holds the clusters of one proxy; a Cluster is one running Service. An
// Endpoint is one address of it. A plan is an immutable list of the endpoints
// that may be chosen now, in tiers: those of one priority and place, among which
// the balancing chooses. The layout is what the next plan is made of: groups, of
// which each becomes a tier. A pool holds the connections of one endpoint on one
// loop; a link is one of these connections. A Lease is a connection that a flow
// has for itself, from no pool.
//
// # Life
//
// Set.Prepare builds what a configuration needs and disturbs nothing; Commit
// makes it current; clusters that are no longer named come back from Commit
// and are handed to Retire when nobody uses them any more. Cluster.Pick runs
// on a loop for each try. Resolving names and checking health happen on
// goroutines that belong to the Set and end with it, or with their cluster.
//
// # Rules
//
// A pick neither locks nor allocates; only a new connection does the latter.
// Loops share atomics: the plan, an endpoint's state, its count of requests
// in flight, how long it takes, whether it is ejected. Everything in a pool is the loop's own,
// save its counters, which one loop writes and anyone reads.
//
// An unhealthy endpoint is not chosen, unless all are unhealthy: then all are
// (panic routing: a wrong health check must not stop a service that may work).
// What is not healthy moves its share of the requests to the next tier, and no
// more (package upstream/locality). An endpoint that could not be connected to stands aside for
// 250 ms, doubling up to 10 s, while another can be chosen instead. So does
// one that was tried before in the same exchange. When nothing else is left,
// such an endpoint is chosen all the same.
//
// How tries go decides who is ejected (package outlier): loops count, and a
// goroutine of the Set judges. An ejected endpoint is not in the plan either,
// but for one pick when its back-off is over, the probe.
//
// One endpoint that comes, goes or changes among many costs what it is, and not
// what they are: lists are compared before, by address (match.go), then its rows, its places
// in indexes and its weight are put in or taken out (membership.go). What all of
// them decide, such as which keys are whose, is made beside the loops (tables.go).
// A service of fewer than 512 is laid out anew.
//
// A name that cannot be looked up keeps its last addresses.
//
// # Not here
//
// Whether to try again (proxy), the protocol on the connection (wire/http1),
// TLS of requests (wire/secure, through Env.TLS).
package upstream
