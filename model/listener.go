package model

import (
	"bytes"
	"time"
)

// Protocol is what a Listener speaks.
type Protocol string

const (
	HTTP  Protocol = "http"
	HTTPS Protocol = "https" // HTTP over TLS that the listener terminates
	TLS   Protocol = "tls"   // connections of Flows over TLS: passed on as they are, or terminated
	TCP   Protocol = "tcp"   // connections of Flows
	UDP   Protocol = "udp"   // datagrams of Flows
	// Any is of doors of the mesh alone: requests of Routes where a connection
	// begins as HTTP or its target is declared so, a connection of Flows otherwise.
	Any Protocol = "any"
)

// OfFlows says whether the protocol carries connections or datagrams of Flows,
// not requests of Routes.
func (p Protocol) OfFlows() bool { return p == TLS || p == TCP || p == UDP }

// Listener is a door: a port, and the part of its traffic that is meant for
// one host name. Several listeners may share a port when their Hostnames
// differ; a request belongs to the one with the most specific Hostname.
type Listener struct {
	// Name is unique in a Config, for example "listen/:8080" or
	// "shop/public/https" (namespace/gateway/listener).
	Name string `json:"name"`
	// Address is an IP address, or "" for all addresses of the machine.
	Address string `json:"address,omitempty"`
	Port    uint16 `json:"port"`
	// Protocol must be the same for all listeners of a port.
	Protocol Protocol `json:"protocol"`
	// Hostname is exact, a wildcard ("*.example.com": one or more labels),
	// or "" for every host. Lower case.
	Hostname string `json:"hostname,omitempty"`
	// Certificates names Certificate nouns; the client's SNI chooses among
	// them, the first is the default. Only for HTTPS.
	Certificates []string `json:"certificates,omitempty"`
	// MinTLS is "1.2" or "1.3"; "" means "1.2".
	MinTLS string `json:"minTLS,omitempty"`
	// Passthrough, for TLS only: the client's TLS is not ended here. The SNI
	// chooses the Flow, and the bytes are passed on as they came.
	Passthrough bool `json:"passthrough,omitempty"`
	// ClientAuth asks clients for a certificate; nil does not. Where TLS is
	// terminated.
	ClientAuth *ClientAuth `json:"clientAuth,omitempty"`
	// Issuance gets certificates by itself, for names that Certificates do not
	// cover; nil does not. Where TLS is terminated.
	Issuance *Issuance `json:"issuance,omitempty"`
	// NoHTTP2: HTTP/2 is neither offered (https) nor understood (http, by
	// prior knowledge).
	NoHTTP2 bool `json:"noHTTP2,omitempty"`
	// NoHTTP1: only HTTP/2 is spoken, as between programs that agreed on it.
	NoHTTP1 bool `json:"noHTTP1,omitempty"`
	// HTTP3, for HTTPS only: the same is served over QUIC on the UDP port of
	// the same number, and announced by Alt-Svc.
	HTTP3 bool `json:"http3,omitempty"`
	// ProxyProtocol reads who the client is from the header that a load
	// balancer in front sends; nil does not. Not for udp.
	ProxyProtocol *ProxyProtocol `json:"proxyProtocol,omitempty"`
	// TrustedHops is how many proxies in front of this listener append to
	// X-Forwarded-For and may be believed. 0 (the default): believe nobody,
	// replace what the client sent.
	TrustedHops int    `json:"trustedHops,omitempty"`
	Limits      Limits `json:"limits"`
	// Mesh makes it a door of the mesh; package mesh sets it, not users.
	Mesh   *MeshDoor `json:"mesh,omitempty"`
	Origin Origin    `json:"origin"`
	// Refused is as that of Service.
	Refused bool `json:"-"`
}

// Terminates says whether the clients' TLS ends at the listener.
func (l *Listener) Terminates() bool {
	return l.Protocol == HTTPS || l.Protocol == TLS && !l.Passthrough
}

// ClientAuth is how clients' certificates are checked.
type ClientAuth struct {
	// CA is PEM, or CAFile is a file of it that is read again when it changes.
	CA     []byte `json:"-"`
	CAFile string `json:"caFile,omitempty"`
	// Optional lets clients in that have no certificate or not a valid one;
	// whoever wants to know asks the Peer.
	Optional bool `json:"optional,omitempty"`
	// Forward tells services of the certificate by X-Forwarded-Client-Cert.
	// What clients say by that name is removed, whatever this says, unless
	// TrustedHops lets somebody in front say it.
	Forward bool `json:"forward,omitempty"`
}

// IssuedBy says who signs certificates that are got by themselves.
type IssuedBy string

const (
	ACME  IssuedBy = "acme"  // RFC 8555, from a public authority
	Local IssuedBy = "local" // an authority of this machine, for developing
)

// Issuance gets and renews certificates without anybody's doing.
type Issuance struct {
	By IssuedBy `json:"by"`
	// Names to hold certificates for from the start; none: the listener's
	// Hostname and those of its Routes that are exact.
	Names []string `json:"names,omitempty"`
	// Email is given to the authority, for notices. ACME only, as all below.
	Email string `json:"email,omitempty"`
	// Directory is the authority's URL; "" is Let's Encrypt's.
	Directory string `json:"directory,omitempty"`
	// DirectoryCAFile holds the roots that Directory's own certificate is
	// checked with; "" is the system's.
	DirectoryCAFile string `json:"directoryCAFile,omitempty"`
	// Storage is a folder; "" is a folder of the user's data directory.
	Storage string `json:"storage,omitempty"`
	// OnDemand allows certificates for names that are first heard of in a
	// handshake: exact or wildcard names. None: no such certificates.
	OnDemand []string `json:"onDemand,omitempty"`
	// Ask is a URL that is asked for each new on-demand name, as
	// URL?domain=NAME; 200 allows it. Both must allow it where both are given.
	Ask string `json:"ask,omitempty"`
}

// ProxyProtocol is the PROXY protocol, versions 1 and 2, on a listener.
type ProxyProtocol struct {
	// From are networks (CIDR) whose connections must begin with a header;
	// others must not, and are served as they are. None: every connection must.
	From []string `json:"from,omitempty"`
}

// Limits bound what one listener accepts. A zero field means its default
// (DefaultLimits); a negative duration or count means "no limit".
type Limits struct {
	HeadBytes   int           `json:"headBytes,omitempty"`   // request line and fields; 431 beyond
	Fields      int           `json:"fields,omitempty"`      // number of header fields; 431 beyond
	URIBytes    int           `json:"uriBytes,omitempty"`    // request target; 414 beyond
	BodyBytes   int64         `json:"bodyBytes,omitempty"`   // request body; 413 beyond; default no limit
	Connections int           `json:"connections,omitempty"` // open at once, per listener; 503 beyond
	Requests    int           `json:"requests,omitempty"`    // per connection, then Connection: close; default no limit
	Idle        time.Duration `json:"idle,omitempty"`        // keep-alive connection without a request
	Head        time.Duration `json:"head,omitempty"`        // from first byte (or accept) to the end of the head; 408 beyond
	Body        time.Duration `json:"body,omitempty"`        // between two reads of a request body; 408 beyond
	Write       time.Duration `json:"write,omitempty"`       // client takes nothing of a pending response; then reset
	Handshake   time.Duration `json:"handshake,omitempty"`   // TLS handshake
	Age         time.Duration `json:"age,omitempty"`         // of a connection, which then ends with what runs on it; default no limit
}

// DefaultLimits are the bounds of a listener that states none.
var DefaultLimits = Limits{
	HeadBytes:   32 << 10,
	Fields:      100,
	URIBytes:    8 << 10,
	BodyBytes:   -1,
	Connections: 100_000,
	Requests:    -1,
	Idle:        75 * time.Second,
	Head:        15 * time.Second,
	Body:        30 * time.Second,
	Write:       30 * time.Second,
	Handshake:   10 * time.Second,
	Age:         -1,
}

// Certificate is a key and its chain, inline (from a Secret) or in files.
type Certificate struct {
	// Name is unique in a Config, for example "shop/public-cert".
	Name string `json:"name"`
	// Chain and Key are PEM; empty when the files are given.
	Chain []byte `json:"-"`
	Key   []byte `json:"-"`
	// ChainFile and KeyFile are read when a Program is built, and again
	// whenever they change.
	ChainFile string `json:"chainFile,omitempty"`
	KeyFile   string `json:"keyFile,omitempty"`
	Origin    Origin `json:"origin"`
}

// Same says whether b is shown as c is; what files hold is not compared, and nil is
// none.
func (c *Certificate) Same(b *Certificate) bool {
	if c == nil || b == nil {
		return c == b
	}
	return c.Name == b.Name && c.ChainFile == b.ChainFile && c.KeyFile == b.KeyFile &&
		bytes.Equal(c.Chain, b.Chain) && bytes.Equal(c.Key, b.Key)
}
