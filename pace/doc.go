// Package pace spreads what would come all at once: requests to so many a
// second, bytes to so many a second.
//
// # Words
//
// A Clock is the whole state of a rate: the time until which it is spoken for.
// Who wants a turn reserves the next part of that time, as long as what it has
// to pass takes at the rate, and goes when that part begins; a piece of a body when
// it is over. This is GCRA, the
// generic cell rate algorithm (ITU-T I.371, annex A), used as a leaky bucket
// that is a queue. A Bytes is the rate of a body; a Turn is a piece of it that
// has its time.
//
// # Life
//
// A Clock that is shared belongs to what it bounds, such as a route; its users
// come and go. The zero Clock is ready.
//
// # Rules
//
// Time is an argument: that of a clock that never goes back and is the same for
// all users, as wire.Loop.Now is over the loops of a process. Nothing locks,
// allocates or waits. A reservation is a promise in order: who comes first goes
// first, whichever loop it is on, and nobody is passed over.
//
// # Not here
//
// Waiting for the time to come: the user has a timer. How many may wait and for
// how long is the user's as well, by the most that it reserves.
package pace
