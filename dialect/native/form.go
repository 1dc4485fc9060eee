package native

import (
	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
)

// The types of this file are the kinds: their json tags are the fields, and
// their doc, default, unit and enum tags are what Schema and Reference say.

// object is what all kinds have in common.
type object struct {
	APIVersion string         `json:"apiVersion" doc:"naru.dev/v1alpha1"`
	Kind       string         `json:"kind" doc:"what it is" enum:"Mesh,Workload,Service,TrafficPolicy"`
	Metadata   meta           `json:"metadata" doc:"its name"`
	Status     map[string]any `json:"status" doc:"not read"`
}

// meta names an object. What Kubernetes adds is let through.
type meta struct {
	Name              string         `json:"name" doc:"of a-z, 0-9, - and ."`
	Namespace         string         `json:"namespace" doc:"where it is" default:"default"`
	Labels            map[string]any `json:"labels" doc:"not read"`
	Annotations       map[string]any `json:"annotations" doc:"not read"`
	Generation        int64          `json:"generation" doc:"not read"`
	ResourceVersion   any            `json:"resourceVersion" doc:"not read"`
	UID               any            `json:"uid" doc:"not read"`
	CreationTimestamp any            `json:"creationTimestamp" doc:"not read"`
	ManagedFields     any            `json:"managedFields" doc:"not read"`
	OwnerReferences   any            `json:"ownerReferences" doc:"not read"`
	Finalizers        any            `json:"finalizers" doc:"not read"`
}

type meshObject struct {
	object `json:",inline"`
	Spec   meshSpec `json:"spec"`
}

// meshSpec is what holds for all workloads.
type meshSpec struct {
	TrustDomain string       `json:"trustDomain" doc:"first part of every identity: spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT" default:"naru.local"`
	Domain      string       `json:"domain" doc:"last part of the names of services: SERVICE.NAMESPACE.DOMAIN" default:"mesh"`
	MTLS        string       `json:"mtls" doc:"how workloads are reached" enum:"strict,permissive,off" default:"strict"`
	Outbound    string       `json:"outbound" doc:"where workloads may connect to besides services" enum:"allow,registered-only" default:"allow"`
	Connections int          `json:"connections" doc:"connections that one workload may have open through its machine's proxy, and all callers of one identity to a machine; -1 is no bound" default:"20000"`
	MaxAge      string       `json:"maxConnectionAge" doc:"for how long a connection between two proxies takes new requests and tunnels, give or take a tenth, at most 20h; off is no bound" default:"1h"`
	Federated   []federation `json:"federated" doc:"trust domains of others whose workloads are believed"`
	Networks    []network    `json:"networks" doc:"networks whose workloads are reached through gateways from others"`
	_           struct{}     `also:"mode,tls,peerAuthentication" hint:"did you mean mtls? strict, permissive or off"`
}

// network is a set of machines that others reach through gateways.
type network struct {
	Name    string `json:"name" doc:"as in --network of its machines"`
	Gateway string `json:"gateway" doc:"host:port of its gateways, where others reach them"`
}

// federation is a trust domain of somebody else.
type federation struct {
	TrustDomain string `json:"trustDomain" doc:"its name"`
	URL         string `json:"url" doc:"where its bundle is, https"`
	EndpointID  string `json:"endpointID" doc:"SPIFFE ID that the endpoint proves to have" default:"a certificate of the web"`
	CAFile      string `json:"caFile" doc:"file with the roots of the endpoint's certificate or, with endpointID, its first bundle; seen from the folder of the document" default:"the roots of the system"`
}

type workloadObject struct {
	object `json:",inline"`
	Spec   workloadSpec `json:"spec"`
}

// workloadSpec is one instance of services, on some machine.
type workloadSpec struct {
	Account  string         `json:"account" doc:"last part of its identity" default:"default"`
	Node     string         `json:"node" doc:"machine whose proxy serves it"`
	Zone     string         `json:"zone" doc:"where the machine is: eu-central-1a, or with the region eu-central/eu-central-1a" default:"not known"`
	Network  string         `json:"network" doc:"set of machines that reach each other by their addresses" default:"not known"`
	Address  string         `json:"address" doc:"IP address that it is reached at"`
	MeshPort int            `json:"meshPort" doc:"port of its node's proxy for mutual TLS, usually 15008" default:"it has none, and is reached by plaintext where that is allowed"`
	Ports    []workloadPort `json:"ports" doc:"the services that it is an instance of"`
	State    string         `json:"state" doc:"whether requests may come" enum:"serving,unhealthy,draining" default:"serving"`
	Weight   int            `json:"weight" doc:"share, relative to the others" default:"1"`
	Passport string         `json:"passportKey" doc:"of a gateway: the public key (PKIX, DER, base64) that its passports are checked with" default:"none"`
	_        struct{}       `also:"serviceAccount,sa" hint:"did you mean account?"`
	_        struct{}       `also:"ip,host" hint:"did you mean address?"`
}

// workloadPort is a port that a workload serves.
type workloadPort struct {
	Service  string   `json:"service" doc:"a Service: NAME in the same namespace, or NAMESPACE/NAME; it need not be declared"`
	Port     int      `json:"port" doc:"that the workload listens on"`
	Protocol string   `json:"protocol" doc:"what the service speaks, where it is not declared" enum:"http,grpc,tcp" default:"found out"`
	_        struct{} `also:"targetPort,containerPort" hint:"did you mean port?"`
}

type serviceObject struct {
	object `json:",inline"`
	Spec   serviceSpec `json:"spec"`
}

// serviceSpec is what workloads call by a name.
type serviceSpec struct {
	Port      int        `json:"port" doc:"what clients connect to"`
	Protocol  string     `json:"protocol" doc:"what clients speak; tcp also for servers that speak first" enum:"http,grpc,tcp" default:"detected"`
	MTLS      string     `json:"mtls" doc:"how its workloads are reached" enum:"strict,permissive,off" default:"that of the Mesh"`
	Names     []string   `json:"names" doc:"whole names by which clients call it besides"`
	External  bool       `json:"external" doc:"its endpoints are not workloads" default:"false"`
	Forward   bool       `json:"forward" doc:"tell it who calls by X-Forwarded-Client-Cert; with protocol http or grpc" default:"false"`
	Endpoints []endpoint `json:"endpoints" doc:"addresses besides those of workloads"`
	Via       string     `json:"via" doc:"Service of the mesh through which it is reached, an egress gateway: NAME or NAMESPACE/NAME" default:"reached directly"`
	TLS       *tls       `json:"tls" doc:"speak TLS to its endpoints" default:"plain"`
	_         struct{}   `also:"ports,targetPort" hint:"a Service of naru.dev has one port: for example port: 80; which port a workload serves is said at the Workload"`
	_         struct{}   `also:"selector,type,clusterIP" hint:"that is a Service of v1; workloads name the services that they are of"`
	_         struct{}   `also:"hosts,host,hostnames,aliases" hint:"did you mean names?"`
}

// endpoint is an address of a Service.
type endpoint struct {
	Address  string `json:"address" doc:"IP address or DNS name"`
	Port     int    `json:"port" doc:"port" default:"that of the Service"`
	Weight   int    `json:"weight" doc:"share, relative to the others" default:"1"`
	Priority int    `json:"priority" doc:"0 to 15: those of the smallest go first, the next get what these cannot carry" default:"0"`
	Zone     string `json:"zone" doc:"where it is: eu-central-1a, or with the region eu-central/eu-central-1a" default:"not known"`
	Network  string `json:"network" doc:"set of machines that reach each other by their addresses" default:"not known"`
}

// tls is how a Service's certificate is checked.
type tls struct {
	ServerName         string `json:"serverName" doc:"name that the certificate must have" default:"the endpoint's address"`
	CAFile             string `json:"caFile" doc:"file with the roots to trust, seen from the folder of the document" default:"those of the system"`
	InsecureSkipVerify bool   `json:"insecureSkipVerify" doc:"accept any certificate" default:"false"`
}

type policyObject struct {
	object `json:",inline"`
	Spec   policySpec `json:"spec"`
}

// policySpec says what happens to traffic.
type policySpec struct {
	TargetRefs    []targetRef    `json:"targetRefs" doc:"what it is for"`
	Authorization *authorization `json:"authorization" doc:"who may speak to it; stands alone, and the others together in another TrafficPolicy"`
	Timeouts      elsewhere      `json:"timeouts" doc:"how long a request, and a try, may take: see gateway-api.md"`
	Retry         elsewhere      `json:"retry" doc:"when a try that failed is made again"`
	Hedge         elsewhere      `json:"hedge" doc:"when a second try is made beside the first"`
	Session       elsewhere      `json:"sessionPersistence" doc:"how a client stays with an endpoint"`
	Priority      elsewhere      `json:"priority" doc:"which requests, and new connections, are refused first" enum:"low,normal,critical"`
	Streams       elsewhere      `json:"streamTimeouts" doc:"how long the parts of an exchange may take"`
	Shape         elsewhere      `json:"shape" doc:"how fast requests and bodies pass"`
	Fault         elsewhere      `json:"fault" doc:"makes some requests slow, or fail"`
	Rollout       elsewhere      `json:"rollout" doc:"moves requests to a new version step by step"`
	_             struct{}       `also:"selector,targetRef,target" hint:"did you mean targetRefs? For example targetRefs: [{kind: Service, name: payments}]"`
	_             struct{}       `also:"action,rules" hint:"it stands under authorization: for example authorization: {action: allow, rules: [{from: {accounts: [orders]}}]}"`
}

// elsewhere is a field of the other dialect that reads TrafficPolicies, gatewayapi.
type elsewhere struct{}

// ReadNode takes anything.
func (*elsewhere) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	in.Doubt(n, "unused", "this does not stand beside authorization, and is not used", "write a TrafficPolicy of its own for it")
}

// targetRef names what a policy is for.
type targetRef struct {
	Group       string   `json:"group" doc:"group of the kind" default:"found by the kind"`
	Kind        string   `json:"kind" doc:"kind: every workload of the Mesh or of the policy's Namespace, the workloads of a Service, or a Gateway; routes where it is not about authorization" enum:"Mesh,Namespace,Service,Gateway,HTTPRoute,GRPCRoute"`
	Name        string   `json:"name" doc:"name of a Service or Gateway in the policy's namespace"`
	SectionName string   `json:"sectionName" doc:"one listener of the Gateway" default:"all its listeners"`
	_           struct{} `also:"namespace" hint:"a policy is for its own namespace: write it there"`
}

// authorization says who may speak to the targets.
type authorization struct {
	Action string   `json:"action" doc:"what happens to what matches: where there is any allow, what matches none is refused; deny goes before it; audit logs and counts" enum:"allow,deny,audit" default:"allow"`
	Rules  []rule   `json:"rules" doc:"alternatives; none: an allow refuses everything"`
	DryRun bool     `json:"dryRun" doc:"only log and count what it would refuse" default:"false"`
	Tell   bool     `json:"tell" doc:"the answer to who is refused names policy and rule" default:"false"`
	_      struct{} `also:"from,to,when" hint:"it stands in a rule: rules: [{from: ...}]"`
}

// rule is a conjunction: everything that is set must hold.
type rule struct {
	Name string   `json:"name" doc:"for messages and metrics" default:"its number, from 1"`
	From *from    `json:"from" empty:"wrong" doc:"who calls" default:"everybody"`
	To   *to      `json:"to" empty:"wrong" doc:"what is asked for" default:"everything"`
	When *when    `json:"when" empty:"wrong" doc:"further conditions"`
	_    struct{} `also:"source,sources" hint:"did you mean from?"`
	_    struct{} `also:"operation,operations" hint:"did you mean to?"`
	_    struct{} `also:"conditions,condition,cel,claims,headers" hint:"it stands under when: for example when: {cel: source.account != \"batch\"}"`
}

// from says who calls. Of principals and accounts one is enough; the rest must
// hold besides.
type from struct {
	Principals    []string `json:"principals" empty:"wrong" doc:"SPIFFE IDs, with * at the end or the beginning; \"*\" is whoever has proved one"`
	NotPrincipals []string `json:"notPrincipals" empty:"wrong" doc:"none of these; [\"*\"]: whoever has proved none"`
	Accounts      []string `json:"accounts" empty:"wrong" doc:"NAME in the policy's namespace, NAMESPACE/NAME, or NAMESPACE/*, of our own trust domain"`
	NotAccounts   []string `json:"notAccounts" empty:"wrong" doc:"none of these"`
	Namespaces    []string `json:"namespaces" empty:"wrong" doc:"namespaces of our own trust domain"`
	NotNamespaces []string `json:"notNamespaces" empty:"wrong" doc:"none of these"`
	Addresses     []string `json:"addresses" empty:"wrong" doc:"networks or IP addresses of the connection's other end"`
	NotAddresses  []string `json:"notAddresses" empty:"wrong" doc:"none of these"`
	_             struct{} `also:"serviceAccounts,serviceAccount,account" hint:"did you mean accounts?"`
	_             struct{} `also:"ipBlocks,remoteIpBlocks,ips,cidrs" hint:"did you mean addresses?"`
	_             struct{} `also:"requestPrincipals" hint:"who is named by a token is compared by when: {claims: {sub: [alice]}}"`
	_             struct{} `also:"source" hint:"principals, accounts, namespaces and addresses stand directly under from"`
}

// to says what is asked for. Ports are also those of connections without HTTP.
type to struct {
	Ports      []int    `json:"ports" empty:"wrong" doc:"ports of the workload"`
	NotPorts   []int    `json:"notPorts" empty:"wrong" doc:"none of these"`
	Methods    []string `json:"methods" empty:"wrong" doc:"HTTP methods"`
	NotMethods []string `json:"notMethods" empty:"wrong" doc:"none of these"`
	Hosts      []string `json:"hosts" empty:"wrong" doc:"exact or \"*.example.com\""`
	NotHosts   []string `json:"notHosts" empty:"wrong" doc:"none of these"`
	Paths      []string `json:"paths" empty:"wrong" doc:"\"/orders\", \"/orders/*\", \"*.png\" or \"/orders/{id}\""`
	NotPaths   []string `json:"notPaths" empty:"wrong" doc:"none of these"`
	_          struct{} `also:"operation" hint:"ports, methods, hosts and paths stand directly under to"`
	_          struct{} `also:"method" hint:"did you mean methods?"`
	_          struct{} `also:"path" hint:"did you mean paths?"`
	_          struct{} `also:"port" hint:"did you mean ports?"`
}

// when are further conditions.
type when struct {
	Headers []header            `json:"headers" empty:"wrong" doc:"header fields of the request"`
	Claims  map[string][]string `json:"claims" empty:"wrong" doc:"claims of the passport or token, by name or path (realm.roles), and what each may be"`
	CEL     string              `json:"cel" empty:"wrong" doc:"an expression that gives true or false; it fails: no match in an allow, a match in a deny"`
	_       struct{}            `also:"expression" hint:"did you mean cel?"`
	_       struct{}            `also:"key,values" hint:"a condition on a token is claims: {sub: [alice]}"`
}

// header compares a header field.
type header struct {
	Name  string `json:"name" doc:"name of the field"`
	Type  string `json:"type" doc:"how it is compared" enum:"exact,regex,present,absent" default:"exact"`
	Value string `json:"value" doc:"text, or RE2 for the whole value"`
}
