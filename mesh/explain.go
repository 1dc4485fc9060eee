package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
)

// Called is a service as a workload calls it.
type Called struct {
	Service *model.Service
	// Name is its whole name, payments.default.mesh.
	Name string
	// Mode is how its workloads are reached, Via the egress gateway through which
	// it is, nil where it is directly.
	Mode model.MTLS
	Via  *model.Service
	// Route and Flow carry requests and other connections, nil where there is
	// none of these to it. Target is where both lead: the Service with the
	// endpoints that this caller has.
	Route  *model.Route
	Flow   *model.Flow
	Target *model.Service
	// Port is one that a workload serves it on, 0 where no workload is known.
	Port uint16
}

// Find finds the service that a workload of a namespace and account means by a
// host and port, and how that would be reached. nil: it means none, so that the
// connection is to a stranger. An error is a mistake: a name of the mesh that
// nobody has, or a port that is not the service's.
func Find(cfg *model.Config, namespace, account, host string, port uint16) (*Called, error) {
	caller := &model.Workload{Name: namespace + "/" + account, Namespace: namespace, Account: account}
	var l Lowering
	out := l.Lower(cfg, Node{Locals: []Local{{Workload: caller, Outbound: 1}}})
	from := source{id: identity.WorkloadID(l.mesh.TrustDomain, namespace, account), label: namespace + "/" + account, namespace: namespace}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	var found *model.Service
	var ports, names []string
	for _, s := range cfg.Services {
		if s.Mesh == nil {
			continue
		}
		hosts := l.hosts(s, from)[1:] // the first is of captured connections
		if s.Mesh.Namespace == namespace {
			names = append(names, s.Mesh.Host)
		}
		names = append(names, hosts[:2]...)
		if !slices.Contains(hosts, host) {
			continue
		}
		ports = append(ports, itoa(s.Mesh.Port))
		if s.Mesh.Port == port || port == 0 && found == nil {
			found = s
		}
	}
	switch {
	case found != nil:
	case len(ports) > 0:
		return nil, fmt.Errorf("service %s is called on port %s, not on %d", host, strings.Join(ports, " or "), port)
	case !strings.Contains(host, ".") || strings.HasSuffix(host, "."+l.mesh.Domain):
		return nil, fmt.Errorf("there is no service %s for a workload of namespace %s%s", host, namespace, meant(cfg, host, names))
	default:
		return nil, nil
	}
	c := &Called{Service: found, Name: l.hosts(found, from)[1], Mode: l.mode(found)}
	key := "mesh/to/" + found.Name + "@" + from.label
	target := ""
	for _, r := range out.Routes {
		if r.Name == key {
			c.Route, target = r, r.Backends[0].Service
		}
	}
	for _, f := range out.Flows {
		if f.Name == key {
			c.Flow, target = f, f.Backends[0].Service
		}
	}
	for _, s := range out.Services {
		if s.Name == target {
			c.Target = s
		}
	}
	if found.Mesh.Via != "" {
		if i := slices.IndexFunc(cfg.Services, func(s *model.Service) bool { return s.Name == found.Mesh.Via && s.Mesh != nil }); i >= 0 {
			c.Via = cfg.Services[i]
		}
	}
	called := cmp.Or(c.Via, found)
	for _, w := range cfg.Workloads {
		for _, p := range w.Ports {
			if p.Service == called.Name && c.Port == 0 {
				c.Port = p.Port
			}
		}
	}
	return c, nil
}

// meant is a hint at the service that a name may have been meant to be.
func meant(cfg *model.Config, host string, names []string) string {
	for _, s := range cfg.Services {
		if s.Mesh != nil && s.Mesh.Host == host {
			return "; write " + host + "." + s.Mesh.Namespace + " for that of namespace " + s.Mesh.Namespace
		}
	}
	slices.Sort(names)
	if near := model.Nearest(host, slices.Compact(names)); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}
