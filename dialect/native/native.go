package native

import (
	"cmp"
	"encoding/base64"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// Group and Version of the kinds.
const (
	Group   = "naru.dev"
	Version = "v1alpha1"
)

var kinds = []string{"Mesh", "Workload", "Service", "TrafficPolicy"}

// Dialect reads naru's own kinds. It has no state.
type Dialect struct {
	// CEL says what is wrong with an expression of a policy, nil where nothing
	// is; where it is nil itself, nobody looks before the policy is to serve.
	CEL func(expression string) error
}

// New makes the dialect.
func New() *Dialect { return &Dialect{} }

// Name is "native".
func (*Dialect) Name() string { return "native" }

// Claims takes the documents of its kinds, of whatever version. TrafficPolicies
// that say nothing of authorization are for dialect gatewayapi.
func (*Dialect) Claims(doc *dialect.Document) bool {
	v, k := doc.Get("apiVersion"), doc.Get("kind")
	return v != nil && k != nil && strings.HasPrefix(v.Value, Group+"/") && slices.Contains(kinds, k.Value) &&
		(k.Value != "TrafficPolicy" || authorizes(doc))
}

// Parse makes the noun of a document: *model.Mesh, *model.Workload,
// *model.Service or *model.Policy.
func (d *Dialect) Parse(doc *dialect.Document) (any, []model.Problem) {
	r := &reader{doc: doc, cel: d.CEL}
	if doc.Path != "" {
		r.folder = filepath.Dir(doc.Path)
	}
	if v := doc.Get("apiVersion").Value; v != Group+"/"+Version {
		r.broken("apiVersion", "bad-value", "there is no "+v, "write "+Group+"/"+Version)
		return nil, r.problems
	}
	var noun any
	switch doc.Get("kind").Value {
	case "Mesh":
		noun = r.mesh()
	case "Workload":
		noun = r.workload()
	case "Service":
		noun = r.service()
	case "TrafficPolicy":
		noun = r.policy()
	}
	for i := range r.problems {
		r.problems[i].Origin.Object = r.about
	}
	return noun, r.problems
}

// Translate collects the nouns.
func (*Dialect) Translate(items []any) *model.Fragment {
	f := &model.Fragment{}
	for _, item := range items {
		switch x := item.(type) {
		case *model.Workload:
			f.Workloads = append(f.Workloads, x)
		case *model.Service:
			f.Services = append(f.Services, x)
		case *model.Policy:
			f.Policies = append(f.Policies, x)
		case *model.Mesh:
			if f.Mesh == nil {
				f.Mesh = x
				continue
			}
			f.Problems = append(f.Problems, model.Problem{
				Origin: x.Origin, Severity: model.Doubtful, Code: "duplicate-setting",
				Message: "there is another Mesh, at " + f.Mesh.Origin.String() + ", and that one counts", Hint: "write one",
			})
		}
	}
	return f
}

// reader reads one object and notes every mistake at its place.
type reader struct {
	doc       *dialect.Document
	cel       func(string) error
	folder    string
	about     string // "Service shop/orders"
	namespace string
	name      string
	at        model.Origin
	problems  []model.Problem
}

// broken notes a mistake at a field.
func (r *reader) broken(field, code, message, hint string) {
	r.problems = append(r.problems, r.doc.Problem(r.doc.At(field), field, code, message, hint))
}

// wrong says whether there is a mistake at one of the fields or below, or
// anywhere where there are none.
func (r *reader) wrong(fields ...string) bool {
	return slices.ContainsFunc(r.problems, func(p model.Problem) bool {
		return p.Severity == model.Broken && (len(fields) == 0 || slices.ContainsFunc(fields, func(f string) bool { return within(p.Origin.Field, f) }))
	})
}

func within(field, whole string) bool {
	rest, ok := strings.CutPrefix(field, whole)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// decode reads the object, whose name and namespace must be good; anywhere says
// that the kind is in no namespace.
func (r *reader) decode(into any, o *object, anywhere bool) bool {
	r.problems = append(r.problems, r.doc.Decode(r.doc.Root, "", into)...)
	r.name, r.namespace = o.Metadata.Name, cmp.Or(o.Metadata.Namespace, model.DefaultNamespace)
	r.about = o.Kind + " " + r.namespace + "/" + r.name
	if anywhere {
		r.namespace, r.about = "", o.Kind+" "+r.name
	}
	field := "metadata.name"
	switch {
	case r.name == "":
		if !r.wrong("metadata") {
			r.broken("metadata", "missing-field", "metadata.name is missing", "for example metadata: {name: orders}")
		}
	case !isName(r.name, true):
		r.broken(field, "bad-value", strconv.Quote(r.name)+" is not a name", "names are of a-z, 0-9, - and .")
	case !anywhere && !isName(r.namespace, false):
		field = "metadata.namespace"
		r.broken(field, "bad-value", strconv.Quote(r.namespace)+" is not a namespace", "names are of a-z, 0-9 and -")
	}
	r.at = r.doc.Origin(r.doc.At("metadata.name"), "metadata.name")
	r.at.Object = r.about
	return !r.wrong("metadata")
}

func isName(s string, dots bool) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0 || i == len(s)-1) && (c != '.' || !dots || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= 253 && (dots || len(s) <= 63)
}

// word checks that a field is one of a few words, or empty.
func (r *reader) word(field, word string, words ...string) {
	if word == "" || slices.Contains(words, word) {
		return
	}
	name := field[strings.LastIndexByte(field, '.')+1:]
	r.broken(field, "bad-value", name+" can not be "+strconv.Quote(word), dialect.DidYouMean(word, words, "words"))
}

// port checks a port; zero says that it may be left out.
func (r *reader) port(field string, n int, zero bool) uint16 {
	if n == 0 && zero {
		return 0
	}
	if n < 1 || n > 65535 {
		if n == 0 && !r.wrong(field) && r.doc.At(field) != nil {
			r.broken(field, "bad-value", "a port is missing, or is 0", "from 1 to 65535")
		} else if n != 0 {
			r.broken(field, "bad-value", "no port is numbered "+strconv.Itoa(n), "from 1 to 65535")
		}
		return 0
	}
	return uint16(n)
}

// serviceName is the noun's name of a Service that is written as NAME or
// NAMESPACE/NAME. Those of the default namespace have none before it.
func serviceName(word, namespace string) string {
	if ns, name, ok := strings.Cut(word, "/"); ok {
		word, namespace = name, ns
	}
	if namespace == model.DefaultNamespace {
		return word
	}
	return namespace + "/" + word
}

func (r *reader) file(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.folder, name)
}

func (r *reader) mesh() any {
	var in meshObject
	r.decode(&in, &in.object, true)
	s := &in.Spec
	r.word("spec.mtls", s.MTLS, "strict", "permissive", "off")
	r.word("spec.outbound", s.Outbound, "allow", "registered-only")
	m := &model.Mesh{TrustDomain: s.TrustDomain, Domain: s.Domain, MTLS: model.MTLS(s.MTLS), Outbound: model.Outbound(s.Outbound), Connections: s.Connections, Origin: r.at}
	if s.Connections < -1 {
		m.Connections = 0
		r.broken("spec.connections", "bad-value", "there can not be "+strconv.Itoa(s.Connections)+" connections", "at least 1, or -1 for no bound")
	}
	if s.MaxAge != "" {
		age, err := time.ParseDuration(s.MaxAge)
		switch {
		case s.MaxAge == "off":
			m.MaxConnectionAge = -1
		case err != nil || age <= 0:
			r.broken("spec.maxConnectionAge", "bad-value", "no time is "+strconv.Quote(s.MaxAge), "write for example 1h, or off for no bound")
		default:
			m.MaxConnectionAge = age
		}
	}
	for _, n := range s.Networks {
		m.Networks = append(m.Networks, model.MeshNetwork{Name: n.Name, Gateway: n.Gateway})
	}
	for _, f := range s.Federated {
		m.Federated = append(m.Federated, model.Federation{TrustDomain: f.TrustDomain, URL: f.URL, EndpointID: f.EndpointID, CAFile: r.file(f.CAFile)})
	}
	if m.Refused = r.wrong(); m.Refused {
		m.MTLS, m.Outbound = model.Strict, model.RegisteredOnly
	}
	return m
}

// place reads where something is.
func (r *reader) place(field, zone, network string) (p model.Place) {
	if zone != "" {
		var hint string
		if p, hint = model.ParsePlace(zone); hint != "" {
			r.broken(field+".zone", "bad-value", "no zone is called "+strconv.Quote(zone), hint)
		}
	}
	if p.Network = network; network != "" && !model.IsPlaceName(network) {
		r.broken(field+".network", "bad-value", "no network is called "+strconv.Quote(network), "write letters, digits, dots, dashes and underscores, at most 63")
	}
	return p
}

func (r *reader) workload() any {
	var in workloadObject
	r.decode(&in, &in.object, false)
	s := &in.Spec
	w := &model.Workload{
		Name: r.namespace + "/" + r.name, Namespace: r.namespace, Account: cmp.Or(s.Account, "default"), Node: s.Node, Address: s.Address,
		MeshPort: r.port("spec.meshPort", s.MeshPort, true), Weight: s.Weight, Place: r.place("spec", s.Zone, s.Network), Origin: r.at,
	}
	if s.Address == "" && !r.wrong("spec") {
		r.broken("spec", "missing-field", "spec.address is missing", "for example address: 10.0.0.1")
	}
	if r.word("spec.state", s.State, "serving", "unhealthy", "draining"); s.State != "serving" {
		w.State = model.WorkloadState(s.State)
	}
	var err error
	if w.PassportKey, err = base64.StdEncoding.DecodeString(s.Passport); err != nil {
		r.broken("spec.passportKey", "bad-value", "this is not base64: "+err.Error(), "naru writes it; leave it out")
	}
	if len(w.PassportKey) == 0 {
		w.PassportKey = nil
	}
	for i, p := range s.Ports {
		field := "spec.ports[" + strconv.Itoa(i) + "]"
		if p.Service == "" && !r.wrong(field) {
			r.broken(field, "missing-field", "a port is of a service", "for example {service: orders, port: 9002}")
		}
		w.Ports = append(w.Ports, model.WorkloadPort{Service: serviceName(p.Service, r.namespace), Port: r.port(field+".port", p.Port, false), Protocol: model.AppProtocol(p.Protocol)})
		r.word(field+".protocol", p.Protocol, "http", "grpc", "tcp")
	}
	if r.wrong() {
		return nil
	}
	return w
}

func (r *reader) service() any {
	var in serviceObject
	if !r.decode(&in, &in.object, false) {
		return nil
	}
	s := &in.Spec
	r.word("spec.protocol", s.Protocol, "http", "grpc", "tcp")
	r.word("spec.mtls", s.MTLS, "strict", "permissive", "off")
	m := &model.Service{Name: serviceName(r.name, r.namespace), Origin: r.at, Mesh: &model.MeshService{
		Namespace: r.namespace, Host: r.name, Names: s.Names, Port: r.port("spec.port", s.Port, false),
		Protocol: model.AppProtocol(s.Protocol), MTLS: model.MTLS(s.MTLS), External: s.External, Forward: s.Forward,
	}}
	if m.Mesh.Protocol == model.AppGRPC {
		m.Protocol = model.HTTP2
	}
	if s.Via != "" {
		m.Mesh.Via = serviceName(s.Via, r.namespace)
	}
	for i, e := range s.Endpoints {
		field := "spec.endpoints[" + strconv.Itoa(i) + "]"
		if e.Address == "" && !r.wrong(field) {
			r.broken(field, "missing-field", "an endpoint has an address", "for example {address: 10.0.0.9, port: 5432}")
		}
		m.Endpoints = append(m.Endpoints, &model.Endpoint{Host: e.Address, Port: r.port(field+".port", cmp.Or(e.Port, s.Port), true), Weight: e.Weight, Priority: e.Priority, Place: r.place(field, e.Zone, e.Network)})
		if e.Priority < 0 || e.Priority >= model.MostPriorities {
			r.broken(field+".priority", "bad-value", "a priority is 0 to "+strconv.Itoa(model.MostPriorities-1), "0 goes first")
		}
	}
	if t := s.TLS; t != nil {
		m.TLS = &model.BackendTLS{ServerName: t.ServerName, CAFile: r.file(t.CAFile), Insecure: t.InsecureSkipVerify}
	}
	if r.wrong() {
		return &model.Service{Name: m.Name, Origin: r.at, Refused: true}
	}
	return m
}
