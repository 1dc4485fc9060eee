package model

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

func (v *checker) service(s *Service) *Service {
	if s.Refused {
		return nil
	}
	s = v.balance(s)
	if s.Host != "" && !isHostPort(s.Host) && !isHostname(strings.ToLower(s.Host), false) {
		v.broken("bad-hostname", "service "+s.Name+" is sent the host "+strconv.Quote(s.Host), "write a host name, with a port if need be")
		s = copied(s)
		s.Host = ""
	}
	if s.ProxyProtocol < 0 || s.ProxyProtocol > 2 {
		// Sent no header at all, the service would take the first bytes for one.
		v.broken("bad-value", fmt.Sprintf("service %s is told who the client is by version %d of the PROXY protocol", s.Name, s.ProxyProtocol), "write 1 or 2")
		return nil
	}
	switch s.Protocol {
	case "", HTTP1, HTTP2, HTTPAuto:
	default:
		v.broken("bad-value", "service "+s.Name+" speaks "+strconv.Quote(string(s.Protocol)), "write http1, http2 or auto")
		s = copied(s)
		s.Protocol = ""
	}
	if s.TLS != nil && !v.backendTLS(s) {
		return nil
	}
	s = v.treatment(s)
	if s.Mesh != nil && !v.meshService(s) {
		return nil
	}
	return v.locality(v.endpoints(s))
}

func (v *checker) endpoints(s *Service) *Service {
	good := s.Endpoints
	for i, e := range s.Endpoints {
		ok := true
		switch {
		case e == nil:
			ok = false
			v.broken("bad-address", "service "+s.Name+" has an endpoint that says nothing", "write an IP address or a DNS name, then :port")
		case !isHost(e.Host):
			ok = false
			v.broken("bad-address", "service "+s.Name+" has an endpoint "+strconv.Quote(e.Host), "write an IP address or a DNS name, then :port")
		case e.Port == 0:
			ok = false
			v.broken("bad-port", "service "+s.Name+" has an endpoint "+e.Host+" without a port", "write "+e.Host+":8080")
		case e.Weight < 0 || e.Weight > maxWeight:
			ok = false
			v.broken("bad-weight", fmt.Sprintf("service %s has an endpoint %s of weight %d", s.Name, e.Host, e.Weight), weightHint)
		}
		good = keep(good, s.Endpoints, i, ok)
	}
	if len(good) < len(s.Endpoints) {
		s = copied(s)
		s.Endpoints = good
	}
	if e := twice(good); e != nil {
		v.doubtful("duplicate-endpoint", fmt.Sprintf("service %s has the endpoint %s twice: it is one, of their weights together", s.Name, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))),
			"leave one of them out, or give the first the weight that is meant")
	}
	if len(good) == 0 && (s.Mesh == nil || s.Mesh.External) {
		// Those of the mesh come and go with their workloads.
		v.doubtful("empty-service", "service "+s.Name+" has no endpoint, its requests get 503", "")
	}
	return s
}

// twice gives an endpoint that stands twice in a list, nil where there is none.
func twice(list []*Endpoint) *Endpoint {
	if len(list) < 2 {
		return nil
	}
	seen := make(map[Endpoint]struct{}, len(list))
	for _, e := range list {
		same := *e
		same.Weight, same.Priority, same.Place, same.Standby = 0, 0, Place{}, false
		if _, is := seen[same]; is {
			return e
		}
		seen[same] = struct{}{}
	}
	return nil
}

const (
	maxWeight  = 1_000_000
	weightHint = "write 0 to 1000000"
)

// backendTLS must be right as a whole: a guess could send secrets to a
// stranger.
func (v *checker) backendTLS(s *Service) bool {
	t := s.TLS
	for _, name := range t.Names {
		if !isAltName(name) {
			v.broken("bad-hostname", "service "+s.Name+" is verified as "+strconv.Quote(name), "write a DNS name, or a URI such as spiffe://example.org/orders")
			return false
		}
	}
	if _, ok := v.certificates[t.Certificate]; t.Certificate != "" && !ok {
		v.broken("unknown-certificate", "service "+s.Name+" is shown the certificate "+strconv.Quote(t.Certificate)+", which is not there", meant(v, t.Certificate, v.certificates))
		return false
	}
	switch {
	case t.ServerName != "" && !isHost(t.ServerName):
		v.broken("bad-hostname", "service "+s.Name+" is verified as "+strconv.Quote(t.ServerName), "write the host name in its certificate")
		return false
	case len(t.CA) > 0 && !hasPEM(t.CA, "CERTIFICATE"):
		v.broken("bad-certificate", "the CA of service "+s.Name+" holds no PEM certificate", "it begins with -----BEGIN CERTIFICATE-----")
		return false
	case len(t.CA) > 0 && t.CAFile != "":
		v.broken("bad-value", "the CA of service "+s.Name+" is given inline and as a file", "give one of the two")
		return false
	}
	switch {
	case !t.Insecure:
	case len(t.CA) > 0 || t.CAFile != "":
		v.doubtful("unused", "service "+s.Name+" has a CA, but any certificate is accepted", "leave insecure out")
	case len(t.Names) > 0:
		v.doubtful("unused", "service "+s.Name+" has names for its certificate, but any is accepted", "leave insecure out")
	}
	return true
}

// isAltName says whether a certificate can be for s.
func isAltName(s string) bool {
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		return scheme != "" && rest != "" && !hasControl(s) && !strings.ContainsRune(s, ' ')
	}
	return isHost(s) || isHostname(strings.ToLower(s), true)
}

func (v *checker) health(s *Service) bool {
	h := s.Health
	said := len(v.problems)
	if h.Path != "" && (h.Path[0] != '/' || hasControl(h.Path) || strings.ContainsRune(h.Path, ' ')) {
		v.broken("bad-path", "the health check of service "+s.Name+" asks for "+strconv.Quote(h.Path), "a path begins with /")
	}
	switch h.Kind {
	case HealthOff:
		return true
	case HealthHTTP, HealthGRPC, HealthTCP, HealthTLS:
	default:
		v.broken("bad-value", "the health check of service "+s.Name+" is of the kind "+strconv.Quote(string(h.Kind)), "leave it out for HTTP, or write grpc, tcp or tls")
	}
	if h.Kind == HealthTLS && s.TLS == nil && v.partial == nil {
		v.broken("bad-value", "the health check of service "+s.Name+" shakes hands by TLS, but its requests do not; it is not checked", "give the service TLS, or check by tcp")
	}
	if h.Service != "" && (h.Kind != HealthGRPC || hasControl(h.Service) || len(h.Service) > 1024) {
		v.broken("bad-value", "the health check of service "+s.Name+" asks about "+strconv.Quote(h.Service), "a name is for kind grpc")
	}
	if h.Host != "" && !isHostPort(h.Host) && !isHost(h.Host) {
		v.broken("bad-hostname", "the health check of service "+s.Name+" asks the host "+strconv.Quote(h.Host), "write a host name")
	}
	if h.Interval < 0 || h.Timeout < 0 || h.Healthy < 0 || h.Unhealthy < 0 {
		v.broken("bad-value", "the health check of service "+s.Name+" has a negative bound", "leave it out for the default")
	}
	for _, status := range []int{h.MinStatus, h.MaxStatus} {
		if status != 0 && (status < 100 || status > 599) {
			v.broken("bad-status", fmt.Sprintf("the health check of service %s expects the status %d", s.Name, status), "write 100 to 599")
		}
	}
	if h.MinStatus != 0 && h.MaxStatus != 0 && h.MinStatus > h.MaxStatus {
		v.broken("bad-status", "the health check of service "+s.Name+" expects no status at all", "the least status must not be above the greatest")
	}
	if len(v.problems) > said {
		return false
	}
	if h.Interval > 0 && h.Timeout > h.Interval {
		v.doubtful("long-timeout", "the health check of service "+s.Name+" waits longer than its interval", "make the timeout the shorter one")
	}
	v.short("a health check interval", h.Interval)
	v.short("a health check timeout", h.Timeout)
	v.long("a health check interval", h.Interval)
	v.long("a health check timeout", h.Timeout)
	return true
}
