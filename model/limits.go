package model

import (
	"cmp"
	"time"
)

// ServiceLimits bounds what runs on a Service at once, through one proxy, all its
// loops together. Of numbers of which nothing else is said, 0 is the default, and
// NoLimit is no bound. What is beyond a bound is refused as overloaded, with 503.
//
// The defaults, which a Service without ServiceLimits has too, are bulkheads: they
// keep a service that does not answer from taking connections and memory from the
// others, and no service that works comes near them.
type ServiceLimits struct {
	// Requests is how many may run at once, tries counted; 0 is no bound. Those
	// of low priority get in up to three quarters of it, critical ones may pass it
	// by a fifth. With Adaptive it is the most that the limit may become.
	Requests int `json:"requests,omitempty"`
	// Adaptive finds the limit out from how long the service takes to answer.
	Adaptive bool `json:"adaptive,omitempty"`
	// Least and Most bound an adaptive limit; 0 is 8 and 4096.
	Least int `json:"least,omitempty"`
	Most  int `json:"most,omitempty"`
	// Connections is how many may be open to the service, those of Flows and those
	// that are idle counted. 0 is as many as a quarter of the files that the process
	// may have open; then no more requests run on HTTP/2 connections either, each
	// loop having its part of them.
	Connections int `json:"connections,omitempty"`
	// EndpointConnections is the same for each of its endpoints; 0 is no bound.
	EndpointConnections int `json:"endpointConnections,omitempty"`
	// Pending is how many requests may wait at once, for one of Requests or for a
	// connection, those on connections that are being made counted. 0 is a quarter
	// of the files that the process may have open, from 64 to 8192. Critical
	// requests may pass it by a fifth, and others make room for them.
	Pending int `json:"pending,omitempty"`
	// Wait is how long a request waits for its turn, before it is sent. 0 is
	// DefaultWait, negative is not at all. In a queue that is not empty for longer
	// only critical requests wait so long, others a twentieth of it.
	Wait time.Duration `json:"wait,omitempty"`
	// Retries is how many tries after the first may run at once, beside the
	// RetryBudget; 0 is no bound.
	Retries int `json:"retries,omitempty"`
}

// NoLimit takes a default bound away.
const NoLimit = -1

// MostLimit bounds the numbers of ServiceLimits: no machine has more.
const MostLimit = 1_000_000_000

// Of ServiceLimits.Wait: where nothing else is said, and the most.
const (
	DefaultWait = time.Second
	MostWait    = time.Minute
)

// Filled gives the bounds that hold in a process that may have so many files open
// (0: not known, no bound follows from it): 0 and below is none. Wait is never 0. nil
// has the defaults.
func (m *ServiceLimits) Filled(files int) ServiceLimits {
	var l ServiceLimits
	if m != nil {
		l = *m
	}
	l.Wait = cmp.Or(l.Wait, DefaultWait)
	if files <= 0 {
		return l
	}
	if l.Connections == 0 {
		l.Connections = max(files/4, 64)
	}
	if l.Pending == 0 {
		l.Pending = min(max(files/4, 64), 8192)
	}
	return l
}

// Priority is how much a Route's requests, or a Flow's connections, matter when not
// all can be served.
type Priority string

const (
	PriorityNormal   Priority = "" // the default
	PriorityLow      Priority = "low"
	PriorityCritical Priority = "critical"
)

func (l *ServiceLimits) write(b *content) {
	if !b.bool(l != nil) {
		return
	}
	b.int(int64(l.Requests))
	b.bool(l.Adaptive)
	b.int(int64(l.Least))
	b.int(int64(l.Most))
}

// writeMore is for the end of a Service: nothing else changes where it is not set.
func (l *ServiceLimits) writeMore(b *content) {
	if l == nil {
		return
	}
	more := [...]int64{int64(l.Connections), int64(l.EndpointConnections), int64(l.Pending), int64(l.Wait), int64(l.Retries)}
	if more == [len(more)]int64{} {
		return
	}
	b.text("limits")
	for _, n := range more {
		b.int(n)
	}
}
