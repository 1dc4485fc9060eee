package mesh

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// endless: a mesh adds no time-out to what two programs have agreed on, unless a
// policy says so.
var endless = model.Timeouts{Backend: model.AsRequest}

// doorLimits bound the doors. The programs on both sides are ours, so bodies
// take as long as they take.
var doorLimits = model.Limits{Body: -1}

// outbound makes what leads from the locals to services.
func (l *Lowering) outbound() {
	services := make([]*model.Service, 0, len(l.cfg.Services))
	for _, s := range l.cfg.Services {
		if s.Mesh != nil {
			services = append(services, s)
		}
	}
	slices.SortFunc(services, func(a, b *model.Service) int { return cmp.Compare(a.Name, b.Name) })
	doors := map[source][]string{} // names of their Listeners
	var sources []source
	targets := l.targets(services)
	for i := range l.node.Locals {
		local := &l.node.Locals[i]
		if local.Outbound == 0 {
			continue
		}
		w := local.Workload
		from := source{id: l.identityOf(w), label: w.Namespace + "/" + w.Account, namespace: w.Namespace}
		if doors[from] == nil {
			sources = append(sources, from)
		}
		at := pick(local.OutboundAddress, "127.0.0.1")
		door := func(name, address string, port uint16, fill func(*model.MeshDoor), of ...any) {
			doors[from] = append(doors[from], name)
			causes := append([]any{w, from.id, targets, port, address, l.mesh.Connections}, of...)
			l.out.Listeners = append(l.out.Listeners, keep(l, name, causes, func() *model.Listener {
				m := &model.MeshDoor{Side: model.OutboundSide, Workload: w.Name, Identity: string(from.id), Namespace: w.Namespace, Targets: *targets}
				fill(m)
				limits := doorLimits
				limits.Connections = l.mesh.Connections
				return &model.Listener{Name: name, Address: address, Port: port, Protocol: model.Any, Limits: limits, Origin: w.Origin, Mesh: m}
			}))
		}
		var names *[]model.MeshName
		if len(local.Pass)+len(local.Reach) > 0 {
			names = l.called(from, services)
		}
		own := func(m *model.MeshDoor) {
			m.Pass, m.Own, m.Strangers = local.Pass, local.Own, l.mesh.Outbound == model.OutboundAllow
			if len(m.Pass) > 0 {
				m.Names = *names
			}
		}
		door("mesh/out/"+w.Name, at, local.Outbound, own, names, string(local.Pass), local.Own, l.mesh.Outbound)
		if local.Outbound6 {
			door("mesh/out/"+w.Name+"/6", "::1", local.Outbound, own, names, string(local.Pass), local.Own, l.mesh.Outbound)
		}
		for _, r := range local.Reach {
			to := model.MeshReach{Name: r.Name, Port: r.Port}
			if i := slices.IndexFunc(*names, func(n model.MeshName) bool { return n.Name == r.Name && n.Port == r.Port }); i >= 0 {
				to.Address = (*names)[i].Address
			}
			door("mesh/reach/"+w.Name+"/"+itoa(r.Local), at, r.Local, func(m *model.MeshDoor) { m.Reach = &to }, to)
		}
	}
	for _, from := range sources {
		l.callers(from, doors[from], services)
	}
}

// outside are the nouns by which a source reaches a service.
type outside struct {
	route *model.Route // nil where only bytes are carried
	flow  *model.Flow  // nil where only requests are
}

// callers makes them for all services.
func (l *Lowering) callers(from source, parents []string, services []*model.Service) {
	byName := make(map[string]*model.Service, len(services))
	for _, s := range services {
		byName[s.Name] = s
	}
	doors := ""
	for _, p := range parents {
		doors += p + "\n"
	}
	called := map[string]bool{}
	for _, s := range services {
		to := l.wayTo(s, from.id, byName)
		name := to.Name
		if !to.Mesh.External {
			name += "@" + from.label
		}
		target := l.service(to, from, name)
		if !called[name] {
			called[name] = true
			l.out.Services = append(l.out.Services, target)
		}
		key := "mesh/to/" + s.Name + "@" + from.label
		made := keep(l, key, []any{s, from, target.Name, doors, l.mesh.Domain}, func() *outside {
			o := &outside{}
			hosts := l.hosts(s, from)
			backends := []model.Backend{{Service: target.Name, Weight: 1}}
			asked := subject(s) // also where an egress gateway leads there
			asked.Kind = model.TargetService
			if s.Mesh.Protocol != model.AppTCP {
				o.route = &model.Route{
					Name: key, Parents: parents, Hostnames: hosts, Backends: backends, Timeouts: endless,
					Order: model.Order{Name: key}, Origin: s.Origin, Subject: asked,
				}
			}
			if s.Mesh.Protocol == model.AppTCP || s.Mesh.Protocol == model.AppDetect {
				o.flow = &model.Flow{
					Name: key, Parents: parents, Hostnames: hosts[:1], Backends: backends, Order: model.Order{Name: key}, Origin: s.Origin, Subject: asked,
				}
			}
			return o
		})
		if made.route != nil {
			l.out.Routes = append(l.out.Routes, made.route)
		}
		if made.flow != nil {
			l.out.Flows = append(l.out.Flows, made.flow)
		}
	}
}

// wayTo is the service that leads to s: its egress gateway, which knows the way by
// the name. The gateway itself, and all of its account, go directly: by itself
// they would come back to it for ever.
func (l *Lowering) wayTo(s *model.Service, from identity.ID, byName map[string]*model.Service) *model.Service {
	gate := byName[s.Mesh.Via]
	if s.Mesh.Via == "" || gate == nil {
		return s
	}
	serves := func(w *model.Workload) bool {
		return l.identityOf(w) == from && slices.ContainsFunc(w.Ports, func(p model.WorkloadPort) bool { return p.Service == gate.Name })
	}
	if slices.ContainsFunc(l.rosters.by[gate.Name].list(), serves) || slices.ContainsFunc(l.node.Locals, func(x Local) bool { return serves(x.Workload) }) {
		return s
	}
	return gate
}

// targetName is the name by which the doors of captured connections know a
// service: its port is part of it, because several services may have one host.
func (l *Lowering) targetName(s *model.Service) string {
	return itoa(s.Mesh.Port) + "." + s.Mesh.Host + "." + pick(s.Mesh.Namespace, model.DefaultNamespace) + "." + l.mesh.Domain
}

// hosts are the names of a service, that of captured connections first. The
// others are for clients who say where they want to go (explicit proxying).
func (l *Lowering) hosts(s *model.Service, from source) []string {
	namespace := pick(s.Mesh.Namespace, model.DefaultNamespace)
	list := []string{l.targetName(s), s.Mesh.Host + "." + namespace + "." + l.mesh.Domain, s.Mesh.Host + "." + namespace}
	if from.namespace == namespace {
		list = append(list, s.Mesh.Host)
	}
	for _, n := range s.Mesh.Names {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// called are the names by which a source may ask for services, and what they
// mean here. They are the same for all of a namespace.
func (l *Lowering) called(from source, services []*model.Service) *[]model.MeshName {
	if l.naming[from.namespace] {
		return l.names[from.namespace]
	}
	var list []model.MeshName
	taken := map[model.MeshReach]bool{}
	for _, s := range services {
		if l.node.VIP == nil {
			break
		}
		vips := l.node.VIP(s.Name)
		if len(vips) == 0 || !vips[0].IsValid() {
			continue
		}
		for _, name := range l.hosts(s, from)[1:] {
			key := model.MeshReach{Name: strings.ToLower(name), Port: s.Mesh.Port}
			if !taken[key] {
				taken[key] = true
				list = append(list, model.MeshName{Name: key.Name, Port: key.Port, Address: vips[0].String()})
			}
		}
	}
	l.naming[from.namespace] = true
	if old := l.names[from.namespace]; old == nil || !slices.Equal(*old, list) {
		l.names[from.namespace] = &list
	}
	return l.names[from.namespace]
}

// targets are the addresses by which captured connections name a service: its
// own, and those of its workloads. They are the same for all doors.
func (l *Lowering) targets(services []*model.Service) *[]model.MeshTarget {
	now := aimed{services: services, vips: make([][]netip.Addr, len(services)), rosters: make([]*roster, len(services)), domain: l.mesh.Domain}
	for i, s := range services {
		if now.rosters[i] = l.rosters.by[s.Name]; l.node.VIP != nil {
			now.vips[i] = l.node.VIP(s.Name)
		}
	}
	same := l.aimed.same(&now)
	l.aimed = now
	if same {
		return l.known
	}
	type place struct {
		address string
		port    uint16
	}
	list := make([]model.MeshTarget, 0, len(*l.known)+16)
	taken := make(map[place]bool, cap(list))
	add := func(s *model.Service, host, address string, port uint16, instance bool) {
		if at := (place{address, port}); !taken[at] {
			taken[at] = true
			list = append(list, model.MeshTarget{Address: address, Port: port, Host: host, Service: s.Name, Protocol: s.Mesh.Protocol, Instance: instance})
		}
	}
	hosts := make([]string, len(services))
	for i, s := range services {
		hosts[i] = l.targetName(s)
		for _, vip := range now.vips[i] {
			if vip.IsValid() {
				add(s, hosts[i], vip.String(), s.Mesh.Port, false)
			}
		}
	}
	for i, s := range services {
		for _, w := range now.rosters[i].list() {
			for _, p := range w.Ports {
				if p.Service == s.Name {
					add(s, hosts[i], w.Address, p.Port, true)
				}
			}
		}
	}
	if !slices.Equal(*l.known, list) {
		l.known = &list
	}
	return l.known
}

func itoa(n uint16) string { return strconv.Itoa(int(n)) }
