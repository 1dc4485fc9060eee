package gatewayapi

import (
	"cmp"
	"net/netip"
	"strconv"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/naru-mesh/naru/model"
)

// service is a Service.
type service struct {
	object
	ports []servicePort
	// external is the externalName, cluster the clusterIP; "" for none.
	external, cluster string
	// family is the first of spec.ipFamilies, "" where nothing is said.
	family string
}

// servicePort is one port of a Service.
type servicePort struct {
	name   string
	port   int32
	target intstr.IntOrString
	// noun names the model.Service of this port.
	noun      string
	transport core.Protocol
	// app is the appProtocol.
	app string
}

// served says whether the port is for TCP or UDP, and not for SCTP.
func (p *servicePort) served() bool { return p.transport != core.ProtocolSCTP }

// udp says whether the port is for UDP.
func (p *servicePort) udp() bool { return p.transport == core.ProtocolUDP }

// service reads a Service.
func (r *reader) service(k *servedKind) *service {
	var in core.Service
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	s := &service{object: *o}
	if in.Spec.Type == core.ServiceTypeExternalName {
		s.external = in.Spec.ExternalName
		if wrong := checkHostname(s.external, false); wrong != "" {
			r.broken("spec.externalName", "bad-value", wrong, "")
			s.external = ""
		}
	}
	if ip := in.Spec.ClusterIP; ip != "" && ip != core.ClusterIPNone {
		if _, err := netip.ParseAddr(ip); err != nil {
			r.broken("spec.clusterIP", "bad-value", ip+" is not an IP address", "")
		} else {
			s.cluster = ip
		}
	}
	if len(in.Spec.IPFamilies) > 0 {
		s.family = string(in.Spec.IPFamilies[0])
	}
	for i, p := range in.Spec.Ports {
		field := item("spec.ports", i)
		switch {
		case r.spoiled(field):
		case !isPort(p.Port):
			r.broken(field, "bad-value", "a port is between 1 and 65535", "")
		case s.byNumber(p.Port, p.Protocol) || s.byName(p.Name):
			r.broken(field, "duplicate-name", "the Service already has this port", "ports differ in name and number")
		default:
			sp := servicePort{
				name:      p.Name,
				port:      p.Port,
				target:    p.TargetPort,
				noun:      s.String() + ":" + strconv.Itoa(int(p.Port)),
				transport: cmp.Or(p.Protocol, core.ProtocolTCP),
				app:       or(p.AppProtocol, ""),
			}
			if sp.udp() {
				sp.noun += "/udp"
			}
			s.ports = append(s.ports, sp)
		}
	}
	return s
}

func (s *service) byNumber(port int32, protocol core.Protocol) bool {
	for _, p := range s.ports {
		if p.port == port && p.transport == cmp.Or(protocol, core.ProtocolTCP) {
			return true
		}
	}
	return false
}

func (s *service) byName(name string) bool {
	for _, p := range s.ports {
		if p.name == name {
			return true
		}
	}
	return false
}

// slice is an EndpointSlice.
type slice struct {
	object
	service key
	family  discovery.AddressType
	ports   []slicePort
	// ready are the addresses for requests; leaving those that still serve
	// while they terminate, for when nothing is ready.
	ready, leaving []sliceAddress
}

// sliceAddress is where an endpoint is.
type sliceAddress struct{ address, zone string }

// slicePort is one port of all endpoints of a slice; port 0 is any.
type slicePort struct {
	name      string
	port      int32
	transport core.Protocol
}

// endpointSlice reads an EndpointSlice.
func (r *reader) endpointSlice(k *servedKind) *slice {
	var in discovery.EndpointSlice
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	s := &slice{object: *o, service: key{o.namespace, in.Labels[discovery.LabelServiceName]}, family: in.AddressType}
	if s.service.name == "" {
		r.doubtful("metadata", "missing-field", "the EndpointSlice belongs to no Service",
			"label it "+discovery.LabelServiceName+": its-service")
		return nil
	}
	switch s.family {
	case discovery.AddressTypeIPv4, discovery.AddressTypeIPv6, discovery.AddressTypeFQDN:
	default:
		if !r.spoiled("addressType") {
			r.unknownValue("addressType", string(s.family), "IPv4", "IPv6", "FQDN")
		}
		return nil
	}
	for i, p := range in.Ports {
		if p.Port != nil && !isPort(*p.Port) {
			r.broken(item("ports", i)+".port", "bad-value", "a port is between 1 and 65535", "")
			continue
		}
		if !r.spoiled(item("ports", i)) {
			s.ports = append(s.ports, slicePort{or(p.Name, ""), or(p.Port, 0), or(p.Protocol, core.ProtocolTCP)})
		}
	}
	for i := range in.Endpoints {
		if !r.spoiled(item("endpoints", i)) {
			r.endpoint(s, item("endpoints", i), &in.Endpoints[i])
		}
	}
	return s
}

// endpoint reads one endpoint. Of its addresses only the first has a meaning.
func (r *reader) endpoint(s *slice, field string, in *discovery.Endpoint) {
	if len(in.Addresses) == 0 {
		r.broken(field, "missing-field", "an endpoint has an address", "")
		return
	}
	address := in.Addresses[0]
	ip, err := netip.ParseAddr(address)
	wrong := ""
	switch {
	case s.family == discovery.AddressTypeFQDN:
		wrong = checkHostname(address, false)
	case err != nil || ip.Zone() != "" && s.family == discovery.AddressTypeIPv4:
		wrong = address + " is not an IP address"
	case ip.Is4() != (s.family == discovery.AddressTypeIPv4):
		wrong = address + " is not of type " + string(s.family)
	}
	if wrong != "" {
		r.broken(item(field+".addresses", 0), "bad-value", wrong, "")
		return
	}
	at := sliceAddress{address, or(in.Zone, "")}
	if at.zone != "" && !model.IsPlaceName(at.zone) {
		r.doubtful(field+".zone", "bad-value", "no zone is called "+at.zone+": it is not used", "")
		at.zone = ""
	}
	c := &in.Conditions
	switch {
	case or(c.Ready, true):
		s.ready = append(s.ready, at)
	case or(c.Serving, true) && or(c.Terminating, false):
		s.leaving = append(s.leaving, at)
	}
}

// endpoints gives the endpoints of a port of a Service, and why there are none.
//
// Where the Service says which family comes first (a cluster always does),
// only that one counts, because the other family's addresses are those of the
// same instances. Ready endpoints count, or, where there are none, those that
// terminate but still serve.
func (s *service) endpoints(p *servicePort, slices []*slice) ([]*model.Endpoint, string) {
	if len(slices) == 0 {
		return s.withoutSlices(p)
	}
	named := false
	for _, pick := range []struct{ family, leaving bool }{{true, false}, {false, false}, {true, true}, {false, true}} {
		if pick.family && s.family == "" {
			continue
		}
		var out []*model.Endpoint
		seen := make(map[model.Endpoint]bool)
		for _, sl := range slices {
			if pick.family && string(sl.family) != s.family && sl.family != discovery.AddressTypeFQDN {
				continue
			}
			port, ok := sl.portOf(p)
			if !ok {
				continue
			}
			named = true
			addresses := sl.ready
			if pick.leaving {
				addresses = sl.leaving
			}
			for _, a := range addresses {
				if e := (model.Endpoint{Host: a.address, Port: port, Place: model.Place{Zone: a.zone}}); !seen[e] {
					seen[e] = true
					out = append(out, &e)
				}
			}
		}
		if len(out) > 0 {
			return out, ""
		}
	}
	if !named {
		return nil, "no EndpointSlice of " + s.about() + " has the port " + portName(p)
	}
	return nil, "no endpoint of " + s.about() + " is ready"
}

func portName(p *servicePort) string {
	if p.name == "" {
		return "without a name"
	}
	return p.name
}

// withoutSlices is where a Service leads for which no EndpointSlice is there.
func (s *service) withoutSlices(p *servicePort) ([]*model.Endpoint, string) {
	switch {
	case s.external != "":
		return []*model.Endpoint{{Host: s.external, Port: uint16(p.port)}}, ""
	case s.cluster != "":
		return []*model.Endpoint{{Host: s.cluster, Port: uint16(p.port)}}, ""
	default:
		return nil, s.about() + " has no EndpointSlice, so requests get 503"
	}
}

// portOf gives the port of a slice's endpoints for a port of the Service: they
// have the same name, and the slice knows the number.
func (sl *slice) portOf(p *servicePort) (uint16, bool) {
	for _, sp := range sl.ports {
		if sp.name != p.name || sp.transport != p.transport {
			continue
		}
		switch {
		case sp.port != 0:
			return uint16(sp.port), true
		case p.target.Type == intstr.Int && isPort(p.target.IntVal):
			return uint16(p.target.IntVal), true
		default:
			return uint16(p.port), true
		}
	}
	return 0, false
}
