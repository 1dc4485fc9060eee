package model

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// mesh checks what holds for all workloads. What is wrong becomes the stricter
// of what it may be.
func (v *checker) mesh(m *Mesh) *Mesh {
	if m == nil {
		return nil
	}
	v.at = m.Origin
	if m.Refused {
		m = copied(m)
		m.Refused = false
	}
	if m.TrustDomain != "" && !isTrustDomain(m.TrustDomain) {
		v.broken("bad-value", "no trust domain can be named "+strconv.Quote(m.TrustDomain), "lower case letters, digits, ., - and _, for example shop.example")
		m = copied(m)
		m.TrustDomain = ""
	}
	if m.Domain != "" && !isHostname(m.Domain, false) {
		v.broken("bad-value", "the names of services cannot end in "+strconv.Quote(m.Domain), "write a domain in lower case, for example mesh")
		m = copied(m)
		m.Domain = ""
	}
	if !isMTLS(m.MTLS) {
		v.broken("bad-value", "mtls of the mesh is "+strconv.Quote(string(m.MTLS)), "write strict, permissive or off")
		m = copied(m)
		m.MTLS = Strict
	}
	switch m.Outbound {
	case "", OutboundAllow, RegisteredOnly:
	default:
		v.broken("bad-value", "outbound of the mesh is "+strconv.Quote(string(m.Outbound)), "write allow or registered-only")
		m = copied(m)
		m.Outbound = RegisteredOnly
	}
	if m.MaxConnectionAge > MostMeshConnectionAge {
		v.broken("bad-value", "maxConnectionAge of the mesh is "+m.MaxConnectionAge.String(), "write at most "+MostMeshConnectionAge.String()+", or off")
		m = copied(m)
		m.MaxConnectionAge = MostMeshConnectionAge
	}
	good, seen := m.Federated, map[string]bool{cmp.Or(m.TrustDomain, DefaultTrustDomain): true}
	for i := range m.Federated {
		good = keep(good, m.Federated, i, v.federation(&m.Federated[i], seen))
	}
	if len(good) < len(m.Federated) {
		m = copied(m)
		m.Federated = good
	}
	return v.networks(m)
}

// federation says whether a trust domain of somebody else can be believed.
func (v *checker) federation(f *Federation, seen map[string]bool) bool {
	u, err := url.Parse(f.URL)
	switch {
	case !isTrustDomain(f.TrustDomain):
		v.broken("bad-value", "no trust domain can be named "+strconv.Quote(f.TrustDomain), "lower case letters, digits, ., - and _, for example partner.example")
	case seen[f.TrustDomain]:
		v.broken("duplicate-name", "trust domain "+f.TrustDomain+" is federated twice, or our own", "name it once")
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		v.broken("bad-value", "the bundle of "+f.TrustDomain+" comes from "+strconv.Quote(f.URL), "write a https URL, for example https://"+f.TrustDomain+"/bundle")
	case f.EndpointID != "" && !isSPIFFE(f.EndpointID):
		v.broken("bad-value", "the bundle endpoint of "+f.TrustDomain+" is to be "+strconv.Quote(f.EndpointID), "write its SPIFFE ID, for example spiffe://"+f.TrustDomain+"/bundle, or leave it out for a certificate of the web")
	case f.EndpointID != "" && f.CAFile == "":
		v.broken("bad-value", "nothing says how the bundle endpoint "+f.EndpointID+" proves itself at first", "give a file with its first bundle: caFile")
	default:
		seen[f.TrustDomain] = true
		return true
	}
	return false
}

func (v *checker) workload(w *Workload) *Workload {
	addr, err := netip.ParseAddr(w.Address)
	switch {
	case !isLabel(w.Namespace):
		v.broken("bad-value", "workload "+w.Name+" is in the namespace "+strconv.Quote(w.Namespace), labelHint)
		return nil
	case !isLabel(w.Account):
		v.broken("bad-value", "workload "+w.Name+" has the account "+strconv.Quote(w.Account), labelHint)
		return nil
	case err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast():
		v.broken("bad-address", "workload "+w.Name+" is at "+strconv.Quote(w.Address), "write an IP address that others can reach, for example 10.0.0.1")
		return nil
	case w.Weight < 0 || w.Weight > maxWeight:
		v.broken("bad-weight", "workload "+w.Name+" has the weight "+strconv.Itoa(w.Weight), weightHint)
		w = copied(w)
		w.Weight = 0
	}
	switch w.State {
	case Serving, Unhealthy, Draining:
	default:
		v.broken("bad-value", "workload "+w.Name+" is "+strconv.Quote(string(w.State)), "write unhealthy or draining, or leave it out")
		w = copied(w)
		w.State = Unhealthy
	}
	good := w.Ports
	for i, p := range w.Ports {
		ok := true
		switch _, there := v.services[p.Service]; {
		case p.Port == 0:
			ok = false
			v.broken("bad-port", "workload "+w.Name+" serves "+p.Service+" on no port", "from 1 to 65535")
		case slices.ContainsFunc(w.Ports[:i], func(o WorkloadPort) bool { return o == p }):
			ok = false
			v.doubtful("unused", "workload "+w.Name+" says twice that it serves "+p.Service+" on port "+strconv.Itoa(int(p.Port)), "")
		case !there:
			ok = false
			v.noService("workload "+w.Name, "belongs", p.Service)
		}
		good = keep(good, w.Ports, i, ok)
	}
	if len(good) < len(w.Ports) {
		w = copied(w)
		w.Ports = good
	}
	return w
}

const labelHint = "lower case letters, digits and -, for example shop"

// meshService says whether a Service of the mesh can be one.
func (v *checker) meshService(s *Service) bool {
	m := s.Mesh
	said := len(v.problems)
	switch {
	case !isLabel(m.Namespace):
		v.broken("bad-value", "service "+s.Name+" is in the namespace "+strconv.Quote(m.Namespace), labelHint)
	case !isLabel(m.Host):
		v.broken("bad-value", "service "+s.Name+" is called "+strconv.Quote(m.Host), labelHint)
	case m.Port == 0:
		v.broken("bad-port", "service "+s.Name+" is called on no port", "from 1 to 65535")
	case !isMTLS(m.MTLS):
		v.broken("bad-value", "mtls of service "+s.Name+" is "+strconv.Quote(string(m.MTLS)), "write strict, permissive or off, or leave it out for that of the mesh")
	}
	switch m.Protocol {
	case AppDetect, AppHTTP, AppGRPC, AppTCP:
	default:
		v.broken("bad-value", "clients speak "+strconv.Quote(string(m.Protocol))+" to service "+s.Name, "write http, grpc or tcp, or leave it out to detect it")
	}
	switch {
	case !m.Forward:
	case m.External:
		v.broken("bad-value", "service "+s.Name+" is external: nobody is told who calls it", "leave forward out")
	case m.Protocol != AppHTTP && m.Protocol != AppGRPC:
		v.broken("bad-value", "service "+s.Name+" is told who calls it by a header, and is not declared to speak HTTP", "write protocol: http or grpc beside forward")
	case m.MTLS == Off:
		v.doubtful("unused", "service "+s.Name+" is to be told who calls it, but nobody proves that (mtls: off)", "leave mtls or forward out")
	}
	for _, name := range m.Names {
		if !isHostname(name, false) {
			v.broken("bad-hostname", "service "+s.Name+" is called "+strconv.Quote(name), "write a host name in lower case")
		}
	}
	if m.Via != "" && (m.Via == s.Name || !slices.ContainsFunc(v.written.Services, func(o *Service) bool { return o.Name == m.Via && o.Mesh != nil })) {
		v.broken("unknown-service", "service "+s.Name+" is reached through "+strconv.Quote(m.Via)+", which is no other service of the mesh", "name an egress gateway's service, or leave via out")
	}
	if m.External && len(v.served[s.Name]) > 0 {
		v.doubtful("unused", "service "+s.Name+" is external, but workloads serve it", "leave external out")
	}
	return len(v.problems) == said
}

// sameNames warns of two services that are called by one name: the first is.
func (v *checker) sameNames(list []*Service) []*Service {
	seen := map[string]*Service{}
	for _, s := range list {
		if s.Mesh == nil {
			continue
		}
		port := ":" + strconv.Itoa(int(s.Mesh.Port))
		for _, name := range append([]string{s.Mesh.Host + "." + s.Mesh.Namespace}, s.Mesh.Names...) {
			if first := seen[name+port]; first != nil && first != s {
				v.at = s.Origin
				v.doubtful("duplicate-name", "services "+first.Name+" and "+s.Name+" are both called "+name+port, "the first is; the other stands at "+place(s.Origin))
				continue
			}
			seen[name+port] = s
		}
	}
	return list
}

// named gives c with the services that workloads name and nobody has declared
// as ones of the mesh: a workload needs no more than its own declaration.
func (v *checker) named(c *Config) *Config {
	var make map[string]WorkloadPort
	var at map[string]*Workload
	declared := map[string]*Service{}
	if len(c.Workloads) == 0 {
		return c
	}
	for _, s := range c.Services {
		declared[s.Name] = s
	}
	for _, w := range c.Workloads {
		for _, p := range w.Ports {
			if s := declared[p.Service]; p.Port == 0 || p.Service == "" || s != nil && (s.Mesh != nil || s.Refused) {
				continue
			}
			if make == nil {
				make, at = map[string]WorkloadPort{}, map[string]*Workload{}
			}
			if have, ok := make[p.Service]; !ok || p.Port < have.Port {
				make[p.Service] = p
			}
			if have := at[p.Service]; have == nil || w.Name < have.Name {
				at[p.Service] = w
			}
		}
	}
	if make == nil {
		return c
	}
	whole := *c
	whole.Services = slices.Clone(c.Services)
	for name, p := range make {
		made := Implied(p)
		if made == nil {
			continue // which the workload is told
		}
		if i := slices.Index(whole.Services, declared[name]); i >= 0 && declared[name] != nil {
			s := *declared[name]
			s.Mesh = made.Mesh
			whole.Services[i] = &s
			continue
		}
		made.Origin = at[name].Origin
		whole.Services = append(whole.Services, made)
	}
	return &whole
}

// instances notes which ports workloads serve.
func (v *checker) instances(list []*Workload) {
	if len(list) == 0 {
		return
	}
	v.served = map[string][]uint16{}
	for _, w := range list {
		for _, p := range w.Ports {
			names := [2]string{p.Service}
			if whole, _, ok := strings.Cut(p.Service, ":"); ok {
				names[1] = whole // policies for it are for all its ports
			}
			for _, name := range names {
				if name != "" && !slices.Contains(v.served[name], p.Port) {
					v.served[name] = append(v.served[name], p.Port)
				}
			}
		}
	}
}

func isMTLS(m MTLS) bool { return m == "" || m == Strict || m == Permissive || m == Off }

// isLabel says whether s can be a namespace, an account or a service's host: a
// DNS label (RFC 1123 §2.1).
func isLabel(s string) bool { return len(s) <= 63 && !strings.ContainsRune(s, '.') && isName(s, false) }

// IsLabel says whether s can be a namespace, an account or the host of a service: a
// part of a DNS name in lower case, at most 63 characters (RFC 1123 section 2.1).
func IsLabel(s string) bool { return isLabel(s) }

// isTrustDomain says whether s is a trust domain name (SPIFFE-ID §2.1).
func isTrustDomain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// isSPIFFE says whether s is a SPIFFE ID with a path (SPIFFE-ID §2).
func isSPIFFE(s string) bool {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	domain, path, found := strings.Cut(rest, "/")
	if !ok || !found || !isTrustDomain(domain) || len(s) > 2048 {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." || !isPathPart(part) {
			return false
		}
	}
	return true
}

// isPathPart checks the characters of a SPIFFE ID's path (SPIFFE-ID §2.2).
func isPathPart(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'; !letter && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' && c != '/' {
			return false
		}
	}
	return true
}
