package mesh

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/naru-mesh/naru/model"
)

// endless: a mesh adds no time-out to what two programs have agreed on.
var endless = model.Timeouts{Backend: -1}

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
		name := "mesh/out/" + w.Name
		doors[from] = append(doors[from], name)
		causes := []any{w, from.id, targets, local.Outbound, local.OutboundAddress, l.mesh.Outbound}
		l.out.Listeners = append(l.out.Listeners, keep(l, name, causes, func() *model.Listener {
			return &model.Listener{
				Name: name, Address: pick(local.OutboundAddress, "127.0.0.1"), Port: local.Outbound, Protocol: model.Any,
				Limits: doorLimits, Origin: w.Origin,
				Mesh: &model.MeshDoor{
					Side: model.OutboundSide, Workload: w.Name, Identity: string(from.id), Namespace: w.Namespace,
					Targets: *targets, Strangers: l.mesh.Outbound == model.OutboundAllow,
				},
			}
		}))
	}
	for _, from := range sources {
		l.callers(from, doors[from], services)
	}
}

// outside are the nouns by which a source reaches a service.
type outside struct {
	service *model.Service
	route   *model.Route // nil where only bytes are carried
	flow    *model.Flow  // nil where only requests are
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
		to := s
		if s.Mesh.Via != "" && byName[s.Mesh.Via] != nil {
			to = byName[s.Mesh.Via] // an egress gateway, which knows the way by the name
		}
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
			if s.Mesh.Protocol != model.AppTCP {
				o.route = &model.Route{
					Name: key, Parents: parents, Hostnames: hosts, Backends: backends, Timeouts: endless,
					Order: model.Order{Name: key}, Origin: s.Origin,
				}
			}
			if s.Mesh.Protocol == model.AppTCP || s.Mesh.Protocol == model.AppDetect {
				o.flow = &model.Flow{
					Name: key, Parents: parents, Hostnames: hosts[:1], Backends: backends, Order: model.Order{Name: key}, Origin: s.Origin,
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

// targets are the addresses by which captured connections name a service: its
// own, and those of its workloads. They are the same for all doors.
func (l *Lowering) targets(services []*model.Service) *[]model.MeshTarget {
	causes := make([]any, 0, 3*len(services)+1)
	causes = append(causes, l.mesh.Domain)
	l.vips = make(map[string]netip.Addr, len(services))
	for _, s := range services {
		if l.node.VIP != nil {
			l.vips[s.Name] = l.node.VIP(s.Name)
		}
		causes = append(causes, s, l.vips[s.Name])
		for _, w := range l.byService[s.Name] {
			causes = append(causes, w)
		}
	}
	return keep(l, "targets", causes, func() *[]model.MeshTarget {
		list := make([]model.MeshTarget, 0, 2*len(services))
		taken := map[string]bool{}
		add := func(s *model.Service, address string, port uint16) {
			if at := netAddr(address, port); !taken[at] {
				taken[at] = true
				list = append(list, model.MeshTarget{Address: address, Port: port, Host: l.targetName(s), Service: s.Name, Protocol: s.Mesh.Protocol})
			}
		}
		for _, s := range services {
			if vip := l.vips[s.Name]; vip.IsValid() {
				add(s, vip.String(), s.Mesh.Port)
			}
		}
		for _, s := range services {
			for _, w := range l.byService[s.Name] {
				for _, p := range w.Ports {
					if p.Service == s.Name {
						add(s, w.Address, p.Port)
					}
				}
			}
		}
		return &list
	})
}

func itoa(n uint16) string { return strconv.Itoa(int(n)) }
