package model

import "time"

// Flow is a rule for connections and datagrams, as Route is one for requests:
// what comes in by its parents leads to its backends, unread. A user's TCPRoute,
// TLSRoute or UDPRoute rule becomes one Flow.
type Flow struct {
	// Name is unique among the Flows of a Config, for example
	// "shop/postgres/tcp/0" or "flows/1".
	Name string `json:"name"`
	// Parents are names of Listeners whose protocol is tcp, tls or udp.
	Parents []string `json:"parents"`
	// Hostnames are exact or wildcard names that the client's SNI is compared
	// with, lower case; none means every connection. Only for tls listeners.
	// What a parent's Hostname does not cover is ignored there.
	Hostnames []string `json:"hostnames,omitempty"`
	// Backends share the connections (for udp: the clients) by weight. With
	// none, or one that is not there, the connection is reset.
	Backends []Backend `json:"backends,omitempty"`
	// Idle is how long nothing may pass in either direction before the
	// connection (for udp: the client's session) is ended. 0 is the default:
	// DefaultFlowIdle, for udp DefaultDatagramIdle; negative is none.
	Idle time.Duration `json:"idle,omitempty"`
	// Priority says which connections (for udp: which clients) are let in where
	// the proxy, or the service, can not take all; those that stand go on.
	Priority Priority `json:"priority,omitempty"`
	Order    Order    `json:"order"`
	Origin   Origin   `json:"origin"`
	// Subject is what policies name it by. Of what they say of requests Priority
	// counts.
	Subject Subject `json:"subject,omitzero"`
}

// Defaults of Flow.Idle.
const (
	DefaultFlowIdle     = time.Hour
	DefaultDatagramIdle = 60 * time.Second
)
