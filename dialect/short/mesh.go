package short

import (
	"cmp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// mesh is what holds for all workloads.
type mesh struct {
	TrustDomain text        `json:"trustDomain" doc:"first part of every identity: spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT" default:"naru.local"`
	Domain      text        `json:"domain" doc:"last part of the names of services: SERVICE.NAMESPACE.DOMAIN" default:"mesh"`
	MTLS        text        `json:"mtls" doc:"how workloads are reached" enum:"strict,permissive,off" default:"strict"`
	Outbound    text        `json:"outbound" doc:"where workloads may connect to besides services" enum:"allow,registered-only" default:"allow"`
	Connections *count      `json:"connections" doc:"connections that one workload may have open through its machine's proxy, and all callers of one identity to a machine" default:"20000"`
	MaxAge      *span       `json:"maxConnectionAge" doc:"for how long a connection between two proxies takes new requests and tunnels, give or take a tenth; at most 20h" default:"1h" unit:"duration"`
	Federated   federations `json:"federated" doc:"trust domains of others whose workloads are believed"`
	Networks    networks    `json:"networks" doc:"networks whose workloads are reached through gateways from others: each by its name (--network of its machines), and its gateways' host:port"`
	_           struct{}    `also:"tls,mode,mTLS,peerAuthentication" hint:"did you mean mtls? strict, permissive or off"`
	_           struct{}    `also:"egress,outboundTrafficPolicy" hint:"did you mean outbound? allow or registered-only"`
	_           struct{}    `also:"td,trust_domain,clusterDomain" hint:"did you mean trustDomain?"`

	origin model.Origin
	broken bool
	off    bool // mesh: false
}

// networks are gateways by the names of networks.
type networks []model.MeshNetwork

// ReadNode takes a mapping of names to host:port.
func (s *networks) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	in.Pairs(n, "NAME: {dc2: \"203.0.113.7:15443\"}", func(key, value *yaml.Node) {
		var at text
		in.Into(value, &at)
		*s = append(*s, model.MeshNetwork{Name: key.Value, Gateway: string(at)})
	})
}

// federations are a list.
type federations []federation

// federation is a trust domain of somebody else.
type federation struct {
	TrustDomain text `json:"trustDomain" doc:"its name"`
	URL         text `json:"url" doc:"where its bundle is, https"`
	EndpointID  text `json:"endpointID" doc:"SPIFFE ID that the endpoint proves to have" default:"a certificate of the web"`
	CA          text `json:"ca" doc:"file with the roots of the endpoint's certificate, or with endpointID, its first bundle" default:"those of the system"`
}

// ReadNode takes true, false or an object.
func (m *mesh) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	m.origin = in.Origin(n)
	before := in.Broken()
	if n.Tag == "!!bool" {
		var on bool
		in.Into(n, &on)
		m.off = !on
		return
	}
	type plain mesh
	in.Into(n, (*plain)(m))
	oneOf(in, n, "mtls", string(m.MTLS), "strict", "permissive", "off")
	oneOf(in, n, "outbound", string(m.Outbound), "allow", "registered-only")
	m.broken = in.Broken() > before
}

// oneOf checks a word at its field of n.
func oneOf(in *dialect.Decoder, n *yaml.Node, field, word string, words ...string) bool {
	at := n
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == field {
			at = n.Content[i+1]
		}
	}
	for _, w := range words {
		if word == w || word == "" {
			return true
		}
	}
	in.Enter(field)
	in.Problem(at, "bad-value", field+" can not be "+strconv.Quote(word), dialect.DidYouMean(word, words, "words"))
	in.Leave()
	return false
}

// noun makes it; what has a mistake gives way to the version before.
func (m *mesh) noun(doc *dialect.Document, folder string) *model.Mesh {
	x := &model.Mesh{
		TrustDomain: string(m.TrustDomain), Domain: string(m.Domain), MTLS: model.MTLS(m.MTLS), Outbound: model.Outbound(m.Outbound),
		Origin: doc.Origin(doc.Get("mesh"), "mesh"), Refused: m.broken,
	}
	if m.broken {
		// Told already: until then the stricter of what it may be.
		x.MTLS, x.Outbound = model.Strict, model.RegisteredOnly
	}
	set(&x.Connections, m.Connections)
	set(&x.MaxConnectionAge, m.MaxAge)
	x.Networks = m.Networks
	for _, f := range m.Federated {
		one := model.Federation{TrustDomain: string(f.TrustDomain), URL: string(f.URL), EndpointID: string(f.EndpointID)}
		one.CAFile = beside(folder, string(f.CA))
		x.Federated = append(x.Federated, one)
	}
	return x
}

// member makes a service one of the mesh.
type member struct {
	Port      int      `json:"port" doc:"what clients connect to"`
	Protocol  text     `json:"protocol" doc:"what clients speak; tcp also for servers that speak first" enum:"http,grpc,tcp" default:"detected"`
	MTLS      text     `json:"mtls" doc:"how its workloads are reached" enum:"strict,permissive,off" default:"that of the mesh"`
	Namespace text     `json:"namespace" doc:"where it is" default:"default"`
	Names     words    `json:"names" doc:"whole names by which clients call it besides: one or a list"`
	External  bool     `json:"external" doc:"its endpoints are not workloads" default:"false"`
	Forward   bool     `json:"forward" doc:"tell it who calls by X-Forwarded-Client-Cert; with protocol http or grpc" default:"false"`
	Via       text     `json:"via" doc:"service of the mesh through which it is reached, an egress gateway" default:"reached directly"`
	_         struct{} `also:"appProtocol,proto" hint:"did you mean protocol? http, grpc or tcp"`
	_         struct{} `also:"host,hosts,hostnames,aliases" hint:"did you mean names?"`
	_         struct{} `also:"targetPort,workloads" hint:"which port a workload serves is said where it is started, or at the Workload"`
}

// ReadNode takes a port or an object.
func (m *member) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	if n.Kind != yaml.MappingNode {
		in.Into(n, &m.Port)
	} else {
		type plain member
		in.Into(n, (*plain)(m))
		oneOf(in, n, "protocol", string(m.Protocol), "http", "grpc", "tcp")
		oneOf(in, n, "mtls", string(m.MTLS), "strict", "permissive", "off")
	}
	if (m.Port < 1 || m.Port > 65535) && in.Broken() == before {
		in.Problem(n, "bad-value", "a service of the mesh is called on a port from 1 to 65535", "for example mesh: {port: 80}")
	}
}

func (m *member) noun(name string) *model.MeshService {
	return &model.MeshService{
		Namespace: cmp.Or(string(m.Namespace), model.DefaultNamespace), Host: name, Names: m.Names, Port: uint16(m.Port),
		Protocol: model.AppProtocol(m.Protocol), MTLS: model.MTLS(m.MTLS), External: m.External, Forward: m.Forward, Via: string(m.Via),
	}
}

// settleMesh takes the mesh of the first document that has one.
func (j *joint) settleMesh(m *model.Mesh) {
	switch {
	case m == nil:
	case j.out.Mesh == nil:
		j.out.Mesh = m
	default:
		j.out.Problems = append(j.out.Problems, model.Problem{
			Origin: m.Origin, Severity: model.Doubtful, Code: "duplicate-setting",
			Message: "there is another mesh, at " + j.out.Mesh.Origin.String() + ", and that one counts", Hint: "say it in one place",
		})
	}
}
