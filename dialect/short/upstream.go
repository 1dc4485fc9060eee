package short

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// services are by name, in the order of writing.
type services []service

// ReadNode takes a mapping of names to services.
func (s *services) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	*s = make(services, 0, len(n.Content)/2)
	in.Pairs(n, "NAME: {orders: [\"10.0.0.1:9002\"]}", func(key, value *yaml.Node) {
		one := service{name: key.Value, origin: in.Origin(key)}
		before := in.Broken()
		if strings.ContainsAny(key.Value, ":/ ") || key.Value == "" {
			in.Problem(key, "bad-value", "a service has a name without spaces, : and /: "+strconv.Quote(key.Value), "for example orders")
		}
		if value.Tag == "!!null" {
			in.Wrong(value, "a list of endpoints or an object", "NAME: [\"10.0.0.1:9002\"]")
		}
		in.Into(value, &one)
		one.broken = in.Broken() > before
		*s = append(*s, one)
	})
}

// ReadNode takes an endpoint, a list of endpoints, or an object.
func (s *service) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		in.Into(n, &s.Endpoints)
		return
	}
	type plain service
	before := in.Broken()
	in.Into(n, (*plain)(s))
	if len(s.Endpoints) == 0 && s.Mesh == nil && in.Broken() == before {
		in.Problem(n, "bad-value", "a service has at least one endpoint", "endpoints: [\"10.0.0.1:9002\"]")
	}
	s.checkBalance(in, n)
	s.fields = places(in, n)
	checkRequests(in, n, s.Session)
	if p := string(s.Protocol); p != "" && !slices.Contains(serviceProtocols, p) {
		in.Problem(n, "bad-value", "a service's protocol is http1, http2 or auto, not "+strconv.Quote(p), "gRPC needs protocol: http2; TLS is tls: true")
	}
	switch s.Proxy {
	case "", "v1", "v2", "1", "2":
	default:
		in.Problem(n, "bad-value", "proxyProtocol of a service is v1 or v2, not "+strconv.Quote(string(s.Proxy)), "for example proxyProtocol: v2")
	}
	s.checkBounds(in, n)
}

func (s *service) checkBounds(in *dialect.Decoder, n *yaml.Node) {
	if s.Connect.duration() < 0 || s.Idle.duration() < 0 || s.MaxIdle < 0 || s.Streams < 0 {
		in.Problem(n, "bad-value", "connect, idle and maxIdle of a service are always bounded", "leave them out for their defaults")
	}
}

func (s *service) noun(folder string) *model.Service {
	m := &model.Service{
		Name:       s.name,
		Host:       string(s.Host),
		Protocol:   model.ServiceProtocol(s.Protocol),
		Balance:    model.Balance(s.Balance),
		Connect:    s.Connect.duration(),
		Idle:       s.Idle.duration(),
		MaxIdle:    s.MaxIdle,
		MaxStreams: s.Streams,
		Limits:     s.Limits.noun(),
		Origin:     s.origin,

		RetryBudget: s.Budget.noun(),
	}
	m.Hash, _ = hashKeys(s.Hash)
	m.HashBalanceFactor, m.SubsetSize = s.HashBalanceFactor, s.SubsetSize
	if d := s.SlowStart.duration(); d > 0 {
		m.SlowStart = &model.SlowStart{Window: d}
	}
	if s.Locality != nil {
		m.Locality = s.Locality.noun()
	}
	if s.Mesh != nil {
		m.Mesh = s.Mesh.noun(s.name)
	}
	if s.Proxy != "" {
		m.ProxyProtocol = int(s.Proxy[len(s.Proxy)-1] - '0')
	}
	for i := range s.Endpoints {
		m.Endpoints = append(m.Endpoints, s.Endpoints[i].noun)
	}
	if s.TLS != nil && !s.TLS.off {
		m.TLS = &model.BackendTLS{ServerName: string(s.TLS.ServerName), Insecure: s.TLS.Insecure, Names: s.TLS.Names}
		if own := s.own(folder); own != nil {
			m.TLS.Certificate = own.Name
		}
		if isPEM(s.TLS.CA) {
			m.TLS.CA = []byte(s.TLS.CA)
		} else {
			m.TLS.CAFile = beside(folder, string(s.TLS.CA))
		}
	}
	if s.Health != nil && s.Health.off {
		m.Health = &model.HealthCheck{Kind: model.HealthOff}
	}
	if h := s.Health; h != nil && !h.off {
		m.Health = &model.HealthCheck{
			Path: string(h.Path), Host: string(h.Host),
			Interval: h.Interval.duration(), Timeout: h.Timeout.duration(),
			Healthy: h.Healthy, Unhealthy: h.Unhealthy,
			MinStatus: h.low, MaxStatus: h.high,
		}
		switch {
		case h.GRPC != nil && !h.GRPC.off:
			m.Health.Kind, m.Health.Service, m.Health.Path = model.HealthGRPC, h.GRPC.service, ""
		case h.TCP:
			m.Health.Kind, m.Health.Path = model.HealthTCP, ""
		case h.TLS:
			m.Health.Kind, m.Health.Path = model.HealthTLS, ""
		}
	}
	if s.Ejection != nil {
		m.Ejection = &s.Ejection.noun
	}
	return m
}

// own is the certificate that the service is shown, nil where it is shown none.
func (s *service) own(folder string) *model.Certificate {
	t := s.TLS
	if t == nil || t.off || t.Cert == "" {
		return nil
	}
	pair := keyPair{Cert: t.Cert, Key: t.Key, origin: t.origin}
	return pair.noun(folder)
}

// endpoints are one or a list.
type endpoints []endpoint

// ReadNode takes an endpoint or a list of endpoints.
func (e *endpoints) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			var one endpoint
			in.Item(i, c, &one)
			*e = append(*e, one)
		}
		if len(n.Content) == 0 {
			in.Wrong(n, "at least one endpoint", "NAME: [\"10.0.0.1:9002\"]")
		}
		return
	}
	var one endpoint
	in.Into(n, &one)
	*e = append(*e, one)
}

// ReadNode takes "host:port" or an object.
func (e *endpoint) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	if n.Kind == yaml.MappingNode {
		type plain endpoint
		in.Into(n, (*plain)(e))
	} else {
		in.Into(n, &e.Address)
	}
	if in.Broken() > before {
		return
	}
	s := string(e.Address)
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		hint := "write " + rest
		if scheme == "https" {
			hint += ", and tls: true at the service"
		}
		in.Problem(n, "bad-value", "an endpoint is host:port, without a scheme: "+s, hint)
		return
	}
	host, port, err := net.SplitHostPort(s)
	number, bad := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || host == "" || strings.Contains(host, "/"):
		in.Problem(n, "bad-value", "an endpoint is host:port: "+strconv.Quote(s), "for example 10.0.0.1:9002")
	case bad != nil || number == 0:
		in.Problem(n, "bad-value", "no port is numbered "+strconv.Quote(port), "from 1 to 65535")
	case e.Weight < 0:
		in.Problem(n, "bad-value", "a weight is 1 or more", "leave out an endpoint that is to get nothing")
	case e.Weight == 0 && field(n, "weight") != n:
		in.Doubt(field(n, "weight"), "bad-value", "the weight of an endpoint is 1 or more; 1 is used", "leave out an endpoint that is to get nothing")
	}
	e.noun = &model.Endpoint{Host: host, Port: uint16(number), Weight: e.Weight, Priority: e.Priority, Place: e.place(in, n)}
}

// asked is a service by the name under which grpc.health.v1 knows it.
type asked struct {
	service string // "" is the whole server
	off     bool   // grpc: false
}

// ReadNode takes true or a name.
func (a *asked) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Tag == "!!bool" {
		var on bool
		in.Into(n, &on)
		a.off = !on
		return
	}
	var t text
	in.Into(n, &t)
	a.service = string(t)
}

// ReadNode takes a path, grpc, tcp, tls, true or an object.
func (h *health) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.MappingNode:
		type plain health
		in.Into(n, (*plain)(h))
	case n.Tag == "!!bool":
		var on bool
		in.Into(n, &on)
		h.off = !on
	case n.Value == string(model.HealthGRPC):
		h.GRPC = &asked{}
	case n.Value == string(model.HealthTCP):
		h.TCP = true
	case n.Value == string(model.HealthTLS):
		h.TLS = true
	default:
		in.Into(n, &h.Path)
	}
	h.oneKind(in, n)
	if h.Path == "" {
		h.Path = "/"
	}
	if p := string(h.Path); !strings.HasPrefix(p, "/") {
		hint := "write /" + p
		if _, rest, ok := strings.Cut(p, "://"); ok {
			_, rest, _ = strings.Cut(rest, "/")
			hint = "each endpoint is asked, by the path alone: write /" + rest
		}
		in.Problem(n, "bad-value", "a path begins with /: "+p, hint)
	}
	for i, name := range []string{"healthy", "unhealthy"} {
		if at := field(n, name); at != n && [2]int{h.Healthy, h.Unhealthy}[i] == 0 {
			in.Doubt(at, "bad-value", name+" of a health check is 1 or more; the default is used", "leave it out for the default")
		}
	}
	if h.Healthy < 0 || h.Unhealthy < 0 || h.Interval.duration() < 0 || h.Timeout.duration() < 0 {
		in.Problem(n, "bad-value", "the numbers of a health check are more than nothing", "leave them out for their defaults")
	}
	if h.Status == "" {
		return
	}
	low, high, ranged := strings.Cut(string(h.Status), "-")
	if !ranged {
		high = low
	}
	var err1, err2 error
	h.low, err1 = strconv.Atoi(strings.TrimSpace(low))
	h.high, err2 = strconv.Atoi(strings.TrimSpace(high))
	if err1 != nil || err2 != nil || h.low < 100 || h.high > 599 || h.low > h.high {
		in.Problem(n, "bad-value", "this is no range of statuses: "+string(h.Status), "for example 200-399")
	}
}

// oneKind checks that a check is of one kind.
func (h *health) oneKind(in *dialect.Decoder, n *yaml.Node) {
	grpc := h.GRPC != nil && !h.GRPC.off
	if http := h.Path != "" || h.Status != ""; grpc && (h.TCP || h.TLS) || h.TCP && h.TLS || http && (grpc || h.TCP || h.TLS) {
		in.Problem(n, "bad-value", "a health check asks for a path, or by grpc, or by tcp, or by tls", "leave path and status out for grpc, tcp and tls")
	}
	if h.Host != "" && (h.TCP || h.TLS) {
		in.Problem(n, "bad-value", "a connection alone names no host", "leave host out, or ask for a path")
	}
}

// ReadNode takes true, false or an object.
func (t *trust) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		type plain trust
		before := in.Broken()
		in.Into(n, (*plain)(t))
		if t.origin = in.Origin(n); in.Broken() == before && (t.Cert == "") != (t.Key == "") {
			in.Problem(n, "bad-value", "the certificate that a service is shown needs both cert and key", "for example {cert: client.pem, key: client.key}")
		}
		return
	}
	var on bool
	before := in.Broken()
	if n.Tag != "!!bool" {
		in.Wrong(n, "true or an object", "NAME: true, or NAME: {ca: ca.pem}")
	} else {
		in.Into(n, &on)
	}
	t.off = !on && in.Broken() == before
}
