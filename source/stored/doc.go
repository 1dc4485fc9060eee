// Package stored takes configuration from documents that are kept in a
// store.Store, and is how they get there.
//
// # Words
//
// A document has a key ("routes/shop"), is one piece of YAML or JSON, and stands
// below "documents/" in the store. Its Path, which messages name, is
// "stored:" and the key.
//
// # Life
//
// New, then Watch in a goroutine of the caller's until its context ends. Put,
// Delete and the others may be called at any time from anywhere: the admin API
// does, and whoever registers a workload, with a lease.
//
// # Rules
//
// Documents come sorted by key. One that has not changed is the same bytes with
// the same Sum in every Set, so control reads again what did change, alone.
// Changes are told after 8 ms without another, or 100 ms after the first; of
// several of one document the last counts.
//
// While the store cannot be reached the last Set stays. At the start that is the
// copy on the disk (Keep). Where there is none the first Set waits for the store,
// since half a configuration is worse than the last whole one, unless Keep says
// otherwise. What the store no longer remembers the changes of is
// listed anew.
//
// # Not here
//
// What the documents say (dialect), and who may write them (admin).
package stored
