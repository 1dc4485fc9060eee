package mesh

import (
	"slices"

	"github.com/naru-mesh/naru/model"
)

// door is one port of one local.
type door struct {
	local *Local
	port  uint16
	name  string // SNI
	// services are those that the port serves, by name and as nouns (nil where
	// the Config has none of that name).
	services []string
	nouns    []*model.Service
}

// inbound makes what leads to the locals.
func (l *Lowering) inbound() {
	byName := map[string]*model.Service{}
	for _, s := range l.cfg.Services {
		if s.Mesh != nil {
			byName[s.Name] = s
		}
	}
	var all []door
	for i := range l.node.Locals {
		local := &l.node.Locals[i]
		for _, p := range local.Workload.Ports {
			at := slices.IndexFunc(all, func(d door) bool { return d.local == local && d.port == p.Port })
			if at < 0 {
				at = len(all)
				all = append(all, door{local: local, port: p.Port, name: l.sni(local.Workload, p.Port)})
			}
			all[at].services = append(all[at].services, p.Service)
			all[at].nouns = append(all[at].nouns, byName[p.Service])
		}
	}
	for i := range all {
		l.inboundDoor(&all[i])
	}
	var shared []door
	for i := range all {
		switch d := &all[i]; l.plainDoor(d) {
		case "":
		case plainDoor:
			shared = append(shared, *d)
		default:
			l.plaintext(l.plainDoor(d), d.port, []door{*d})
		}
	}
	if len(shared) > 0 {
		l.plaintext(plainDoor, l.node.Plain, shared)
	}
}

// inside is what the nouns are that lead to one port of a local.
type inside struct {
	listener *model.Listener
	routes   []*model.Route
	flow     *model.Flow
	services []*model.Service
}

const plainDoor = "mesh/plaintext"

// plainDoor is the name of the door for plaintext to a port; "": there is none.
// Where the port itself is free on this machine that is the place.
func (l *Lowering) plainDoor(d *door) string {
	switch {
	case d.local.Apart:
		return plainDoor + "/" + itoa(d.port)
	case l.node.Plain != 0:
		return plainDoor
	}
	return ""
}

// inboundDoor makes a door of mutual TLS.
func (l *Lowering) inboundDoor(d *door) {
	w := d.local.Workload
	key := "mesh/in/" + w.Name + ":" + itoa(d.port)
	plain := l.plainDoor(d)
	causes := []any{w, l.mesh.TrustDomain, l.mesh.Domain, d.local.Target, l.node.Address, l.node.MeshPort, plain, l.mesh.Connections, l.mesh.MaxConnectionAge}
	for _, s := range d.nouns {
		causes = append(causes, s)
	}
	in := keep(l, key, causes, func() *inside {
		parents := []string{key}
		if plain != "" {
			parents = append(parents, plain)
		}
		in := &inside{listener: &model.Listener{
			Name: key, Address: l.node.Address, Port: pick(l.node.MeshPort, model.MeshPort), Protocol: model.HTTPS,
			Hostname: d.name, MinTLS: "1.3", NoHTTP1: true, Limits: doorLimits, Origin: w.Origin,
			Mesh: &model.MeshDoor{
				Side: model.Inbound, Workload: w.Name, Identity: string(l.identityOf(w)), Port: d.port,
				Services: slices.Compact(slices.Sorted(slices.Values(d.services))), Namespace: w.Namespace, Callers: max(l.mesh.Connections, 0),
				Protocol: d.carries(), MaxAge: l.mesh.MaxConnectionAge,
				Forward: slices.ContainsFunc(d.nouns, func(s *model.Service) bool { return s != nil && s.Mesh.Forward }),
			},
		}}
		here := &model.Endpoint{Host: pick(d.local.Target, "127.0.0.1"), Port: d.port}
		local := &model.Service{Name: key, Endpoints: []*model.Endpoint{here}, Protocol: model.HTTP1, Local: true, Origin: w.Origin}
		grpc := *local
		grpc.Name, grpc.Protocol = key+"@h2", model.HTTP2
		in.services = []*model.Service{local, &grpc}
		route := func(name, service string, matches []model.Match) {
			in.routes = append(in.routes, &model.Route{
				Name: name, Parents: parents, Hostnames: []string{d.name}, Matches: matches,
				Backends: []model.Backend{{Service: service, Weight: 1}}, Timeouts: endless,
				Order: model.Order{Name: name}, Origin: w.Origin,
			})
		}
		if slices.ContainsFunc(d.nouns, func(s *model.Service) bool { return s != nil && s.Mesh.Protocol == model.AppGRPC }) {
			route(key, grpc.Name, nil)
		} else {
			route(key, local.Name, nil)
			// gRPC is nothing without HTTP/2, also where nobody has declared it.
			route(key+"@h2", grpc.Name, []model.Match{{Headers: []model.FieldMatch{
				{Kind: model.FieldRegex, Name: "content-type", Value: "application/grpc(\\+.*|;.*)?"},
			}}})
		}
		in.flow = &model.Flow{
			Name: key, Parents: parents, Hostnames: []string{d.name}, Backends: []model.Backend{{Service: local.Name, Weight: 1}},
			Order: model.Order{Name: key}, Origin: w.Origin,
		}
		return in
	})
	l.out.Listeners = append(l.out.Listeners, in.listener)
	l.out.Routes = append(l.out.Routes, in.routes...)
	l.out.Flows = append(l.out.Flows, in.flow)
	l.out.Services = append(l.out.Services, in.services...)
}

// carries is what tunnels to the door are to carry: what all of its services
// declare, and AppDetect where these are not of one mind.
func (d *door) carries() model.AppProtocol {
	all := model.AppDetect
	for i, s := range d.nouns {
		is := model.AppDetect
		if s != nil {
			is = s.Mesh.Protocol
		}
		if is == model.AppGRPC {
			is = model.AppHTTP
		}
		if i > 0 && is != all {
			return model.AppDetect
		}
		all = is
	}
	return all
}

// plaintext makes a door of connections to locals that are not by mutual TLS. What a strict
// service serves is refused there, and so is a port whose service is not known.
func (l *Lowering) plaintext(name string, port uint16, all []door) {
	causes := []any{l.mesh.Domain, l.mesh.MTLS, port}
	for i := range all {
		causes = append(causes, all[i].local.Workload, all[i].port)
		for _, s := range all[i].nouns {
			causes = append(causes, s)
		}
	}
	l.out.Listeners = append(l.out.Listeners, keep(l, name, causes, func() *model.Listener {
		m := &model.MeshDoor{Side: model.Plaintext}
		for i := range all {
			d := &all[i]
			t := model.MeshTarget{Address: d.local.Workload.Address, Port: d.port, Host: d.name, Service: d.services[0]}
			for _, s := range d.nouns {
				t.Refused = t.Refused || s == nil || l.mode(s) == model.Strict
				if s != nil {
					t.Protocol = s.Mesh.Protocol
				}
			}
			m.Targets = append(m.Targets, t)
		}
		return &model.Listener{Name: name, Port: port, Protocol: model.Any, Limits: doorLimits, Mesh: m}
	}))
}
