package short

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// ofFlows gives the protocol of a scheme whose traffic is connections or
// datagrams, "" for any other.
func ofFlows(scheme string) model.Protocol {
	if p := model.Protocol(scheme); p.OfFlows() {
		return p
	}
	return ""
}

// doorName is the name of the listener at an address.
func doorName(scheme model.Protocol, host string, port uint16) string {
	at := ":" + strconv.Itoa(int(port))
	if host != "" {
		at = net.JoinHostPort(host, at[1:])
	}
	if scheme != "" {
		at = string(scheme) + "://" + at
	}
	return "listen/" + at
}

// spot is where a route takes connections: "tcp://:5432", and for tls the name
// that clients ask for: "tls://db.example.com:6432". No client asks for an
// address, so that one there is where to listen.
type spot struct {
	scheme model.Protocol
	host   string // IP address to listen on, "" for all
	name   string // SNI, exact or wildcard, "" for any; only for tls
	port   uint16
}

func (s *spot) door() string { return doorName(s.scheme, s.host, s.port) }

// parseSpot reads what stands behind a scheme.
func parseSpot(scheme model.Protocol, address string) (s *spot, wrong, hint string) {
	written := string(scheme) + "://" + address
	address = strings.TrimSuffix(address, "/")
	if !strings.Contains(address, ":") && strings.Trim(address, "0123456789") == "" {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsAny(host, "/ ") {
		return nil, "no connection can be matched by " + strconv.Quote(written), "for example tcp://:5432, tls://db.example.com:6432 or udp://:53"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, "no port is numbered " + strconv.Quote(port), "from 1 to 65535"
	}
	s = &spot{scheme: scheme, port: uint16(number)}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	_, err = netip.ParseAddr(host)
	isAddress := err == nil
	if scheme == model.TLS && !isAddress {
		if host != "" && host != "*" {
			s.name, wrong, hint = cleanHost(host)
		}
		return s, wrong, hint
	}
	if host != "" && !isAddress {
		return nil, "nobody says a name in " + string(scheme) + ", so " + strconv.Quote(host) + " cannot be matched",
			"write " + string(scheme) + "://:" + port + "; names can be told apart in tls://"
	}
	s.host = host
	return s, "", ""
}

// isFlow says whether the route is for connections.
func (r *route) isFlow() bool {
	return slices.ContainsFunc(r.Match, func(p pattern) bool { return p.flow != nil })
}

// checkFlow looks at a route for connections: most of what can be said of
// requests makes no sense there.
func (r *route) checkFlow(in *dialect.Decoder, n *yaml.Node) {
	for i := range r.Match {
		if r.Match[i].flow == nil || r.Match[i].flow.scheme != r.Match[0].flow.scheme && (r.Match[i].flow.scheme == model.UDP || r.Match[0].flow.scheme == model.UDP) {
			in.Problem(n, "bad-value", "a route is for requests, for connections or for datagrams, and this matches several of these", "make a route of each")
			return
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key := n.Content[i]; key.Value {
		case "name", "match", "to", "timeout", "priority":
		case "listen":
			in.Problem(key, "bad-value", "where a connection comes in is said by its match", "leave listen out")
		default:
			in.Problem(key, "bad-value", key.Value+" is for requests, and this route is for connections", "leave it out")
		}
	}
	if t := r.Timeout; t != nil && (t.Request != nil || t.Backend != nil || t.Stream != nil) {
		in.Problem(n, "bad-value", "a connection has no requests to bound", "write timeout: {idle: 10m}; a service has connect: 5s")
	}
	if r.To == nil {
		return
	}
	for _, d := range *r.To {
		t, wrong, _ := parseTarget(string(d.To))
		switch {
		case wrong != "" || !t.url:
		case t.flow == "" && !t.bare:
			in.Problem(d.at, "bad-value", "a connection is not led to a URL of HTTP: "+string(d.To), "write "+net.JoinHostPort(t.host, strconv.Itoa(int(t.port))))
		case t.flow != "" && (t.flow == model.UDP) != (r.Match[0].flow.scheme == model.UDP):
			in.Problem(d.at, "bad-value", string(r.Match[0].flow.scheme)+" cannot be led to "+string(d.To), "write "+net.JoinHostPort(t.host, strconv.Itoa(int(t.port))))
		}
	}
}

// forFlows makes the target that of connections: "db:5432" is tcp by itself, or
// udp where that is matched.
func (t *target) forFlows(scheme model.Protocol) {
	if t.flow == "" {
		t.flow = model.TCP
		if scheme == model.UDP {
			t.flow = model.UDP
		}
	}
	t.name = string(t.flow) + "://" + net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
}

// compileFlow makes the nouns of a route for connections: one for each door.
func (c *compiler) compileFlow(r *route, name string, index int, out *rule) {
	out.scheme = r.Match[0].flow.scheme
	backends := c.backends(r, out)
	at := map[string]*model.Flow{}
	for i := range r.Match {
		s := r.Match[i].flow
		f := at[s.door()]
		if f == nil {
			f = &model.Flow{Name: name, Backends: backends, Priority: model.Priority(r.Priority), Order: model.Order{Index: index}, Origin: r.origin}
			if len(out.flows) > 0 {
				f.Name += "/" + strconv.Itoa(len(out.flows))
			}
			if r.Timeout != nil {
				f.Idle = r.Timeout.Idle.duration()
			}
			at[s.door()] = f
			out.flows, out.spots = append(out.flows, f), append(out.spots, *s)
		} else if s.name == "" || len(f.Hostnames) == 0 {
			f.Hostnames = nil // one of the matches is for any name
			continue
		}
		if s.name != "" {
			f.Hostnames = append(f.Hostnames, s.name)
		}
	}
}

// index is the position of the route.
func (r *rule) index() int {
	if len(r.flows) > 0 {
		return r.flows[0].Order.Index
	}
	return r.nouns[0].Order.Index
}

// placeFlows puts the flows of a rule behind their listeners, and opens those
// that nobody wrote.
func (j *joint) placeFlows(r *rule, prefix string, index int) {
	if !j.resolved(r) {
		return
	}
	for i, f := range r.flows {
		parents := j.behind(&r.spots[i], r.origin)
		if f.Parents == nil && j.fresh {
			f.Parents = parents
		} else if prefix != "" || !slices.Equal(f.Parents, parents) {
			copied := *f
			f = &copied
			f.Parents = parents
			f.Order.Index += index
			if !r.named {
				f.Name = prefix + f.Name
			}
			if j.fresh {
				r.flows = slices.Clone(r.flows)
				r.flows[i] = f
			}
		}
		j.out.Flows = append(j.out.Flows, f)
	}
}

// behind gives the listeners at a spot: those that are written, whatever their
// hostname, or one that is there because a route wants it.
func (j *joint) behind(s *spot, at model.Origin) (names []string) {
	for _, l := range j.doors {
		if l.scheme == s.scheme && l.port == s.port && (l.host == s.host || s.scheme == model.TLS && s.host == "") && !slices.Contains(names, l.name) {
			names = append(names, l.name)
		}
	}
	if len(names) == 0 {
		l := &listen{name: s.door(), scheme: s.scheme, host: s.host, port: s.port, origin: at}
		j.doors = append(j.doors, l)
		j.out.Listeners = append(j.out.Listeners, l.noun("", nil, nil, j.bounds))
		names = []string{l.name}
	}
	return names
}

// checkFlows looks at a listener for connections.
func (l *listen) checkFlows(in *dialect.Decoder, n *yaml.Node) {
	bad := func(what, hint string) {
		in.Problem(n, "bad-value", what+", and this listener speaks "+string(l.scheme), hint)
	}
	if l.scheme != model.TLS && l.Hostname != "" {
		bad("a hostname is asked for with TLS or HTTP", "leave it out")
	}
	if l.scheme != model.TLS && l.TLS != nil {
		bad("certificates are for https and tls", "write tls:// to end TLS here")
	}
	if l.TrustedHops > 0 {
		bad("trustedHops are for requests", "a load balancer tells who a connection is from by the PROXY protocol: proxyProtocol: true")
	}
	if len(l.Protocols) > 0 {
		bad("protocols are versions of HTTP", "leave them out")
	}
	if l.Redirect != nil {
		bad("a redirect is for requests", "leave it out")
	}
	if l.scheme == model.UDP && l.Proxy != nil && !l.Proxy.off {
		bad("the PROXY protocol is for connections", "leave it out")
	}
}

// ReadNode takes true, false or an object.
func (p *introduced) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		var on bool
		before := in.Broken()
		if n.Tag != "!!bool" {
			in.Wrong(n, "true or an object", "NAME: true, or NAME: {from: 10.0.0.0/8}")
		} else {
			in.Into(n, &on)
		}
		p.off = !on && in.Broken() == before
		return
	}
	type plain introduced
	in.Into(n, (*plain)(p))
	for i, s := range p.From {
		if _, err := netip.ParseAddr(s); err == nil {
			p.From[i] = netip.MustParseAddr(s).String() + "/" + strconv.Itoa(netip.MustParseAddr(s).BitLen())
		} else if _, err := netip.ParsePrefix(s); err != nil {
			in.Problem(n, "bad-value", "no network is written "+strconv.Quote(s), "for example 10.0.0.0/8 or 192.0.2.7")
		}
	}
	if len(p.From) == 0 {
		in.Problem(n, "bad-value", "from names no network", "for example from: [10.0.0.0/8], or proxyProtocol: true for every connection")
	}
}
