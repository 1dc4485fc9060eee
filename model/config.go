package model

import "context"

// Fragment is what one dialect made of its documents.
type Fragment struct {
	Listeners    []*Listener
	Routes       []*Route
	Flows        []*Flow
	Services     []*Service
	Certificates []*Certificate
	Workloads    []*Workload
	Policies     []*Policy
	Traffic      []*TrafficPolicy
	Mesh         *Mesh     // nil where the documents say nothing
	Settings     *Settings // likewise
	Problems     []Problem
}

// Settings are what is said once for the whole process.
type Settings struct {
	// Admin is the address of the admin server; "" is "127.0.0.1:9901",
	// "off" is none.
	Admin string `json:"admin,omitempty"`
	// AccessLog is "off" (the default), "json" or "text".
	AccessLog string `json:"accessLog,omitempty"`
	// AccessLogFile is a path; "" is standard output.
	AccessLogFile string `json:"accessLogFile,omitempty"`
	// Overload is nil where nothing is said: the defaults.
	Overload *Overload `json:"overload,omitempty"`
	Origin   Origin    `json:"origin"`
}

// Config is the merged whole. Lists are sorted by Name.
type Config struct {
	Listeners    []*Listener    `json:"listeners"`
	Routes       []*Route       `json:"routes"`
	Flows        []*Flow        `json:"flows"`
	Services     []*Service     `json:"services"`
	Certificates []*Certificate `json:"certificates"`
	Workloads    []*Workload    `json:"workloads,omitempty"`
	Policies     []*Policy      `json:"policies,omitempty"`
	// Traffic is not joined with Routes and Services: package traffic does that.
	Traffic []*TrafficPolicy `json:"trafficPolicies,omitempty"`
	// Mesh is nil where nobody has asked for one.
	Mesh     *Mesh    `json:"mesh,omitempty"`
	Settings Settings `json:"settings"`
}

// Version is the hash of a Config's content: equal content, equal Version.
type Version string

// Snapshot is a valid Config that nobody writes to any more.
type Snapshot struct {
	Config
	Version Version `json:"version"`
}

// Feed offers Snapshots; the latest wins and what lies between may be missed.
// control implements it in the process, link's client from afar: proxy cannot
// tell which.
type Feed interface {
	// Next waits until there is a Snapshot whose Version is not after, and
	// returns the newest. It returns ctx's error when ctx ends.
	Next(ctx context.Context, after Version) (*Snapshot, error)
}
