// Package app is the roof: the only room that knows every other one. It makes
// the parts, gives each what it needs, and ends them in the right order.
//
// # Words
//
// lists.go holds the lists that decide what naru can do: the dialects in the
// order in which they are asked, the filters in the order in which they run.
//
// # Life
//
// Run builds the loops, the proxy and the admin server, lets control follow
// the files, serves until its context ends, drains, and closes everything in
// reverse.
//
// # Rules
//
// No decision is made here that a user could see, but for the lists and the
// words on the terminal.
package app
