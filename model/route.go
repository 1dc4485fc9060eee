package model

import (
	"cmp"
	"time"
)

// Route is one rule: what it matches, what happens to the request, and where
// it leads. A user's HTTPRoute with three rules becomes three Routes.
type Route struct {
	// Name is unique in a Config, for example "shop/orders/0" or "routes/3".
	Name string `json:"name"`
	// Parents are names of Listeners.
	Parents []string `json:"parents"`
	// Hostnames are exact or wildcard ("*.example.com"), lower case; none
	// means every host of the parent. What a parent's Hostname does not
	// cover is ignored there (the intersection counts).
	Hostnames []string `json:"hostnames,omitempty"`
	// Matches are alternatives; none means every request.
	Matches []Match `json:"matches,omitempty"`
	// Filters happen in the order of the house (app/lists.go), not in the
	// order written here.
	Filters []Filter `json:"filters,omitempty"`
	// Backends share the requests by weight. None, with no filter that
	// answers: 500, reason "no_backend".
	Backends []Backend `json:"backends,omitempty"`
	Timeouts Timeouts  `json:"timeouts"`
	Retry    *Retry    `json:"retry,omitempty"`
	Hedge    *Hedge    `json:"hedge,omitempty"`
	// CountCalls counts gRPC calls by service, method and status, besides what
	// is counted of every Route. Methods are names that clients send: at most
	// MostMethods of a Route are counted each by itself.
	CountCalls bool `json:"countCalls,omitempty"`
	// Session keeps a client at one endpoint; nil: each request is balanced.
	Session *Session `json:"session,omitempty"`
	// Rollout moves the requests to a new version step by step; nil: Backends
	// share them as they say.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Priority says which requests are served first when not all can be.
	Priority Priority `json:"priority,omitempty"`
	// Shape is nil where requests and bodies pass as fast as they come.
	Shape *Shape `json:"shape,omitempty"`
	// Order breaks ties between Routes whose matches are equally specific:
	// smaller wins. Dialects give it from creation time, name and position,
	// as Gateway API demands.
	Order Order `json:"order"`
	// Subject is what policies know it by.
	Subject Subject `json:"subject,omitzero"`
	Origin  Origin  `json:"origin"`
}

// MostMethods bounds the gRPC methods that one Route counts by themselves.
const MostMethods = 500

// Order is compared field by field.
type Order struct {
	Created int64  `json:"created,omitempty"` // Unix seconds; 0 when unknown
	Name    string `json:"name,omitempty"`    // namespace/name of the user's object
	Index   int    `json:"index"`             // position of the rule in it
}

// Compare is negative where o goes before p.
func (o Order) Compare(p Order) int {
	return cmp.Or(cmp.Compare(o.Created, p.Created), cmp.Compare(o.Name, p.Name), cmp.Compare(o.Index, p.Index))
}

// PathKind says how Match.Path is compared.
type PathKind string

const (
	PathAny      PathKind = ""         // every path
	PathExact    PathKind = "exact"    // byte for byte
	PathPrefix   PathKind = "prefix"   // by segment: /a matches /a and /a/b, not /ab
	PathTemplate PathKind = "template" // /orders/{id}, /files/{rest...}
	PathRegex    PathKind = "regex"    // RE2, the whole path
)

// Match is a conjunction: everything that is set must hold.
type Match struct {
	PathKind PathKind     `json:"pathKind,omitempty"`
	Path     string       `json:"path,omitempty"`
	Method   string       `json:"method,omitempty"` // "" is any
	Headers  []FieldMatch `json:"headers,omitempty"`
	Queries  []FieldMatch `json:"queries,omitempty"`
	Cookies  []FieldMatch `json:"cookies,omitempty"`
}

// FieldKind says how a FieldMatch compares.
type FieldKind string

const (
	FieldExact   FieldKind = "exact"
	FieldRegex   FieldKind = "regex"   // RE2, the whole value
	FieldPresent FieldKind = "present" // any value
	FieldAbsent  FieldKind = "absent"
)

// FieldMatch compares one header, query parameter or cookie. Header names are
// compared without case; the others as written. A header with several lines
// is compared as its values joined by ", " (RFC 9110 §5.3); of a repeated
// query parameter or cookie the first counts.
type FieldMatch struct {
	Kind  FieldKind `json:"kind"`
	Name  string    `json:"name"`
	Value string    `json:"value,omitempty"`
}

// Backend is one destination of a Route.
type Backend struct {
	// Service names a Service. "" means that the reference did not resolve:
	// requests that fall on it get 500, reason "invalid_backend".
	Service string `json:"service,omitempty"`
	// Weight is relative to the sum; 0 gets nothing. Dialects write 1 where
	// the user wrote none.
	Weight  int      `json:"weight"`
	Filters []Filter `json:"filters,omitempty"`
}

// Timeouts of one rule; 0 is the default, negative is none.
type Timeouts struct {
	// Request bounds the whole exchange, retries included. Default none.
	Request time.Duration `json:"request,omitempty"`
	// Backend bounds one try, from the request's last byte or the pick of the
	// endpoint, whichever is later, to the response's head. Default 60 s, or
	// Request where that is longer; see AsRequest.
	Backend time.Duration `json:"backend,omitempty"`
	// Idle bounds a stall after the response's head: how long nothing may pass, of
	// the response or of a request that is still being sent, while the client takes
	// what there is. Default DefaultStreamIdle; of what was upgraded
	// DefaultTunnelIdle.
	Idle time.Duration `json:"idle,omitempty"`
	// Stream bounds how long a response may last after its head, and what was
	// upgraded. Default none.
	Stream time.Duration `json:"stream,omitempty"`
}

// Defaults of Timeouts.
const (
	DefaultBackendTimeout = 60 * time.Second
	DefaultStreamIdle     = 5 * time.Minute
	DefaultTunnelIdle     = time.Hour
)
