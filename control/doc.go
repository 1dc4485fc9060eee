// Package control turns what the sources hold into Snapshots, and never stops
// serving because of a mistake.
//
// # Words
//
// A round goes from the newest Set of every source to a Snapshot: gather,
// translate, merge, publish, in files of those names. What a broken part was
// before it broke is retained: it goes on serving (retain.go).
//
// # Life
//
// app makes a Control and runs it. Run starts one goroutine for each source,
// does the rounds itself, one after another, and ends when its context does,
// after the sources have ended. Next may be called from any goroutine: it is
// how a proxy follows. Check does one round for `naru check`, with nothing
// before it.
//
// # Rules
//
// No queues: only the newest matters. A round is a function of the Sets and
// of the round before. A dialect that panics is a Problem, not the end; what
// it made before stays.
//
// # Not here
//
// What documents mean (dialect), what is valid (model), carrying Snapshots to
// other machines (link), building a Program (proxy).
package control
