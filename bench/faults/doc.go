// Command faults breaks instances of a service in every way that a network
// knows, under steady load, and counts what users see of it: through naru,
// HAProxy, nginx and Envoy.
//
// # Words
//
// A row is a kind of fault. A site is what one proxy has in one turn: three
// instances of a service (processes of this program, about 2 ms an answer), its
// network addresses, and the proxy, all started anew. A script is what happens
// to a site. Load is open: a request is due at its time whatever the answers
// do, and its latency counts from then. A turn is quiet time, the fault, and
// the time after it has healed; recovery is from the fault until two seconds
// begin without an error and with a 99th percentile of at most twice the quiet
// one (10 ms where that is less: below lies the noise of the kernel's
// scheduler). Back is from the moment at which the fault has healed until the
// instance answers users again.
//
// # Life
//
// main builds naru and then runs itself again inside a network namespace that
// nobody else has and that has no name: it is gone, and the rules in it, when
// the last process in it is, whatever ended it. Instances and proxies are
// started by one thread and end with it.
//
// # Rules
//
// Equal terms: what every product has (timeouts, checks, retries) has the same
// value; what only one has is set as its documentation advises (peers.go and
// the files beside it say why). All proxies of a row take their turn at the
// same time, each at a site of its own, so that they share the machine's mood:
// 300 requests a second are a few percent of a processor. -apart gives each its
// own time. Overload presses the processors and is always apart. The health
// path answers well under faults that a process does not notice about itself:
// that is what makes them hard.
//
// Clients count as failed what a user would: a status of 500 and more, a body
// that is cut short or not the one asked for, a connection that is closed, five
// seconds without an end. They never try again. POSTs are counted apart, and
// instances say which they were given, so that one done twice is seen.
//
// # Not here
//
// What proxies cost (bench), and the steps by which naru decides (upstream's
// transcripts in fake time).
package main
