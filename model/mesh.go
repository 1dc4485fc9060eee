package model

import (
	"strconv"
	"strings"
	"time"
)

// MTLS says which connections of services are encrypted and authenticated.
type MTLS string

const (
	// Strict: a workload is reached by mutual TLS alone; plaintext is refused.
	// The default.
	Strict MTLS = "strict"
	// Permissive: plaintext is served too, and counted by caller, so that one
	// can see who would be refused.
	Permissive MTLS = "permissive"
	// Off: between workloads nothing is encrypted.
	Off MTLS = "off"
)

// Outbound says where workloads may connect to.
type Outbound string

const (
	// OutboundAllow: also to what is no Service of the configuration. The
	// default.
	OutboundAllow Outbound = "allow"
	// RegisteredOnly: to Services of the configuration and nowhere else.
	RegisteredOnly Outbound = "registered-only"
)

// Mesh is what holds for all workloads. The zero Mesh is the default one.
type Mesh struct {
	// TrustDomain is the first part of every identity,
	// spiffe://<trust domain>/ns/<namespace>/sa/<account>; "" is
	// DefaultTrustDomain. Lower case letters, digits, ".", "-" and "_".
	TrustDomain string `json:"trustDomain,omitempty"`
	// Domain is the last part of the names by which workloads call services,
	// <service>.<namespace>.<domain>; "" is DefaultMeshDomain.
	Domain string `json:"domain,omitempty"`
	MTLS   MTLS   `json:"mtls,omitempty"` // "" is Strict
	// Outbound is what happens to connections to strangers; "" is OutboundAllow.
	Outbound Outbound `json:"outbound,omitempty"`
	// Connections is how many connections one workload may have open through the
	// proxy of its machine, and how many, with the tunnels in them, all callers of
	// one identity to the workloads of a machine; 0 is DefaultMeshConnections,
	// negative is no bound.
	Connections int `json:"connections,omitempty"`
	// MaxConnectionAge is for how long a connection between two proxies takes new
	// requests and tunnels, give or take a tenth; 0 is DefaultMeshConnectionAge,
	// negative is no bound.
	MaxConnectionAge time.Duration `json:"maxConnectionAge,omitempty"`
	// Federated are the trust domains whose workloads are believed besides our
	// own, each by the bundle that its own authority publishes.
	Federated []Federation `json:"federated,omitempty"`
	// Networks are those whose workloads others reach through gateways. Workloads
	// of a network that is not among them are dialled at their own addresses.
	Networks []MeshNetwork `json:"networks,omitempty"`
	Origin   Origin        `json:"origin"`
	// Refused is as that of Service; what could be read stands in the fields.
	Refused bool `json:"-"`
}

// Federation is a trust domain of somebody else (SPIFFE Federation, section 5).
type Federation struct {
	TrustDomain string `json:"trustDomain"`
	// URL is its bundle endpoint, https.
	URL string `json:"url"`
	// EndpointID is the SPIFFE ID of that endpoint (profile https_spiffe); ""
	// is Web PKI (https_web).
	EndpointID string `json:"endpointID,omitempty"`
	// CAFile holds the roots for https_web; "" is the system's. For
	// https_spiffe it is the first bundle (JWK set), which the endpoint itself
	// is checked with.
	CAFile string `json:"caFile,omitempty"`
}

// Defaults of a Mesh.
const (
	DefaultTrustDomain = "naru.local"
	DefaultMeshDomain  = "mesh"
	// DefaultNamespace is that of services and workloads that name none.
	DefaultNamespace = "default"
	// GatewayAccount is what gateways call services as, in DefaultNamespace, and
	// whose passports are believed.
	GatewayAccount = "gateway"
	// MeshPort is where node proxies take mutual TLS: HTTP directly, other
	// connections in HBONE. The same number as in Istio's ambient mode.
	MeshPort = 15008
	// DefaultMeshConnections leaves room for others below the DefaultLimits of a
	// listener, and is more than programs have in use.
	DefaultMeshConnections = 20_000
	// DefaultMeshConnectionAge is short beside the life of a certificate and of a
	// root, and long beside what a handshake costs. MostMeshConnectionAge is what a
	// timer can tell, with what is added to spread the ends.
	DefaultMeshConnectionAge = time.Hour
	MostMeshConnectionAge    = 20 * time.Hour
)

// Workload is one instance of one or more Services, on some machine.
type Workload struct {
	// Name is unique in a Config: "shop/orders-7f3a" (namespace/instance).
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Account is the last part of its identity.
	Account string `json:"account"`
	// Node names the machine whose proxy serves it.
	Node string `json:"node,omitempty"`
	// Place is the machine's.
	Place Place `json:"place,omitzero"`
	// Address is the IP address that it is reached at, by plaintext on its own
	// ports and by mutual TLS on MeshPort.
	Address string `json:"address"`
	// MeshPort is that of its node's proxy; 0: it has none, and is reached by
	// plaintext where the mode allows that.
	MeshPort uint16 `json:"meshPort,omitempty"`
	// Ports are those that it serves.
	Ports []WorkloadPort `json:"ports,omitempty"`
	// State says whether requests may go to it.
	State  WorkloadState `json:"state,omitempty"`
	Weight int           `json:"weight,omitempty"` // 0 is 1
	// PassportKey checks the passports that it signs: a public key, PKIX, DER.
	// Only gateways have one.
	PassportKey []byte `json:"passportKey,omitempty"`
	Origin      Origin `json:"origin"`
}

// WorkloadPort is one port of a Workload, as an endpoint of a Service.
type WorkloadPort struct {
	// Service names a Service whose Mesh is set. One that nobody declares is
	// made of this (Implied).
	Service string `json:"service"`
	Port    uint16 `json:"port"`
	// Protocol is that of the Service, where nobody declares it.
	Protocol AppProtocol `json:"protocol,omitempty"`
}

// ServiceName is how a service of the mesh is called in a Config: by its host,
// and outside of DefaultNamespace by namespace/host.
func ServiceName(namespace, host string) string {
	if namespace == DefaultNamespace {
		return host
	}
	return namespace + "/" + host
}

// PortName is how one port of a service is called that has several: orders:9003.
// Policies for orders are for all of them.
func PortName(service string, port uint16) string {
	return service + ":" + strconv.Itoa(int(port))
}

// HostOf takes apart the name of a service of the mesh, as ServiceName and
// PortName make it; port is "" where it has none.
func HostOf(service string) (namespace, host, port string) {
	namespace, host, ok := strings.Cut(service, "/")
	if !ok {
		namespace, host = DefaultNamespace, service
	}
	host, port, _ = strings.Cut(host, ":")
	return namespace, host, port
}

// Implied is the Service that a workload's port makes where nobody declares it,
// nil where its name is none of the mesh.
func Implied(p WorkloadPort) *Service {
	namespace, host, port := HostOf(p.Service)
	if !isLabel(namespace) || !isLabel(host) || p.Port == 0 || port != "" && port != strconv.Itoa(int(p.Port)) || port == "" && strings.HasSuffix(p.Service, ":") {
		return nil
	}
	s := &Service{Name: p.Service, Mesh: &MeshService{Namespace: namespace, Host: host, Port: p.Port, Protocol: p.Protocol}}
	if p.Protocol == AppGRPC {
		s.Protocol = HTTP2
	}
	return s
}

// WorkloadState is how a Workload is.
type WorkloadState string

const (
	Serving   WorkloadState = ""          // requests may come
	Unhealthy WorkloadState = "unhealthy" // nothing new, as long as others can
	Draining  WorkloadState = "draining"  // nothing new; it is about to leave
)

// AppProtocol is what a service of the mesh speaks to its clients.
type AppProtocol string

const (
	// AppDetect finds out: HTTP where a connection begins as HTTP, bytes
	// otherwise. A server that speaks first is waited for DetectTime at most.
	AppDetect AppProtocol = ""
	AppHTTP   AppProtocol = "http" // HTTP/1.1, and HTTP/2 by prior knowledge
	AppGRPC   AppProtocol = "grpc" // HTTP/2 by prior knowledge
	AppTCP    AppProtocol = "tcp"  // bytes; also for servers that speak first
)

// MeshService is what makes a Service one of the mesh: its endpoints are the
// Workloads that name it, besides those that are written.
type MeshService struct {
	// Namespace and Host are its name to workloads: <host>.<namespace>.<domain>,
	// also without the domain, and within the namespace without that. With
	// Names, these too, whole.
	Namespace string   `json:"namespace"`
	Host      string   `json:"host"`
	Names     []string `json:"names,omitempty"`
	// Port is what clients connect to.
	Port     uint16      `json:"port"`
	Protocol AppProtocol `json:"protocol,omitempty"`
	MTLS     MTLS        `json:"mtls,omitempty"` // "" is that of the Mesh
	// External: its endpoints are not workloads (egress). Clients in the mesh
	// reach it by name, with the Service's own TLS.
	External bool `json:"external,omitempty"`
	// Forward tells its workloads who calls, by X-Forwarded-Client-Cert: the
	// certificate that the caller's proxy has proved, with its SPIFFE ID. HTTP
	// alone (Protocol says so), and no tunnels come to it, in which a caller
	// could write the field itself.
	Forward bool `json:"forward,omitempty"`
	// Via names a Service of the mesh, an egress gateway, through which it is
	// reached; "" is directly.
	Via string `json:"via,omitempty"`
}

// MeshSide is which way a door of the mesh leads.
type MeshSide string

const (
	// Inbound: mutual TLS from other proxies to one port of one workload, which
	// the SNI names (Listener.Hostname). Requests come directly, connections in
	// HTTP CONNECT.
	Inbound MeshSide = "inbound"
	// OutboundSide: captured connections that a workload makes.
	OutboundSide MeshSide = "outbound"
	// Plaintext: captured connections to workloads of this node, without TLS.
	Plaintext MeshSide = "plaintext"
)

// MeshDoor makes a Listener one of the mesh. Package mesh makes it on the
// node; nobody writes it.
type MeshDoor struct {
	Side MeshSide `json:"side"`
	// Workload is whose door it is, Identity that one's SPIFFE ID: it is shown
	// to callers (inbound), or calls are made as it (outbound).
	Workload string `json:"workload,omitempty"`
	Identity string `json:"identity,omitempty"`
	// Port is the workload's, Services those of which it is an endpoint there,
	// and Namespace the workload's: Policies are for these. Inbound.
	Port      uint16   `json:"port,omitempty"`
	Services  []string `json:"services,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	// Callers is how many connections and tunnels callers of one identity may
	// have open, at all inbound doors together; 0 is no bound. Inbound.
	Callers int `json:"callers,omitempty"`
	// MaxAge is Mesh.MaxConnectionAge; 0 is no bound. Inbound.
	MaxAge time.Duration `json:"maxAge,omitempty"`
	// Forward is that of one of the Services. Inbound.
	Forward bool `json:"forward,omitempty"`
	// Protocol is what tunnels to the port carry: AppTCP is bytes, AppHTTP
	// requests alone, and with AppDetect what could be requests is read as such.
	// Inbound.
	Protocol AppProtocol `json:"protocol,omitempty"`
	// Targets are where captured connections may have wanted to go. They may be
	// shared by doors.
	Targets []MeshTarget `json:"targets,omitempty"`
	// Pass is the SHA-256 of the Proxy-Authorization by which whoever was not
	// captured proves to be the workload; nil: only captured connections are
	// served. Outbound.
	Pass []byte `json:"-"`
	// Own: besides that, only processes of the workload are served. Outbound.
	Own bool `json:"own,omitempty"`
	// Strangers: what is not among Targets is passed on as it is. Outbound.
	Strangers bool `json:"strangers,omitempty"`
	// Names are what clients with a Pass may call Targets. They may be shared by
	// doors. Outbound.
	Names []MeshName `json:"names,omitempty"`
	// Reach: the door is a local port that the workload was given for one
	// target. Nothing is captured to it, and nobody else may use it. Outbound.
	Reach *MeshReach `json:"reach,omitempty"`
}

// MeshName is a host name, in lower case, and what it means at a port.
type MeshName struct {
	Name    string `json:"name"`
	Port    uint16 `json:"port"`
	Address string `json:"address"` // IP, that of a MeshTarget of the same port
}

// MeshReach is what a workload has asked for: a name as of MeshName. Address is
// "" as long as there is no such service.
type MeshReach MeshName

// MeshTarget is where a captured connection wanted to go, and the name by
// which the door's Routes and Flows know that.
type MeshTarget struct {
	Address  string      `json:"address"` // IP
	Port     uint16      `json:"port"`
	Host     string      `json:"host"`
	Service  string      `json:"service"` // for people
	Protocol AppProtocol `json:"protocol,omitempty"`
	// Instance: the address is that of one workload, and no other is meant.
	Instance bool `json:"instance,omitempty"`
	// Refused: not without mutual TLS. Plaintext.
	Refused bool `json:"refused,omitempty"`
}

// DetectTime is how long a connection to a target without a declared protocol
// is waited on for its first bytes. After that the server is taken for one that
// speaks first.
const DetectTime = 100 * time.Millisecond

func (w *Workload) name() string   { return w.Name }
func (w *Workload) origin() Origin { return w.Origin }

func (m *Mesh) write(b *content) {
	b.text(m.TrustDomain, m.Domain, string(m.MTLS), string(m.Outbound))
	b.int(int64(m.Connections))
	b.int(int64(m.MaxConnectionAge))
	b.networks(m)
	b.number(uint64(len(m.Federated)))
	for i := range m.Federated {
		f := &m.Federated[i]
		b.text(f.TrustDomain, f.URL, f.EndpointID, f.CAFile)
	}
	b.bool(m.Refused)
	b.place(&m.Origin)
}

func (w *Workload) write(b *content) {
	b.text(w.Name, w.Namespace, w.Account, w.Node, w.Address, string(w.State))
	b.number(uint64(w.MeshPort))
	b.number(uint64(len(w.Ports)))
	for _, p := range w.Ports {
		b.text(p.Service, string(p.Protocol))
		b.number(uint64(p.Port))
	}
	b.int(int64(w.Weight))
	b.bytes(w.PassportKey)
	b.place(&w.Origin)
	if w.Place != (Place{}) {
		b.text(w.Place.Region, w.Place.Zone, w.Place.Network)
	}
}

func (s *MeshService) write(b *content) {
	b.text(s.Namespace, s.Host, string(s.Protocol), string(s.MTLS), s.Via)
	b.strings(s.Names...)
	b.number(uint64(s.Port))
	b.bool(s.External)
	if s.Forward {
		b.text("forward")
	}
}

func (m *MeshDoor) write(b *content) {
	b.text(string(m.Side), m.Workload, m.Identity, m.Namespace, string(m.Protocol))
	b.number(uint64(m.Port))
	b.strings(m.Services...)
	b.int(int64(m.Callers))
	b.int(int64(m.MaxAge))
	b.number(uint64(len(m.Targets)))
	for i := range m.Targets {
		t := &m.Targets[i]
		b.text(t.Address, t.Host, t.Service, string(t.Protocol))
		b.number(uint64(t.Port))
		b.bool(t.Refused)
		b.bool(t.Instance)
	}
	b.bool(m.Strangers)
	b.bool(m.Forward)
	b.bool(m.Own)
	b.bytes(m.Pass)
	b.number(uint64(len(m.Names)))
	for _, n := range m.Names {
		b.text(n.Name, n.Address)
		b.number(uint64(n.Port))
	}
	b.bool(m.Reach != nil)
	if r := m.Reach; r != nil {
		b.text(r.Name, r.Address)
		b.number(uint64(r.Port))
	}
}

// lowered writes what package mesh has set of s.
func (b *content) lowered(s *Service) {
	if s.Identity != "" {
		b.number(0)
		b.text(s.Identity)
	}
	if s.Local {
		b.text("local")
	}
}
