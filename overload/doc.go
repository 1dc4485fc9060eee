// Package overload says how much of what comes the proxy itself can still do.
//
// # Words
//
// A Sample is what was measured over a tick: the memory that is needed, the share
// of the processors that is used and how long goroutines wait for one, and, for
// each loop, how long an event has waited until its turn came, at the least: what
// waits at the least, waits always (a standing queue), while a queue that is empty
// now and then is only a busy moment. Bounds are how much of each is too much. A
// Level is how far things are: from accepting more slowly over refusing requests
// of low and of normal priority to refusing critical ones. A share is how many of
// a class's requests are refused. A Gate is what one loop asks about each request,
// and tells how long what it has put off will wait.
//
// # Life
//
// The owner measures every Tick while there is something to do, hands a Sample to
// Controller.Update, opens and closes the Gates by the Decision, and tells the
// listening sockets how to accept. Where nothing happens nothing is measured.
//
// # Rules
//
// A busy proxy is not an overloaded one: processors that are used up are no
// trouble as long as nothing waits for long. Nothing is a cliff: what is refused
// is a share, which grows with the pressure and shrinks with it. Delays are each
// loop's own: one that is overloaded does not have another refuse. Memory and
// processors are everybody's.
//
// What a loop puts off is bounded by the loop itself, through its Gate, in proportion
// to how long it will take: that is known in advance, and at once. For what waits
// without being looked at a share has to be found, which takes some tenths of a
// second.
//
// How the share follows the delay is that of PIE (RFC 8033, a proportional and
// integral controller), told in the logarithm of what is admitted, so that three
// and thirty times too much are answered alike.
//
// Time is an argument, files come from an fs.FS. Nothing here locks, nor waits but
// for a collection of garbage (Usage.Collect); a
// Gate is read by its loop with one atomic load, which is all that a calm proxy
// pays for a request.
//
// # Not here
//
// Queue delays, and that what is critical goes first (wire/loop, backlog), when to look (app), what a refused request is told (proxy), and bounds
// of single services (upstream).
package overload
