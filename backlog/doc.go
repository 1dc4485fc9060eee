// Package backlog keeps what a busy goroutine has not come to yet, in the order in
// which it is to come to it.
//
// # Words
//
// A Backlog has two queues. What has begun is work that something was spent on
// already, and that is nearly done: it goes first. What is fresh is work that
// nothing was spent on. A fair share of the turns is that of fresh work, so that
// work which goes on for ever does not starve it. The wait is how long fresh work
// that comes now will wait for its turn.
//
// # Life
//
// The zero Backlog is ready. Its owner adds what it puts off, and takes the next
// when it has time. Busy periods begin when something is added to an empty Backlog
// and end when it is empty again.
//
// # Rules
//
// Within a queue first come is first served. An item waits in one queue once. To
// finish before beginning keeps the number of things that are half done small, and
// so the time that one of many steps takes is one wait, not one for each step.
//
// The wait is told before anybody has waited for it: how many are there, at the
// pace at which they went lately. A measurement of those that come out says what
// was long ago, when many more come in than go out.
//
// Time is an argument: that of a clock that never goes back. Nothing locks or
// waits; memory is that of the longest queue, and is given back when that is
// empty.
//
// # Not here
//
// What is urgent, and so is put off by nobody (wire.Rank), when to put off
// (wire/loop), and what is refused when the wait is long (overload).
package backlog
