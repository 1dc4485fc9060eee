package model

import (
	"bytes"
	"slices"
	"time"
)

// Service is where a Route may lead.
type Service struct {
	// Name is unique in a Config, for example "orders" or "shop/orders:9002".
	Name string `json:"name"`
	// Endpoints are shared by the Services that have them: who changes one puts
	// another in its place, so that what is the same is known by its address.
	Endpoints []*Endpoint `json:"endpoints"`
	// Host replaces the request's Host; "" keeps the client's.
	Host string `json:"host,omitempty"`
	// Protocol is what the endpoints speak; "" is HTTP1.
	Protocol ServiceProtocol `json:"protocol,omitempty"`
	// MaxStreams bounds the requests at once on one HTTP/2 connection, within
	// what the endpoint allows. 0 is 100.
	MaxStreams int `json:"maxStreams,omitempty"`
	// ProxyProtocol is the version of the header by which endpoints are told
	// who the client is, 1 or 2; 0 sends none. Only for Flows.
	ProxyProtocol int `json:"proxyProtocol,omitempty"`
	// TLS is nil for plain connections.
	TLS     *BackendTLS    `json:"tls,omitempty"`
	Balance Balance        `json:"balance,omitempty"`
	Limits  *ServiceLimits `json:"limits,omitempty"`
	Health  *HealthCheck   `json:"health,omitempty"`
	// Ejection spares endpoints that fail; nil is with its defaults.
	Ejection *Ejection `json:"ejection,omitempty"`
	// Hash is what RingHash and Maglev go by: the first key that a request has
	// counts.
	Hash []HashKey `json:"hash,omitempty"`
	// HashBalanceFactor bounds what an endpoint gets by keys: in percent of its
	// share of the requests that run, above 100 up to MostHashBalance. A key whose
	// endpoint has more goes to the next of its own. 0 is no bound.
	HashBalanceFactor int `json:"hashBalanceFactor,omitempty"`
	// SubsetSize is how many endpoints a proxy uses, of each priority and zone, of
	// those that are well; which these are is different for each proxy. 0 is all.
	SubsetSize int `json:"subsetSize,omitempty"`
	// SlowStart is nil where new endpoints get their share at once.
	SlowStart *SlowStart `json:"slowStart,omitempty"`
	// Locality is nil for the default one.
	Locality *Locality `json:"locality,omitempty"`
	// Connect bounds the time to a usable connection, TLS included.
	// 0 is 5 s.
	Connect time.Duration `json:"connect,omitempty"`
	// Idle is how long an unused pooled connection is kept. 0 is 30 s, less
	// than the 60-75 s after which most servers close it from their side.
	Idle time.Duration `json:"idle,omitempty"`
	// MaxIdle bounds the unused connections per endpoint and loop. 0 is
	// 1024, as many as the field pools: what is not used ends after Idle.
	MaxIdle int `json:"maxIdle,omitempty"`
	// RetryBudget bounds the tries after the first of all its requests; nil is
	// DefaultRetryBudget.
	RetryBudget *RetryBudget `json:"retryBudget,omitempty"`
	// Mesh makes it a service of the mesh: Workloads that name it are its
	// endpoints. nil: it has those that are written and no others.
	Mesh *MeshService `json:"mesh,omitempty"`
	// Identity is the SPIFFE ID as which endpoints that have an Identity are
	// called; TLS is for the others. Package mesh sets it, not users.
	Identity string `json:"identity,omitempty"`
	// Local: its endpoints are ports of a workload of this machine, which nobody
	// but its proxy may call. Package mesh sets it, not users.
	Local bool `json:"local,omitempty"`
	// Subject is what policies know it by.
	Subject Subject `json:"subject,omitzero"`
	Origin  Origin  `json:"origin"`
	// Refused says that a mistake, which is told already, takes it out of
	// service: the noun is there only so that who leads to it can be told why
	// nothing is. It comes no further than Validate.
	Refused bool `json:"-"`
}

// Defaults of a Service.
const (
	DefaultConnect    = 5 * time.Second
	DefaultIdle       = 30 * time.Second
	DefaultMaxIdle    = 1024
	DefaultMaxStreams = 100
)

// ServiceProtocol is a version of HTTP.
type ServiceProtocol string

const (
	HTTP1 ServiceProtocol = "http1"
	HTTP2 ServiceProtocol = "http2" // by prior knowledge; over TLS, by ALPN and nothing else
	// HTTPAuto is what ALPN chooses of both; without TLS it is HTTP1.
	HTTPAuto ServiceProtocol = "auto"
)

// Endpoint is one instance of a Service.
type Endpoint struct {
	// Host is an IP address, or a DNS name whose addresses are all endpoints
	// (looked up again when its time to live ends, at least every 30 s).
	Host string `json:"host"`
	Port uint16 `json:"port"`
	// Weight is relative to the other endpoints; 0 is 1.
	Weight int `json:"weight,omitempty"`
	// Priority: those of the smallest go first, and the next get what these
	// cannot carry.
	Priority int   `json:"priority,omitempty"`
	Place    Place `json:"place,omitzero"`

	// What follows package mesh sets, not users.

	// Standby: it gets nothing new while another can.
	Standby bool `json:"standby,omitempty"`
	// Authority is the workload's own address:port; a tunnel is asked for it.
	// Identity is the SPIFFE ID that the workload's proxy must prove for it by
	// mutual TLS, "" where there is none, and ServerName the SNI by which that
	// proxy knows which port of which workload is meant.
	Identity   string `json:"identity,omitempty"`
	ServerName string `json:"serverName,omitempty"`
	Authority  string `json:"authority,omitempty"`
}

// BackendTLS is how a Service's certificate is checked.
type BackendTLS struct {
	// ServerName is sent as SNI and verified; "" is the endpoint's Host.
	ServerName string `json:"serverName,omitempty"`
	// CA is PEM; empty means the roots of the system.
	CA     []byte `json:"ca,omitempty"`
	CAFile string `json:"caFile,omitempty"`
	// Insecure accepts any certificate. It must be asked for in words.
	Insecure bool `json:"insecure,omitempty"`
	// Names are those that the endpoint's certificate may be for, DNS names or
	// URIs; none: ServerName.
	Names []string `json:"names,omitempty"`
	// Certificate names the Certificate that is shown to endpoints that ask
	// for one; "" shows none.
	Certificate string `json:"certificate,omitempty"`
}

// Same says whether b asks for what t asks for; nil is no TLS.
func (t *BackendTLS) Same(b *BackendTLS) bool {
	if t == nil || b == nil {
		return t == b
	}
	return t.ServerName == b.ServerName && t.CAFile == b.CAFile && t.Insecure == b.Insecure &&
		bytes.Equal(t.CA, b.CA) && slices.Equal(t.Names, b.Names) && t.Certificate == b.Certificate
}

// HealthKind is how an endpoint is asked.
type HealthKind string

const (
	HealthHTTP HealthKind = ""     // a GET of Path
	HealthGRPC HealthKind = "grpc" // grpc.health.v1.Health/Check
	HealthTCP  HealthKind = "tcp"  // a connection, nothing more
	HealthTLS  HealthKind = "tls"  // a connection and its handshake, as requests make it
)

// HealthCheck asks each endpoint for a path and believes the answer.
type HealthCheck struct {
	Kind HealthKind `json:"kind,omitempty"`
	// Service is what grpc.health.v1 is asked about; "" is the whole server.
	Service  string        `json:"service,omitempty"`
	Path     string        `json:"path"`               // default "/"
	Host     string        `json:"host,omitempty"`     // default: the service's host, else the endpoint
	Interval time.Duration `json:"interval,omitempty"` // default 5 s, with 10% jitter; a fifth of it while results contradict the state
	Timeout  time.Duration `json:"timeout,omitempty"`  // default 2 s
	// Healthy and Unhealthy are how many results in a row change the state.
	// Defaults 2 and 3. A new endpoint starts healthy.
	Healthy   int `json:"healthy,omitempty"`
	Unhealthy int `json:"unhealthy,omitempty"`
	// Statuses that are healthy: default 200-399.
	MinStatus int `json:"minStatus,omitempty"`
	MaxStatus int `json:"maxStatus,omitempty"`
}

// Filled gives h with its defaults, but for Host.
func (h HealthCheck) Filled() HealthCheck {
	if h.Path == "" || h.Path[0] != '/' {
		h.Path = "/" + h.Path
	}
	orDefault(&h.Interval, 5*time.Second)
	orDefault(&h.Timeout, 2*time.Second)
	orDefault(&h.Healthy, 2)
	orDefault(&h.Unhealthy, 3)
	orDefault(&h.MinStatus, 200)
	orDefault(&h.MaxStatus, 399)
	return h
}

func orDefault[T time.Duration | int](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
