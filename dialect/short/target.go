package short

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// destinations share a route's requests.
type destinations []destination

// ReadNode takes a service or a URL, a list, or a mapping with weights.
func (d *destinations) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.SequenceNode:
		for i, c := range n.Content {
			var one destination
			in.Item(i, c, &one)
			*d = append(*d, one)
		}
		if len(n.Content) == 0 {
			in.Wrong(n, "at least one service or URL", "NAME: orders")
		}
	case n.Kind == yaml.MappingNode && !has(n, "to"):
		in.Pairs(n, "", func(key, value *yaml.Node) {
			*d = append(*d, weighted(in, key, value))
		})
	default:
		var one destination
		in.Into(n, &one)
		*d = append(*d, one)
	}
}

func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// weighted reads one pair "orders: 90".
func weighted(in *dialect.Decoder, key, value *yaml.Node) destination {
	d := destination{To: text(key.Value), at: key}
	if share, ok := strings.CutSuffix(value.Value, "%"); ok && value.Kind == yaml.ScalarNode {
		in.Problem(value, "bad-value", "a weight is a whole number without a sign: "+value.Value, "write "+strings.TrimSpace(share)+": weights are relative to each other")
		return d
	}
	if value.Kind == yaml.ScalarNode && value.Tag == "!!float" {
		in.Problem(value, "bad-value", "a weight is a whole number, not "+value.Value, "write "+likelyPercent(value.Value, 1)+": weights are relative to each other")
		return d
	}
	if key.Value == "service" && value.Kind == yaml.ScalarNode && value.Tag == "!!str" {
		in.Problem(key, "bad-value", "a service is named by to, not by service", "write {to: "+value.Value+", weight: 1}")
		return d
	}
	in.Into(value, &d.Weight)
	d.check(in, value)
	return d
}

// ReadNode takes a text, {orders: 90} or {to, weight}.
func (d *destination) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.MappingNode && !has(n, "to"):
		if len(n.Content) != 2 {
			in.Wrong(n, "one service and its weight", "{orders: 90}")
			return
		}
		in.Enter(n.Content[0].Value)
		*d = weighted(in, n.Content[0], n.Content[1])
		in.Leave()
	case n.Kind == yaml.MappingNode:
		type plain destination
		in.Into(n, (*plain)(d))
		d.at = n
		d.check(in, n)
	default:
		before := in.Broken()
		in.Into(n, &d.To)
		d.at = n
		if in.Broken() == before {
			d.check(in, n)
		}
	}
}

func (d *destination) weight() int {
	if d.Weight == nil {
		return 1
	}
	return *d.Weight
}

func (d *destination) check(in *dialect.Decoder, n *yaml.Node) {
	const most = 1_000_000 // as in the Gateway API
	if w := d.weight(); w < 0 || w > most {
		in.Wrong(n, "a weight from 0 to 1000000", "NAME: 90")
	}
	checkTarget(in, d.at, string(d.To))
}

// target is where a text under to leads: a service by its name, or one that
// the text itself describes.
type target struct {
	name string
	url  bool
	tls  bool
	bare bool // host:port, without a scheme
	// http2: alone, as gRPC needs it.
	http2 bool
	host  string
	port  uint16
	flow  model.Protocol // tcp, tls or udp; "" for requests
}

// checkTarget notes what is wrong with a text under to.
func checkTarget(in *dialect.Decoder, n *yaml.Node, s string) {
	if _, wrong, hint := parseTarget(s); wrong != "" {
		in.Problem(n, "bad-value", wrong, hint)
	}
}

// parseTarget reads a service's name, a URL or host:port.
func parseTarget(s string) (t target, wrong, hint string) {
	if !strings.Contains(s, "://") {
		if !strings.ContainsAny(s, ":/ ") {
			if s == "" {
				return t, "a route must lead somewhere", "write a service or a URL, for example to: http://127.0.0.1:3000"
			}
			return target{name: s}, "", ""
		}
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			return t, strconv.Quote(s) + " is neither a service nor a URL", "for example http://127.0.0.1:3000"
		}
		s, t.bare = "http://"+s, true
	}
	bare := t.bare
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return t, strconv.Quote(s) + " is no URL", "for example http://127.0.0.1:3000"
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c" && u.Scheme != "h2" && ofFlows(u.Scheme) == "":
		return t, "naru does not speak " + u.Scheme + ": " + s, "write http:// or https://, or h2c:// or h2:// (with TLS) for HTTP/2, as gRPC needs it; connections go to tcp://, tls:// or udp://"
	case ofFlows(u.Scheme) != "" && u.Port() == "":
		return t, "there is no port in " + s, "write " + s + ":5432"
	case u.Hostname() == "":
		return t, "the URL has no host: " + s, "for example http://127.0.0.1:3000"
	case u.User != nil:
		return t, "the URL holds a user, which would not be sent", "set the header: headers: {request: {set: {authorization: ...}}}"
	case u.RawQuery != "" || u.Fragment != "":
		return t, "the URL holds a query or a fragment, which would not be sent: " + s, "leave it out"
	case u.Path != "" && u.Path != "/":
		return t, "the URL holds a path: " + s, "write to: " + u.Scheme + "://" + u.Host + " and rewrite: " + u.Path
	}
	t = target{url: true, bare: bare, http2: strings.HasPrefix(u.Scheme, "h2"), host: u.Hostname(), port: 80, flow: ofFlows(u.Scheme)}
	t.tls = u.Scheme == "https" || u.Scheme == "h2" || u.Scheme == "tls"
	if t.tls {
		t.port = 443
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return t, "no port is numbered " + p, "from 1 to 65535"
		}
		t.port = uint16(n)
	}
	t.name = u.Scheme + "://" + net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
	return t, "", ""
}

// service makes the noun of a URL.
func (t *target) service(at model.Origin) *model.Service {
	s := &model.Service{
		Name:      t.name,
		Endpoints: []*model.Endpoint{{Host: t.host, Port: t.port}},
		Origin:    at,
	}
	if t.http2 {
		s.Protocol = model.HTTP2
	}
	if t.tls {
		s.TLS = &model.BackendTLS{}
		// The certificate and the virtual host are for this name, not for the
		// gateway's. An address has no name.
		if _, err := netip.ParseAddr(t.host); err != nil && t.flow == "" {
			s.Host = t.host
			if t.port != 443 {
				s.Host = net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
			}
		}
	}
	return s
}

// mirrors are copies.
type mirrors []mirror

// ReadNode takes one or a list.
func (m *mirrors) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			var one mirror
			in.Item(i, c, &one)
			*m = append(*m, one)
		}
		return
	}
	var one mirror
	in.Into(n, &one)
	*m = append(*m, one)
}

// ReadNode takes a service, a URL or an object.
func (m *mirror) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	m.at = n
	before := in.Broken()
	if n.Kind == yaml.MappingNode {
		type plain mirror
		in.Into(n, (*plain)(m))
	} else {
		in.Into(n, &m.To)
	}
	if m.Percent != nil && (*m.Percent < 0 || *m.Percent > 100) {
		in.Problem(n, "bad-value", "percent is from 0 to 100", "")
	}
	if in.Broken() == before {
		checkTarget(in, n, string(m.To))
	}
}

// share gives the percentage as a fraction; nothing is all.
func (m *mirror) share() (numerator, denominator int) {
	switch {
	case m.Percent == nil:
		return 0, 0
	case *m.Percent == percentage(int(*m.Percent)):
		return int(*m.Percent), 100
	}
	const parts = 100_000 // thousandths of a percent
	return int(float64(*m.Percent)*parts/100 + 0.5), parts
}
