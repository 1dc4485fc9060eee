package observe

import (
	"net/netip"
	"time"
)

// Record is the single account of a finished exchange, or of a finished
// connection (udp: session) of a flow, which has no method, no status, and tcp,
// tls or udp for its Scheme. Its slices are lent
// for the call that carries it.
type Record struct {
	// Loop is the event loop that served it.
	Loop int
	// Start is when the request's first byte came.
	Start time.Time
	// Duration is from Start until the response's last byte was handed to the
	// connection.
	Duration time.Duration
	// Upstream is from the first try's start to the last response head, 0
	// without one; Attempts counts tries.
	Upstream time.Duration
	Attempts int
	// Retried is why the last try after the first was made, "" without one.
	// NotRetried is why another one was not made that the rule would have
	// allowed: RetryBudget, RetryLate, RetryAfter, RetryLimit, RetryBody, or Overloaded where
	// there was no room for it.
	Retried    string
	NotRetried Reason
	// Chosen is why the last try's endpoint was chosen, "" without one.
	Chosen string
	// Flags are Envoy's letters for what went wrong or was done on purpose.
	Flags Flags

	Method, Host, Path, Query []byte
	UserAgent, RequestID      []byte
	Scheme                    string
	Minor                     uint8 // HTTP/1.Minor; 2, 3
	Remote                    netip.AddrPort
	// Client is the address that trusted hops reported, Remote's otherwise.
	Client netip.Addr
	// Subject is whom the client's certificate is for, or its SPIFFE ID; ""
	// where it has shown none that is valid.
	Subject string

	Status            int
	Reason            Reason
	Detail            error
	BytesIn, BytesOut int64

	// GRPC says that the exchange was a gRPC call, to the client or to the
	// service; then GRPCStatus is how it ended and GRPCMethod what was called
	// ("pkg.Service/Method").
	GRPC       bool
	GRPCStatus GRPCCode
	GRPCMethod []byte

	// Listener, Route, Flow and Service are configured names, Endpoint the
	// address that answered last; invalid without one.
	Listener, Route, Flow, Service string
	Endpoint                       netip.AddrPort
	// Source and Destination are the SPIFFE IDs of the workloads at both ends,
	// as they have proved them, or as which we have called; "" without one.
	Source, Destination string
}

// IsFlow says whether it is of a connection, not of a request.
func (r *Record) IsFlow() bool { return r.Scheme == "tcp" || r.Scheme == "tls" || r.Scheme == "udp" }
