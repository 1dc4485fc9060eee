// Package freeport gives out ports that nobody uses.
//
// A test, or a benchmark, has to know a server's port before the server listens
// there. One that is looked for and let go of again may be somebody else's when it
// is needed: tests run side by side, in one process and in several.
//
// # Words
//
// A port is held by a socket that is bound to it and does not listen. That is in
// the way of nobody who means to listen there and says SO_REUSEADDR, as servers
// and package net do, but of everybody else who asks for a free one: of this
// package in every process, and of the kernel, which gives it neither to somebody
// who asks for port 0 nor to a connection that is dialled.
//
// # Life
//
// A port of Hold is the test's until it ends, one of Take its caller's until it is
// released.
//
// # Rules
//
// All ports are from First to Last: below those that the kernel gives out
// (net.ipv4.ip_local_port_range), so that none is taken for UDP either, and above
// those that a node keeps for itself and for its workloads. Who needs one for UDP
// holds it as well; nobody binds UDP sockets in this range but by such a number.
//
// Where nobody is to listen a port is held, too: of one that was let go of somebody
// else may make use, and a connection to it may meet itself.
//
// # Not here
//
// Ports that nobody needs to know before: a test that listens itself says
// "127.0.0.1:0".
package freeport
