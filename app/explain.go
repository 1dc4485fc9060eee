package app

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/filter/authz"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/mesh"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/proxy"
	"github.com/naru-mesh/naru/traffic"
	"github.com/naru-mesh/naru/wire"
)

// Nobody is a caller without an identity.
const Nobody = "nobody"

// MeshExplanation is what would happen to a call between workloads, and why.
type MeshExplanation struct {
	Method string `json:"method,omitempty"` // "" is a connection
	URL    string `json:"url"`
	From   string `json:"from"` // SPIFFE ID, or nobody
	// Service is "" where the call is to none of the mesh.
	Service  string `json:"service,omitempty"`
	Origin   string `json:"origin,omitempty"`
	Name     string `json:"name,omitempty"` // its whole name and port
	Port     uint16 `json:"port,omitempty"` // of the workload, which policies mean
	Protocol string `json:"protocol,omitempty"`
	MTLS     string `json:"mtls,omitempty"`
	Way      string `json:"way,omitempty"`   // how it goes there
	Route    string `json:"route,omitempty"` // which noun leads there
	// Settings are what the service says about calls to it, where that is not
	// the default.
	Settings []string `json:"settings,omitempty"`
	// Said is what policies say about calls to it.
	Said      []traffic.Setting `json:"said,omitempty"`
	Endpoints []MeshEndpoint    `json:"endpoints"`
	// Answer is the status of a refused request.
	Answer   int             `json:"answer,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Means    string          `json:"means,omitempty"`
	Decided  string          `json:"decided,omitempty"` // by which policy and rule
	Findings []authz.Finding `json:"findings,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
}

// MeshEndpoint is where a call may go.
type MeshEndpoint struct {
	Address  string `json:"address"`
	Identity string `json:"identity,omitempty"` // that it must prove; "": plaintext
	Standby  bool   `json:"standby,omitempty"`  // not while others can
}

// ExplainCall says what would happen to a call by a workload: from is an account,
// NAMESPACE/ACCOUNT, a SPIFFE ID or Nobody. An error is a mistake in the question.
func ExplainCall(s *model.Snapshot, q proxy.Question, from string) (*MeshExplanation, error) {
	if s.Mesh == nil && slices.ContainsFunc(s.Services, func(v *model.Service) bool { return v.Mesh != nil }) {
		with := *s
		with.Mesh = &model.Mesh{} // in another file
		s = &with
	}
	u, err := url.Parse(q.URL)
	switch {
	case s.Mesh == nil:
		return nil, errNoMesh
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("%q says not whom to call: write http://SERVICE:PORT/PATH or tcp://SERVICE:PORT", q.URL)
	case u.Scheme != "http" && u.Scheme != "tcp":
		return nil, fmt.Errorf("%s://: workloads speak plain http to their proxy, or tcp://, and the proxies speak TLS", u.Scheme)
	}
	id, namespace, account, err := callerOf(s, from)
	if err != nil {
		return nil, err
	}
	port, _ := strconv.Atoi(u.Port())
	if u.Port() == "" && u.Scheme == "http" {
		port = 80
	}
	out := &MeshExplanation{URL: q.URL, From: cmp.Or(string(id), Nobody), Endpoints: []MeshEndpoint{}}
	if u.Scheme == "http" {
		out.Method = q.Method
	}
	called, err := mesh.Find(&s.Config, cmp.Or(namespace, model.DefaultNamespace), cmp.Or(account, Nobody), u.Hostname(), uint16(port))
	if err != nil {
		return nil, err
	}
	if called == nil {
		return out.stranger(s), nil
	}
	out.describe(s, called, q.Defaults)
	out.known(s, id, account)
	if called.Service.Mesh.External {
		out.Way = "out of the mesh, by the caller's proxy"
		return out, nil
	}
	if id == "" && called.Mode == model.Strict {
		return out.refuse(observe.PlaintextRefused), nil
	}
	return out, out.judge(s, called, q, u, id)
}

// callerOf reads who calls. A workload of another trust domain has no namespace
// and account of ours.
func callerOf(s *model.Snapshot, from string) (id identity.ID, namespace, account string, err error) {
	trust := cmp.Or(s.Mesh.TrustDomain, model.DefaultTrustDomain)
	switch {
	case from == Nobody:
		return "", "", "", nil
	case strings.HasPrefix(from, "spiffe://"):
		id = identity.ID(from)
		if id.TrustDomain() != trust && !slices.ContainsFunc(s.Mesh.Federated, func(f model.Federation) bool { return f.TrustDomain == id.TrustDomain() }) {
			return "", "", "", fmt.Errorf("--from %s: nobody of trust domain %q is believed here: ours is %s%s", from, id.TrustDomain(), trust, federatedWith(s.Mesh))
		}
		namespace, account, _ = id.Workload()
		if id.TrustDomain() != trust {
			namespace, account = "", ""
		}
		return id, namespace, account, nil
	}
	namespace, account, both := strings.Cut(from, "/")
	if !both {
		namespace, account = model.DefaultNamespace, from
	}
	if noName("namespace", namespace) != nil || noName("account", account) != nil {
		return "", "", "", fmt.Errorf("--from %s: write an account (orders), NAMESPACE/ACCOUNT, a SPIFFE ID, or nobody for a caller without a proxy", from)
	}
	return identity.WorkloadID(trust, namespace, account), namespace, account, nil
}

func federatedWith(m *model.Mesh) string {
	var all []string
	for _, f := range m.Federated {
		all = append(all, f.TrustDomain)
	}
	if len(all) == 0 {
		return ", and none is federated"
	}
	return ", federated " + strings.Join(all, ", ")
}

// stranger explains a call to what is no service.
func (e *MeshExplanation) stranger(s *model.Snapshot) *MeshExplanation {
	if s.Mesh.Outbound == model.RegisteredOnly {
		return e.refuse(observe.OutboundRefused)
	}
	e.Way = "out of the mesh as it is: it is no service, and outbound is allow"
	return e
}

func (e *MeshExplanation) refuse(why observe.Reason) *MeshExplanation {
	e.Reason, e.Means = why.String(), why.Info().Means
	if e.Method != "" {
		e.Answer = why.Info().Status
	}
	return e
}

// describe says what is called and where the call may go.
func (e *MeshExplanation) describe(s *model.Snapshot, c *mesh.Called, defaults bool) {
	m := c.Service.Mesh
	e.Service, e.Origin = c.Service.Name, c.Service.Origin.String()
	e.Name = net.JoinHostPort(c.Name, strconv.Itoa(int(m.Port)))
	e.Protocol = cmp.Or(string(m.Protocol), "detected")
	e.Port = cmp.Or(c.Port, m.Port)
	switch c.Mode {
	case model.Strict:
		e.MTLS = "strict: mutual TLS and nothing else"
	case model.Permissive:
		e.MTLS = "permissive: mutual TLS where both sides have a proxy"
	default:
		e.MTLS = "off: plaintext"
	}
	if m.External {
		e.MTLS = "none: it is outside of the mesh"
	}
	e.Way = "from proxy to proxy"
	if c.Via != nil {
		e.Way = "through the egress gateway " + c.Via.Name
	}
	switch {
	case e.Method != "" && c.Route != nil:
		e.Route = c.Route.Name
	case e.Method != "":
		e.Route, e.Method = c.Flow.Name, ""
		e.Notes = append(e.Notes, "the service is declared as tcp: requests are carried as bytes, and no policy sees them")
	case c.Flow != nil:
		e.Route = c.Flow.Name
	default:
		e.refuse(observe.NoFlow)
		e.Notes = append(e.Notes, "the service is declared as "+string(m.Protocol)+": what is not HTTP is not carried")
	}
	if e.From == Nobody {
		e.Route, e.Way = "", "to the workload's own port, by the caller itself"
		for _, w := range s.Workloads {
			for _, p := range w.Ports {
				if p.Service == c.Service.Name {
					e.Endpoints = append(e.Endpoints, MeshEndpoint{Address: net.JoinHostPort(w.Address, strconv.Itoa(int(p.Port))), Standby: w.State != model.Serving})
				}
			}
		}
	} else if t := c.Target; t != nil {
		for _, p := range t.Endpoints {
			e.Endpoints = append(e.Endpoints, MeshEndpoint{net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))), p.Identity, p.Standby})
		}
	}
	e.settings(s, c, defaults)
	if len(e.Endpoints) == 0 {
		e.Notes = append(e.Notes, "the files name no workload of it: those that run are in naru status")
		if c.Port == 0 && !m.External {
			e.Notes = append(e.Notes, fmt.Sprintf("policies are asked for port %d, as if its workloads served that", e.Port))
		}
	}
}

// settings are what a service says about calls to it.
func (e *MeshExplanation) settings(s *model.Snapshot, c *mesh.Called, defaults bool) {
	e.policies(s, c, defaults)
	v := c.Service
	if v.Balance != "" {
		e.Settings = append(e.Settings, "balance "+string(v.Balance))
	}
	if v.Connect != 0 {
		e.Settings = append(e.Settings, "connect within "+v.Connect.String())
	}
	if v.MaxStreams != 0 {
		e.Settings = append(e.Settings, fmt.Sprintf("%d streams a connection", v.MaxStreams))
	}
	if v.TLS != nil && v.Mesh.External {
		e.Settings = append(e.Settings, "TLS to its endpoints")
	}
	if v.Mesh.Forward {
		e.Settings = append(e.Settings, "told who calls it")
	}
}

// policies are what policies say of calls to a service, and what nobody says,
// where that is asked for.
func (e *MeshExplanation) policies(s *model.Snapshot, c *mesh.Called, defaults bool) {
	part := &model.Config{Traffic: s.Traffic}
	if c.Route != nil {
		part.Routes = []*model.Route{c.Route}
	}
	if c.Route == nil && c.Flow != nil {
		part.Flows = []*model.Flow{c.Flow}
	}
	if c.Target != nil {
		part.Services = []*model.Service{c.Target}
	}
	var l traffic.Lowering
	part = l.Lower(part)
	for _, r := range part.Routes {
		said := l.Route(r)
		if defaults {
			said = traffic.RouteDefaults(said)
		}
		e.Said = append(e.Said, said...)
	}
	for _, f := range part.Flows {
		said := l.Flow(f)
		if defaults {
			said = traffic.FlowDefaults(said)
		}
		e.Said = append(e.Said, said...)
	}
	for _, v := range part.Services {
		said := l.Service(v)
		if defaults {
			said = traffic.ServiceDefaults(said)
		}
		e.Said = append(e.Said, said...)
	}
	e.Said = slices.DeleteFunc(e.Said, func(x traffic.Setting) bool { return x.Own })
}

// known warns of a caller whom nothing names.
func (e *MeshExplanation) known(s *model.Snapshot, id identity.ID, account string) {
	if account == "" {
		return
	}
	var names []string
	for _, w := range s.Workloads {
		names = append(names, w.Account)
	}
	for _, v := range s.Services {
		if v.Mesh != nil {
			names = append(names, v.Mesh.Host)
		}
	}
	for _, p := range s.Policies {
		for i := range p.Rules {
			for _, who := range append(slices.Clone(p.Rules[i].Principals), p.Rules[i].NotPrincipals...) {
				names = append(names, who[strings.LastIndexByte(who, '/')+1:])
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if near := model.Nearest(account, names); near != "" && !slices.Contains(names, account) {
		e.Notes = append(e.Notes, fmt.Sprintf("nothing in the configuration names account %s: did you mean %s?", account, near))
	}
}

// judge asks the policies of the service.
func (e *MeshExplanation) judge(s *model.Snapshot, c *mesh.Called, q proxy.Question, u *url.URL, id identity.ID) error {
	target := filter.Target{Service: c.Service.Name, Namespace: c.Service.Mesh.Namespace, TrustDomain: cmp.Or(s.Mesh.TrustDomain, model.DefaultTrustDomain)}
	if c.Via != nil {
		target.Service, target.Namespace = c.Via.Name, c.Via.Mesh.Namespace
	}
	d, err := authz.New(s.Policies, target, authz.NewMetrics(nil, nil))
	if err != nil {
		e.Notes = append(e.Notes, "what does not compile refuses everything: "+err.Error())
	}
	peer := &wire.Peer{Remote: e.address(s, id)}
	if id != "" {
		peer.TLS = &wire.TLSState{Identity: string(id)}
	}
	var x *filter.Exchange
	if e.Method != "" {
		if x, err = proxy.Ask(q, u); err != nil {
			return err
		}
		x.Peer = peer
	}
	said := d.Explain(peer, e.Port, x)
	e.Findings, e.Decided = said.Findings, said.Detail
	if said.Refused && e.Reason == "" {
		e.refuse(observe.PolicyDenied)
		e.Means = said.Detail
	}
	return nil
}

// address is that of the caller's workload, where the configuration has one.
func (e *MeshExplanation) address(s *model.Snapshot, id identity.ID) netip.AddrPort {
	for _, w := range s.Workloads {
		if identity.WorkloadID(cmp.Or(s.Mesh.TrustDomain, model.DefaultTrustDomain), w.Namespace, w.Account) == id {
			if a, err := netip.ParseAddr(w.Address); err == nil {
				return netip.AddrPortFrom(a, 0)
			}
		}
	}
	return netip.AddrPort{}
}
