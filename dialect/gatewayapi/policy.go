package gatewayapi

import (
	"reflect"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// BackendPolicy (naru.dev/v1alpha1) says how Services are reached. The nearest
// that says a field gives it: one for a port, for the Service, for its namespace,
// for the mesh; of two for the same the older.
type BackendPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BackendPolicySpec `json:"spec"`
}

// BackendPolicySpec is the content of a BackendPolicy.
type BackendPolicySpec struct {
	// TargetRefs are Services in the policy's namespace, where sectionName is the
	// name of a port, or that Namespace, or the Mesh: all.
	TargetRefs []gateway.LocalPolicyTargetReferenceWithSectionName `json:"targetRefs"`
	// Host replaces the request's Host; by default the client's is kept.
	Host string `json:"host,omitempty"`
	// LoadBalancing says how the endpoints share the requests.
	LoadBalancing *LoadBalancing `json:"loadBalancing,omitempty"`
	// HealthCheck asks each endpoint and believes the answer; none by default.
	HealthCheck *HealthCheck `json:"healthCheck,omitempty"`
	// OutlierDetection says how endpoints that fail are found and spared; it is on
	// without.
	OutlierDetection *OutlierDetection `json:"outlierDetection,omitempty"`
	// Locality says how much it matters where the endpoints are.
	Locality *Locality `json:"locality,omitempty"`
	// Connection bounds the connections to the endpoints.
	Connection *Connection `json:"connection,omitempty"`
	// Limits bounds what runs on a Service at once; by default connections and
	// pending only, as bulkheads.
	Limits *Limits `json:"limits,omitempty"`
	// Protocol is what the endpoints speak: http1, http2 (by prior knowledge,
	// or by ALPN over TLS) or auto (what ALPN chooses). By default it follows
	// from the port's appProtocol and from the kind of the route.
	Protocol string `json:"protocol,omitempty"`
	// ProxyProtocol is the version, 1 or 2, of the header that tells endpoints
	// behind TCPRoutes and TLSRoutes who the client is; 0 sends none.
	ProxyProtocol int `json:"proxyProtocol,omitempty"`
	// RetryBudget bounds the tries after the first of all requests together.
	RetryBudget *RetryBudget `json:"retryBudget,omitempty"`
	// TLS encrypts the connections; plain by default.
	TLS *BackendTLS `json:"tls,omitempty"`

	_ struct{} `also:"connectTimeout,idleTimeout,maxIdle,maxStreams" hint:"it stands under connection: for example connection: {connectTimeout: 1s}"`
	_ struct{} `also:"connectionPool,circuitBreaker,maxConnections,maxRequests" hint:"what may run at once is limits: for example limits: {requests: 100, connections: 50}"`
	_ struct{} `also:"retry,hedge,timeouts,priority,sessionPersistence,fault,rollout,shape" hint:"how requests are served is said by a TrafficPolicy"`
	_ struct{} `also:"loadBalancer,balance" hint:"did you mean loadBalancing? For example loadBalancing: {policy: LeastRequest}"`
	_ struct{} `also:"health,healthChecks" hint:"did you mean healthCheck? For example healthCheck: {path: /healthz}"`
}

// LoadBalancing says how endpoints share requests.
type LoadBalancing struct {
	// Policy is PeakEWMA (the default: of two at random the one whose open
	// requests would take less time), RoundRobin, LeastRequest (of two at random
	// the one with fewer requests open), Random, RingHash or Maglev: requests
	// with one key go to one endpoint.
	Policy string `json:"policy,omitempty"`
	// Hash is what RingHash and Maglev go by: the first that a request has.
	Hash []HashKey `json:"hash,omitempty"`
	// HashBalanceFactor bounds what an endpoint gets by keys, in percent of its
	// share of the requests that run: 101 to 1000; a key whose endpoint has more
	// goes to the next of its own. 0, the default, is no bound.
	HashBalanceFactor int `json:"hashBalanceFactor,omitempty"`
	// SlowStart gives endpoints that arrive or come back less at first.
	SlowStart *SlowStart `json:"slowStart,omitempty"`
	// SubsetSize is how many endpoints of each priority and zone a proxy uses, of
	// those that are well; each proxy has others. 0, the default, is all.
	SubsetSize int `json:"subsetSize,omitempty"`
}

// HealthCheck is an active health check.
type HealthCheck struct {
	// Kind is http (the default), grpc (grpc.health.v1), tcp (a connection,
	// nothing more) or tls (a connection and its handshake). path, host and statuses are for http.
	Kind string `json:"kind,omitempty"`
	// Service is what grpc.health.v1 is asked about; "" is the whole server.
	Service  string           `json:"service,omitempty"`
	Path     string           `json:"path,omitempty"`     // default "/"
	Host     string           `json:"host,omitempty"`     // default: the service's host, else the endpoint
	Interval gateway.Duration `json:"interval,omitempty"` // default 5s
	Timeout  gateway.Duration `json:"timeout,omitempty"`  // default 2s
	// HealthyThreshold and UnhealthyThreshold are how many results in a row
	// change the state; defaults 2 and 3.
	HealthyThreshold   int `json:"healthyThreshold,omitempty"`
	UnhealthyThreshold int `json:"unhealthyThreshold,omitempty"`
	// Statuses that are healthy; default 200 to 399.
	Statuses *StatusRange `json:"statuses,omitempty"`
}

// StatusRange is a range of HTTP statuses, both ends included.
type StatusRange struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Connection bounds connections.
type Connection struct {
	ConnectTimeout gateway.Duration `json:"connectTimeout,omitempty"` // TLS included; default 5s
	IdleTimeout    gateway.Duration `json:"idleTimeout,omitempty"`    // unused in the pool; default 30s
	// MaxIdle bounds the unused connections per endpoint and loop; default 1024.
	MaxIdle int `json:"maxIdle,omitempty"`
	// MaxStreams bounds the requests at once on one HTTP/2 connection; default
	// 100.
	MaxStreams int `json:"maxStreams,omitempty"`
}

// BackendTLS is how the certificates of a Service are checked.
type BackendTLS struct {
	// ServerName is sent as SNI and verified; by default the endpoint's host.
	ServerName string `json:"serverName,omitempty"`
	// CA is PEM; without it and caCertificateRefs, the roots of the system.
	CA string `json:"ca,omitempty"`
	// CACertificateRefs are ConfigMaps or Secrets with a key ca.crt, in the
	// policy's namespace.
	CACertificateRefs []gateway.LocalObjectReference `json:"caCertificateRefs,omitempty"`
	// ClientCertificateRef is a Secret with a certificate that is shown to
	// endpoints that ask for one. It goes before that of the Gateway.
	ClientCertificateRef *gateway.SecretObjectReference `json:"clientCertificateRef,omitempty"`
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// backendPolicy is a BackendPolicy or BackendTLSPolicy of which only the
// references are open.
type backendPolicy struct {
	object
	targets []policyTarget
	// noun is what a policy says of what a Service is, rather than of how it is
	// treated: TLS, Host, Protocol and ProxyProtocol.
	noun model.Service
	// treatment is the rest, which is joined with Services where they are
	// compiled; nil: nothing.
	treatment *model.TrafficPolicy
	cas       []caRef
	client    *secretRef // what is shown to backends
	// wrong says that the policy asks for TLS but has a mistake: its Services
	// must not be reached without. refusal tells of it, for a BackendTLSPolicy.
	wrong   bool
	refusal refusal
}

// policyTarget is a Service, one port of it, all of a namespace, or everything.
type policyTarget struct {
	field   string
	kind    model.TargetKind
	service key // of a namespace without a name
	port    string
}

// backendPolicyKind is naru's own.
const backendPolicyKind = "BackendPolicy"

// backendPolicy reads a BackendPolicy. A field with a mistake counts as not
// written; where it asks for TLS with one, its Services are not used.
func (r *reader) backendPolicy(k *servedKind) *backendPolicy {
	var in BackendPolicy
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	p := &backendPolicy{object: *o}
	before := len(r.problems)
	p.treatment = newPolicy(o)
	for _, t := range r.targets(k.kind, p.treatment, in.Spec.TargetRefs) {
		p.treatment.Targets = append(p.treatment.Targets, t)
		at := p.treatment.At("target " + t.String())
		p.targets = append(p.targets, policyTarget{strings.TrimPrefix(strings.TrimPrefix(at.Field, r.base), "."), t.Kind, key{t.Namespace, t.Name}, t.Section})
	}
	p.noun.Host = in.Spec.Host
	if lb := in.Spec.LoadBalancing; lb != nil {
		r.loadBalancing(p, lb)
	}
	if in.Spec.Locality != nil {
		p.noun.Locality = r.locality(in.Spec.Locality)
	}
	if in.Spec.HealthCheck != nil {
		p.noun.Health = r.healthCheck(in.Spec.HealthCheck)
	}
	if in.Spec.OutlierDetection != nil {
		p.noun.Ejection = r.outlierDetection(in.Spec.OutlierDetection)
	}
	if c := in.Spec.Connection; c != nil {
		p.noun.Connect = r.bound("spec.connection.connectTimeout", c.ConnectTimeout)
		p.noun.Idle = r.bound("spec.connection.idleTimeout", c.IdleTimeout)
		p.noun.MaxIdle, p.noun.MaxStreams = c.MaxIdle, c.MaxStreams
		if c.MaxIdle < 0 {
			r.broken("spec.connection.maxIdle", "bad-value", "maxIdle is at least 1", "")
		}
		if c.MaxStreams < 0 {
			r.broken("spec.connection.maxStreams", "bad-value", "maxStreams is at least 1", "")
		}
	}
	p.noun.Limits = r.limits(in.Spec.Limits)
	if in.Spec.Protocol != "" && r.oneOf("spec.protocol", in.Spec.Protocol, string(model.HTTP1), string(model.HTTP2), string(model.HTTPAuto)) {
		p.noun.Protocol = model.ServiceProtocol(in.Spec.Protocol)
	}
	if p.noun.ProxyProtocol = in.Spec.ProxyProtocol; p.noun.ProxyProtocol < 0 || p.noun.ProxyProtocol > 2 {
		r.broken("spec.proxyProtocol", "bad-value", "proxyProtocol is 1 or 2", "leave it out for none")
	}
	p.noun.RetryBudget = r.retryBudget(in.Spec.RetryBudget)
	if in.Spec.TLS != nil {
		r.backendTLS(p, in.Spec.TLS)
	}
	wrong := r.spoiled("spec")
	for _, problem := range r.problems[before:] {
		wrong = wrong || problem.Severity == model.Broken
	}
	p.wrong = wrong && (in.Spec.TLS != nil || r.spoiled("spec.tls"))
	r.treatment(p, &in.Spec)
	if len(p.targets) == 0 {
		return nil
	}
	return p
}

// treatment takes out of a policy what has a mistake, and splits it in two.
func (r *reader) treatment(p *backendPolicy, in *BackendPolicySpec) {
	noun := &p.noun
	for _, f := range []struct {
		name   string
		groups []string // of package traffic
		is     bool
		drop   func()
	}{
		{"host", nil, in.Host != "", func() { noun.Host = "" }},
		{"protocol", nil, in.Protocol != "", func() { noun.Protocol = "" }},
		{"proxyProtocol", nil, in.ProxyProtocol != 0, func() { noun.ProxyProtocol = 0 }},
		{"loadBalancing", []string{"balance", "hash", "slowStart"}, in.LoadBalancing != nil, func() {
			noun.Balance, noun.Hash, noun.SlowStart, noun.HashBalanceFactor, noun.SubsetSize = "", nil, nil, 0, 0
		}},
		{"healthCheck", []string{"health"}, in.HealthCheck != nil, func() { noun.Health = nil }},
		{"outlierDetection", []string{"ejection"}, in.OutlierDetection != nil, func() { noun.Ejection = nil }},
		{"locality", []string{"locality"}, in.Locality != nil, func() { noun.Locality = nil }},
		{"connection", []string{"connect", "idle", "maxIdle", "maxStreams"}, in.Connection != nil, func() { noun.Connect, noun.Idle, noun.MaxIdle, noun.MaxStreams = 0, 0, 0, 0 }},
		{"limits", []string{"limits"}, in.Limits != nil, func() { noun.Limits = nil }},
		{"retryBudget", []string{"retryBudget"}, in.RetryBudget != nil, func() { noun.RetryBudget = nil }},
	} {
		if !r.part(f.name, false, nil) {
			f.drop()
		} else if f.is {
			for _, group := range f.groups {
				p.treatment.Fields = append(p.treatment.Fields, model.FieldOrigin{Field: group, Origin: r.origin("spec." + f.name)})
			}
		}
	}
	rest := *noun
	*noun = model.Service{TLS: rest.TLS, Host: rest.Host, Protocol: rest.Protocol, ProxyProtocol: rest.ProxyProtocol}
	rest.TLS, rest.Host, rest.Protocol, rest.ProxyProtocol = nil, "", "", 0
	if reflect.ValueOf(rest).IsZero() {
		if reflect.ValueOf(*noun).IsZero() && in.TLS == nil && len(r.problems) == 0 {
			r.doubtful("spec", "missing-field", "the policy says nothing", "for example limits: {requests: 100}")
		}
		p.treatment = nil
		return
	}
	p.treatment.Service = &rest
}

// policyTargets reads what a BackendTLSPolicy is for.
func (r *reader) policyTargets(p *backendPolicy, refs []gateway.LocalPolicyTargetReferenceWithSectionName) {
	if len(refs) == 0 && !r.spoiled("spec") {
		r.broken("spec", "missing-field", "a "+p.kind+" has targetRefs", `targetRefs: [{group: "", kind: Service, name: orders}]`)
	}
	for i, ref := range refs {
		field := item("spec.targetRefs", i)
		switch {
		case ref.Kind != "Service" || ref.Group != coreGroup:
			r.broken(field, "bad-value", "a "+p.kind+" is for Services", `kind: Service, group: ""`)
		case ref.Name == "":
			r.broken(field, "missing-field", "name is missing", "")
		default:
			p.targets = append(p.targets, policyTarget{
				field:   field,
				kind:    model.TargetService,
				service: key{p.namespace, string(ref.Name)},
				port:    string(or(ref.SectionName, "")),
			})
		}
	}
}

// bound reads a duration that must be more than zero where it is given.
func (r *reader) bound(field string, text gateway.Duration) time.Duration {
	if text == "" {
		return 0
	}
	d, ok := duration(string(text))
	if !ok {
		r.broken(field, "bad-value", string(text)+" is not a duration", "write for example 500ms, 10s or 1h30m")
	} else if d == 0 {
		r.broken(field, "bad-value", field[strings.LastIndexByte(field, '.')+1:]+" must be more than zero", "")
	}
	return d
}

// healthCheck reads a health check.
func (r *reader) healthCheck(in *HealthCheck) *model.HealthCheck {
	const field = "spec.healthCheck"
	out := &model.HealthCheck{
		Service:   in.Service,
		Path:      in.Path,
		Host:      in.Host,
		Interval:  r.bound(field+".interval", in.Interval),
		Timeout:   r.bound(field+".timeout", in.Timeout),
		Healthy:   in.HealthyThreshold,
		Unhealthy: in.UnhealthyThreshold,
	}
	switch in.Kind {
	case "", "http":
	case "grpc":
		out.Kind = model.HealthGRPC
	case "tcp":
		out.Kind = model.HealthTCP
	case "tls":
		out.Kind = model.HealthTLS
	default:
		r.unknownValue(field+".kind", in.Kind, "http", "grpc", "tcp", "tls")
	}
	if out.Kind != model.HealthHTTP && (in.Path != "" || in.Statuses != nil) {
		r.broken(field, "conflict", "path and statuses are for kind http", "remove them")
	}
	if in.Service != "" && out.Kind != model.HealthGRPC {
		r.broken(field+".service", "conflict", "service is for kind grpc", "write kind: grpc")
	}
	if out.Path == "" {
		out.Path = "/"
	} else if out.Path[0] != '/' || strings.ContainsFunc(out.Path, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		r.broken(field+".path", "bad-value", "a path begins with / and has no spaces", "")
	}
	if in.HealthyThreshold < 0 || in.UnhealthyThreshold < 0 {
		r.broken(field, "bad-value", "a threshold is at least 1", "")
	}
	if s := in.Statuses; s != nil {
		if s.Min < 100 || s.Max > 599 || s.Min > s.Max {
			r.broken(field+".statuses", "bad-value", "statuses are a range between 100 and 599", "statuses: {min: 200, max: 299}")
		}
		out.MinStatus, out.MaxStatus = s.Min, s.Max
	}
	return out
}

// backendTLS reads how certificates are checked.
func (r *reader) backendTLS(p *backendPolicy, in *BackendTLS) {
	const field = "spec.tls"
	p.noun.TLS = &model.BackendTLS{ServerName: in.ServerName, CA: []byte(in.CA), Insecure: in.InsecureSkipVerify}
	if in.ServerName != "" {
		if wrong := checkHostname(in.ServerName, false); wrong != "" {
			r.broken(field+".serverName", "bad-value", wrong, "")
		}
	}
	if in.CA != "" {
		if wrong := checkAuthorities([]byte(in.CA)); wrong != "" {
			r.broken(field+".ca", "bad-certificate", wrong, "")
		}
	}
	if in.InsecureSkipVerify && (in.CA != "" || len(in.CACertificateRefs) > 0) {
		r.broken(field+".insecureSkipVerify", "conflict", "with insecureSkipVerify no authority is asked", "remove one of them")
	}
	for i, ref := range in.CACertificateRefs {
		at := item(field+".caCertificateRefs", i)
		ca := r.caRef(at, string(ref.Group), string(ref.Kind), string(ref.Name), p.namespace)
		if ca.stranger != "" || ref.Name == "" {
			r.broken(at, "bad-value", "authorities are in a ConfigMap or a Secret", "kind: ConfigMap, name: my-ca")
			continue
		}
		p.cas = append(p.cas, ca)
	}
	if in.ClientCertificateRef != nil {
		ref := r.secretRef(field+".clientCertificateRef", in.ClientCertificateRef)
		p.client = &ref
	}
}
