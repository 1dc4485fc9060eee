// Package store is the contract of what the control plane remembers: keys,
// values, watches, transactions and leases.
//
// # Words
//
// A Revision counts changes of the whole store. A Lease holds keys for as long
// as somebody keeps it alive; with it they go.
//
// # Life
//
// app opens one Store; control, the authority and link share it, each below a
// prefix of its own. Close comes last.
//
// # Rules
//
// Every method may be called from any goroutine. A method that fails has changed
// nothing, but for an error of the context: then nobody knows. A Watch misses
// nothing: it ends with ErrCompacted where it would have to.
//
// # Not here
//
// What is in the values, and who may read them.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors.
var (
	// ErrNotFound: there is no such key, or no such lease any more.
	ErrNotFound = errors.New("store: not found")
	// ErrCompacted: what is asked for is older than what is remembered; List
	// again, and watch from there.
	ErrCompacted = errors.New("store: compacted")
	// ErrUnavailable: the store cannot be reached, or has no quorum, or no room
	// on its disk. What was written before is safe. Errors wrap it with why.
	ErrUnavailable = errors.New("store: unavailable")
)

// Revision counts changes; it only grows.
type Revision int64

// Item is a key and what is in it.
type Item struct {
	Key     string // "workloads/shop/orders-1": no leading slash
	Value   []byte // must not be written to
	Created Revision
	Changed Revision
	Lease   LeaseID // 0 is none
}

// LeaseID names a lease in its store.
type LeaseID int64

// Cond is what must hold for a transaction.
type Cond struct {
	Key string
	// Changed is the Revision that the key was last changed at; 0: there is no
	// such key.
	Changed Revision
}

// Op is a change: a value is put, or (Delete) the key goes.
type Op struct {
	Key    string
	Value  []byte
	Lease  LeaseID
	Delete bool
}

// Event is one change of one key.
type Event struct {
	Item
	Deleted bool // Item has the key and the Revision (Changed) only
}

// Store remembers.
type Store interface {
	// Get gives one key, ErrNotFound where there is none.
	Get(ctx context.Context, key string) (Item, error)
	// List gives all keys that begin with prefix, sorted, as they were at the
	// Revision that it returns.
	List(ctx context.Context, prefix string) ([]Item, Revision, error)
	// Txn makes all of ops or, where one of conds does not hold, none. done says
	// which; at is the Revision after it.
	Txn(ctx context.Context, conds []Cond, ops ...Op) (at Revision, done bool, err error)
	// Watch tells of every change after a Revision to keys that begin with
	// prefix, in order; the changes of one transaction come in one call. It
	// returns when ctx ends (its error), when tell returns an error (that), or
	// with ErrCompacted. While the store cannot be reached it waits.
	Watch(ctx context.Context, prefix string, after Revision, tell func([]Event) error) error
	// Lease makes a lease that ends ttl (at least 2 s) after it was last kept
	// alive.
	Lease(ctx context.Context, ttl time.Duration) (LeaseID, error)
	// KeepAlive prolongs a lease once; ErrNotFound when it has ended.
	KeepAlive(ctx context.Context, id LeaseID) error
	// Revoke ends a lease and its keys now.
	Revoke(ctx context.Context, id LeaseID) error
	// Lead waits until nobody else leads under name, and leads until ctx ends or
	// lost is closed. It is for what only one replica may do.
	Lead(ctx context.Context, name string) (lost <-chan struct{}, err error)
	Close() error
}
