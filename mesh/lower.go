package mesh

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// Node is what the machine is that a Config is lowered for.
type Node struct {
	// Address is where the inbound door is bound; "" is every address. MeshPort
	// is its port; 0 is model.MeshPort.
	Address  string
	MeshPort uint16
	// Plain is the port, on every address, to which plaintext connections to
	// locals are captured; 0: they are not, and reach the workloads unseen.
	Plain  uint16
	Locals []Local
	// Gateway: the Config's own Listeners are served here too, and call services
	// of the mesh as this identity; "" without that. None is given where Serve
	// is not set.
	Serve   bool
	Gateway identity.ID
	// Network is the one that the machine is in, "" where that is not known. What
	// is in another is reached through its gateway, where the mesh has one; a
	// machine that serves listens for what comes from others.
	Network string
	// VIP is the addresses that a service's name means to captured workloads,
	// one of a family at most; none, or nil: there are none. The same service
	// gets the same at each call.
	VIP func(service string) []netip.Addr
}

// Local is a workload of the node.
type Local struct {
	// Workload is the Config's noun, or one that the control plane does not
	// know yet.
	Workload *model.Workload
	// Target is the address on which its ports are reached from here; "" is
	// 127.0.0.1.
	Target string
	// Outbound is the port of its outbound door, on OutboundAddress ("" is
	// 127.0.0.1); 0: its connections are not captured.
	Outbound uint16
	// Pass and Own are as those of model.MeshDoor.
	Pass            []byte
	Own             bool
	OutboundAddress string
	// Outbound6: there is a door at this port on ::1, too.
	Outbound6 bool
	// Reach are ports of OutboundAddress that lead to one service each.
	Reach []Reach
	// Apart: it has a network of its own, so that its ports are free on this
	// machine. The doors for plaintext are there, on every address; Node.Plain is
	// for the others.
	Apart bool
}

// Reach is a local port, and the name and port by which a workload means a
// service.
type Reach struct {
	Name  string
	Port  uint16
	Local uint16
}

// Lowering lowers one Config after another. The zero Lowering is ready; it is
// for one goroutine.
type Lowering struct {
	last, next map[string]made
	cfg        *model.Config
	node       *Node
	mesh       model.Mesh
	out        *model.Config
	rosters    rosters
	aimed      aimed                        // that known is of
	known      *[]model.MeshTarget          // those of the last call
	names      map[string]*[]model.MeshName // likewise, by namespace
	naming     map[string]bool              // those that are of this call
	problems   []model.Problem              // likewise
}

// made is a noun, or several, and what it was made of.
type made struct {
	causes []any // pointers and strings
	nouns  any
}

// keep gives what was made of the same causes at the last call, or makes it.
func keep[T any](l *Lowering, key string, causes []any, make func() T) T {
	if old, ok := l.next[key]; ok {
		return old.nouns.(T)
	}
	old, ok := l.last[key]
	if !ok || !slices.Equal(old.causes, causes) {
		old = made{causes, make()}
	}
	l.next[key] = old
	return old.nouns.(T)
}

// Lower gives the Config that this node's proxy serves. cfg must be valid, as a
// Snapshot's is, and is not written to; its lists need not be sorted.
func (l *Lowering) Lower(cfg *model.Config, node Node) *model.Config {
	l.cfg, l.node, l.next = cfg, &node, make(map[string]made, len(l.last)+16)
	if l.known == nil {
		l.known, l.names = &[]model.MeshTarget{}, map[string]*[]model.MeshName{}
	}
	l.naming, l.problems = map[string]bool{}, nil
	l.mesh = model.Mesh{}
	if cfg.Mesh != nil {
		l.mesh = *cfg.Mesh
	}
	l.mesh.TrustDomain = pick(l.mesh.TrustDomain, model.DefaultTrustDomain)
	l.mesh.Domain = pick(l.mesh.Domain, model.DefaultMeshDomain)
	l.mesh.MTLS = pick(l.mesh.MTLS, model.Strict)
	l.mesh.Outbound = pick(l.mesh.Outbound, model.OutboundAllow)
	l.mesh.MaxConnectionAge = max(pick(l.mesh.MaxConnectionAge, model.DefaultMeshConnectionAge), 0)
	l.mesh.Connections = max(pick(l.mesh.Connections, model.DefaultMeshConnections), -1)
	l.out = &model.Config{Certificates: cfg.Certificates, Workloads: cfg.Workloads, Policies: cfg.Policies, Traffic: cfg.Traffic, Mesh: cfg.Mesh, Settings: cfg.Settings}
	l.rosters.follow(cfg.Workloads)
	if node.Serve {
		l.serve()
	}
	l.between()
	l.inbound()
	l.outbound()
	l.last, l.next = l.next, nil
	l.cfg, l.node = nil, nil
	out := l.out
	l.out = nil
	return out
}

// serve takes over what is the Config's own. Services of the mesh keep their
// names, so that Routes lead to them as before.
func (l *Lowering) serve() {
	for _, o := range l.cfg.Listeners {
		if whose, hint := l.taken(o); whose != "" {
			l.problems = append(l.problems, model.Problem{
				Origin: o.Origin, Severity: model.Broken, Code: "port-taken",
				Message: "listener " + o.Name + " is not served: port " + itoa(o.Port) + " is " + whose, Hint: hint,
			})
			continue
		}
		l.out.Listeners = append(l.out.Listeners, o)
	}
	l.out.Routes = append(l.out.Routes, l.cfg.Routes...)
	l.out.Flows = append(l.out.Flows, l.cfg.Flows...)
	byName := map[string]*model.Service{}
	for _, s := range l.cfg.Services {
		if s.Mesh != nil {
			byName[s.Name] = s
		}
	}
	for _, s := range l.cfg.Services {
		if s.Mesh != nil {
			s = l.service(l.wayTo(s, l.node.Gateway, byName), source{id: l.node.Gateway}, s.Name)
		}
		l.out.Services = append(l.out.Services, s)
	}
}

// taken says whose the port of a listener is already, on this machine; "":
// nobody's. What comes to the port of a workload comes to the workload, so that
// a listener there would be served half, and a workload that has it goes on.
func (l *Lowering) taken(o *model.Listener) (whose, hint string) {
	if o.Protocol == model.UDP || o.Port == 0 {
		return "", ""
	}
	const leave = "have the listener or the workload take another port; the listener is served once the workload has left"
	for i := range l.node.Locals {
		local := &l.node.Locals[i]
		name := local.Workload.Name
		switch {
		case slices.ContainsFunc(local.Workload.Ports, func(p model.WorkloadPort) bool { return p.Port == o.Port }):
			return "that of workload " + name + " on this machine", leave
		case slices.ContainsFunc(local.Reach, func(r Reach) bool { return r.Local == o.Port }):
			return "where workload " + name + " reaches a service on this machine", leave
		case local.Outbound == o.Port:
			return "where the calls of workload " + name + " come to the proxy", "take a port below 15000"
		}
	}
	if len(l.node.Locals) > 0 && (o.Port == pick(l.node.MeshPort, model.MeshPort) || o.Port == l.node.Plain) {
		return "the mesh's own on this machine", "take a port below 15000"
	}
	return "", ""
}

// Problems are what the last call of Lower has found: listeners of the Config
// that this machine cannot serve.
func (l *Lowering) Problems() []model.Problem { return l.problems }

// source is an identity that calls.
type source struct {
	id        identity.ID
	label     string // shop/orders: namespace and account
	namespace string
}

func (l *Lowering) identityOf(w *model.Workload) identity.ID {
	return identity.WorkloadID(l.mesh.TrustDomain, w.Namespace, w.Account)
}

// mode is how a service is reached.
func (l *Lowering) mode(s *model.Service) model.MTLS { return pick(s.Mesh.MTLS, l.mesh.MTLS) }

// lowered is a service as it was lowered for a source.
type lowered struct {
	service *model.Service
	of      *roster
	// Of the endpoints the first are those that are written, and ends says of each
	// workload where its own end.
	written int
	ends    []int32
}

// part is where the endpoints of the workloads from i on begin.
func (d *lowered) part(i int) int {
	if i == 0 {
		return d.written
	}
	return int(d.ends[i-1])
}

// service lowers s for a source. An external one is the same for all.
func (l *Lowering) service(s *model.Service, from source, name string) *model.Service {
	if s.Mesh.External && s.Name == name {
		return s
	}
	key := "service " + name
	if now, ok := l.next[key]; ok {
		return now.nouns.(*lowered).service
	}
	of := l.rosters.by[s.Name]
	now := made{causes: []any{s, from.id, l.mesh.TrustDomain, l.mesh.Domain, l.mesh.MTLS, l.ways()}}
	was := &lowered{}
	if old, ok := l.last[key]; ok && slices.Equal(old.causes, now.causes) {
		was = old.nouns.(*lowered)
	}
	if now.nouns = was; was.service == nil || was.of != of {
		now.nouns = l.lowerService(s, from, name, of, was)
	}
	l.next[key] = now
	return now.nouns.(*lowered).service
}

// lowerService makes what was not made for was: endpoints of a workload that is
// the same are the same.
func (l *Lowering) lowerService(s *model.Service, from source, name string, of *roster, was *lowered) *lowered {
	v := *s
	v.Name, v.Mesh, v.Identity = name, nil, ""
	v.Subject = subject(s)
	mode := l.mode(s)
	if s.Mesh.Protocol == model.AppGRPC {
		v.Protocol = model.HTTP2
	}
	workloads := of.list()
	d := &lowered{service: &v, of: of, ends: make([]int32, 0, len(workloads))}
	v.Endpoints = make([]*model.Endpoint, 0, len(s.Endpoints)+len(workloads))
	if s.Mesh.External || mode != model.Strict {
		v.Endpoints = append(v.Endpoints, s.Endpoints...)
	}
	d.written = len(v.Endpoints)
	at := 0
	keep := func(to int) {
		if at == to {
			return
		}
		shift := int32(len(v.Endpoints) - was.part(at))
		v.Endpoints = append(v.Endpoints, was.service.Endpoints[was.part(at):was.part(to)]...)
		for _, end := range was.ends[at:to] {
			d.ends = append(d.ends, end+shift)
		}
	}
	for _, h := range model.Hunks(was.of.list(), workloads, nil) {
		keep(h.A)
		at = h.B
		for _, w := range workloads[h.C:h.D] {
			v.Endpoints = append(v.Endpoints, l.endpoints(w, s.Name, mode, from)...)
			d.ends = append(d.ends, int32(len(v.Endpoints)))
		}
	}
	keep(len(was.ends))
	if slices.Equal(d.ends, was.ends) {
		d.ends = was.ends
	}
	if len(v.Endpoints) == 0 {
		v.Endpoints = nil
	}
	if mode != model.Off && slices.ContainsFunc(v.Endpoints, func(e *model.Endpoint) bool { return e.Identity != "" }) {
		v.Identity = string(from.id)
		v.Health = nil // each node reports that of its workloads
	}
	return d
}

// subject is what policies know a service by.
func subject(s *model.Service) model.Subject {
	return model.Subject{Namespace: pick(s.Mesh.Namespace, model.DefaultNamespace), Name: s.Mesh.Host}
}

// endpoints are the ports of w that serve a service.
func (l *Lowering) endpoints(w *model.Workload, service string, mode model.MTLS, from source) (list []*model.Endpoint) {
	mutual := mode != model.Off && w.MeshPort != 0 && from.id != ""
	if !mutual && mode == model.Strict {
		return nil
	}
	for _, p := range w.Ports {
		if p.Service != service {
			continue
		}
		e := &model.Endpoint{Host: w.Address, Port: p.Port, Weight: w.Weight, Place: w.Place, Standby: w.State != model.Serving, Authority: netAddr(w.Address, p.Port)}
		if mutual {
			e.Port = w.MeshPort
			if host, port, ok := l.gate(w.Place.Network); ok {
				e.Host, e.Port = host, port
			}
			e.Identity = string(l.identityOf(w))
			e.ServerName = l.sni(w, p.Port)
		}
		list = append(list, e)
	}
	return list
}

// sni names one port of one workload to its proxy:
// <port>.<instance>.<namespace>.<domain>.
func (l *Lowering) sni(w *model.Workload, port uint16) string {
	_, instance, found := strings.Cut(w.Name, "/")
	if !found {
		instance = w.Name
	}
	instance = strings.Map(func(r rune) rune {
		if r == '.' || r == '/' {
			return '-'
		}
		return r
	}, strings.ToLower(instance))
	return strconv.Itoa(int(port)) + "." + instance + "." + strings.ToLower(w.Namespace) + "." + l.mesh.Domain
}

func netAddr(host string, port uint16) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, port).String()
	}
	return host + ":" + strconv.Itoa(int(port))
}

// pick gives v, or def where v is zero.
func pick[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
