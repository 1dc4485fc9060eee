// Package naming tells what a client means that says by itself where it wants to
// go: by a name, and a port of it.
//
// # Words
//
// A name is a host name by which a service is called. What it means at a port is
// a target: the address to which a captured connection would have gone. One name
// may mean another target at each port.
//
// # Life
//
// Names are compiled with a Program and are not written to afterwards. Any loop
// may ask them.
//
// # Rules
//
// A port that is said must be right, and who says another is told which are.
// Case does not matter, nor does a dot at the end. A question whose answer is a
// target allocates nothing.
//
// # Not here
//
// Which names there are (mesh), what is done about one that is none (proxy), DNS
// (capture).
package naming
