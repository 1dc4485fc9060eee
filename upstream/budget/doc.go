// Package budget bounds how many tries after the first the requests to one
// service may cause, so that retries cannot turn a short trouble into a long
// one.
//
// # Purpose
//
// Retries help while few requests fail. When most fail, each retry is load on
// whoever is left, which fails more. A budget makes the sum of tries a fixed
// share of the requests, whatever each rule allows for itself.
//
// # Words
//
// A request deposits a share of a try; a try after the first withdraws a whole
// one. What is deposited is worth something for the ttl and nothing after.
// Besides, a minimum for each second of the ttl is always there, so that a
// service with few requests may retry too. (Finagle's RetryBudget and Linkerd's
// retry budgets are of this kind: 20%, 10 a second, 10 s.)
//
// # Life
//
// A Budget belongs to one service and does not end. Each loop deposits and
// withdraws in a share of its own, and no other goroutine does with that number.
//
// # Rules
//
// Nothing locks or allocates. A deposit may be of several requests, as each is
// seen by the other loops at once; a withdrawal, which is seldom, reads what all
// have deposited. Two loops that withdraw in the same moment may both get the
// last one: the bound is exceeded by at most one try a loop.
//
// # Not here
//
// Which try may be made, and when: package proxy.
package budget
