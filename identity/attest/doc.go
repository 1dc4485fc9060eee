// Package attest tells to which workload of this machine a process belongs, and
// which process a connection of this machine was made by.
//
// # Words
//
// A Workload is known by the process that has come to serve it (naru exec), and
// by its cgroup where it has one. What it starts belongs to it. A caller is a
// process that holds the client's end of a connection.
//
// # Life
//
// Everything is asked anew of the kernel, by /proc and by sock_diag(7): nothing
// is believed from before. Callers remembers who called last, to look there
// first, and is for any goroutine.
//
// # Rules
//
// Who cannot be told is nobody: a process whose descriptors this one may not
// see, a connection that its client has closed already.
//
// # Not here
//
// What a workload may do (app, proxy), its identity (identity/agent).
package attest
