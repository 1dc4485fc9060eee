// Package etcd is a store.Store in etcd: a server inside this process, alone or
// as one of the replicas of a control plane, or a cluster outside of it.
//
// # Words
//
// Embedded: the server is part of this process and keeps its files in a folder.
// A member is an embedded server that is one of several. Outside is a cluster
// that somebody else runs.
//
// # Life
//
// Open starts the server (if it is embedded) and gives the Store. Close ends
// watches, leadership and the server. One goroutine watches over an embedded
// server: it makes room when etcd has run out of it, and starts the server
// again when it has failed.
//
// # Rules
//
// An embedded server that is alone listens nowhere: calls go from function to
// function. A member listens for its peers only, with certificates both ways
// wherever that is not the loopback. Every write is on the disk (fsync) before
// it is answered.
//
// A call ends after Options.Wait, 5 s, unless its context ends it earlier. A
// write that ran out of that time wraps context.DeadlineExceeded besides
// store.ErrUnavailable: nobody knows whether it was made.
//
// etcd ends its process where it cannot go on. In naru it does not: the
// goroutine ends, the Store is unavailable, and is started anew. So that it does
// not come to that, writes are refused while the disk has less room left than
// etcd may need next (Options.Reserve); reads and watches go on.
//
// What must be written by one transaction is at most 10,000 changes and 1.5 MiB;
// an outside cluster has its own bounds, 128 and 1.5 MiB unless it was told
// otherwise.
//
// # Not here
//
// Members that come and go while a cluster runs: that is done with etcdctl.
package etcd
