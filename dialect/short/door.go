package short

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// listens are the doors, as far as they could be read.
type listens []listen

// ReadNode takes an address, an object, or a list of these.
func (l *listens) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			var one listen
			in.Item(i, c, &one)
			*l = append(*l, one)
		}
		if len(n.Content) == 0 {
			in.Wrong(n, "at least one address", `NAME: ":8080"`)
		}
		return
	}
	var one listen
	in.Into(n, &one)
	*l = append(*l, one)
}

// ReadNode takes an address or an object.
func (l *listen) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	l.origin = in.Origin(n)
	before := in.Broken()
	if n.Kind == yaml.MappingNode {
		type plain listen
		in.Into(n, (*plain)(l))
	} else {
		in.Into(n, &l.Address)
	}
	if l.Address != "" || in.Broken() == before {
		l.readAddress(in, n)
	}
	if l.MinTLS != "" && l.MinTLS != "1.2" && l.MinTLS != "1.3" {
		in.Problem(n, "bad-value", "minTLS is 1.2 or 1.3, not "+strconv.Quote(string(l.MinTLS)), "")
	}
	if a := l.ClientAuth; a != nil && !a.off && l.port != 0 && !l.ends() {
		in.Problem(n, "bad-value", "clientAuth takes TLS that ends here, and at this listener none does", "write https:// before the address, or give it tls: {cert: cert.pem, key: key.pem}")
	}
	if l.TrustedHops < 0 {
		in.Problem(n, "bad-value", "trustedHops is 0 or more", "")
	}
	if slices.Contains(l.Protocols, "h3") && l.port != 0 && !l.https {
		in.Problem(n, "bad-value", "h3 takes TLS, and this listener speaks plain HTTP", "write https:// before the address, or leave h3 out")
	}
	if l.scheme != "" {
		l.checkFlows(in, n)
	}
	// A wrong limit leaves its default; the door opens all the same.
	if l.broken = in.Broken()-before > l.Limits.mistakes(); l.name == "" {
		l.name = in.Path() // its routes stand behind it all the same
	}
}

// readAddress reads ":8080", "8080", "127.0.0.1:8080" and "https://:8443".
func (l *listen) readAddress(in *dialect.Decoder, n *yaml.Node) {
	s := string(l.Address)
	if s == "" {
		s = ":8080"
	}
	scheme := ""
	if before, after, ok := strings.Cut(s, "://"); ok {
		scheme, s = before, strings.TrimSuffix(after, "/")
	}
	if l.scheme = ofFlows(scheme); scheme != "" && scheme != "http" && scheme != "https" && l.scheme == "" {
		in.Problem(n, "bad-value", "a listener speaks http, https, tcp, tls or udp, not "+scheme, "")
		return
	}
	if !strings.Contains(s, ":") {
		s = ":" + s
	}
	const example = `for example ":8080", "127.0.0.1:8080" or "https://:8443"`
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		in.Problem(n, "bad-value", "this is no address to listen on: "+strconv.Quote(string(l.Address)), example)
		return
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		in.Problem(n, "bad-value", "no port is numbered "+strconv.Quote(port), example)
		return
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		in.Problem(n, "bad-value", "an address to listen on is an IP address of this machine, not "+strconv.Quote(host),
			"write :"+port+", and hostname: "+host+" if only requests for that host are meant")
		return
	}
	const wellKnown = 443
	l.host, l.port = host, uint16(number)
	l.https = l.scheme == "" && (scheme == "https" || l.port == wellKnown && scheme == "" || l.TLS != nil)
	if scheme == "http" && l.TLS != nil {
		in.Problem(n, "bad-value", "a listener with tls speaks https, and its address says http", "write https://"+s)
	}
	l.name = doorName(l.scheme, host, l.port)
	if l.Hostname != "" {
		l.name += "/" + string(l.Hostname)
	}
}

// is says whether a route means this listener: by its address as written, or
// by its name.
func (l *listen) is(word string) bool {
	return word == string(l.Address) || "listen/"+word == l.name || word == l.name || l.scheme == "" && word == ":"+strconv.Itoa(int(l.port))
}

// noun makes the listener; certificates and issue are its own or the top's.
func (l *listen) noun(folder string, certificates []string, issue *model.Issuance, common *limits) *model.Listener {
	m := &model.Listener{
		Name:        l.name,
		Address:     l.host,
		Port:        l.port,
		Protocol:    model.HTTP,
		Hostname:    string(l.Hostname),
		MinTLS:      string(l.MinTLS),
		TrustedHops: l.TrustedHops,
		NoHTTP1:     l.Protocols.without("h1"),
		NoHTTP2:     l.Protocols.without("h2"),
		HTTP3:       slices.Contains(l.Protocols, "h3"),
		Origin:      l.origin,
	}
	common.into(&m.Limits)
	l.Limits.into(&m.Limits)
	switch {
	case l.https:
		m.Protocol, m.Certificates, m.Issuance = model.HTTPS, certificates, issue
	case l.scheme != "":
		m.Protocol, m.Certificates, m.Issuance = l.scheme, certificates, issue
		m.Passthrough = l.scheme == model.TLS && !l.ends()
	}
	if a := l.ClientAuth; a != nil && !a.off {
		m.ClientAuth = &model.ClientAuth{Optional: a.Optional, Forward: a.Forward}
		if isPEM(a.CA) {
			m.ClientAuth.CA = []byte(a.CA)
		} else {
			m.ClientAuth.CAFile = beside(folder, string(a.CA))
		}
	}
	if p := l.Proxy; p != nil && !p.off {
		m.ProxyProtocol = &model.ProxyProtocol{From: p.From}
	}
	return m
}

// ends says whether the clients' TLS ends here.
func (l *listen) ends() bool {
	return l.https || l.scheme == model.TLS && l.TLS != nil && !l.TLS.through
}

// refused makes the noun of a listener that has a mistake.
func (l *listen) refused() *model.Listener {
	return &model.Listener{Name: l.name, Origin: l.origin, Refused: true}
}

// rule makes the route of a listener that redirects.
func (l *listen) rule() rule {
	at := l.origin
	at.Field += ".redirect"
	return rule{
		named: true, origin: at, listen: []string{l.name},
		nouns: []*model.Route{{
			Name:    l.name + "/redirect",
			Matches: []model.Match{{PathKind: model.PathPrefix, Path: "/"}},
			Filters: []model.Filter{{Redirect: l.Redirect.noun()}},
			Order:   model.Order{Index: 1 << 30}, // gives way to every equal route
			Origin:  at,
		}},
	}
}

// ReadNode takes a file, PEM, false or an object.
func (a *clientAuth) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	switch {
	case n.Kind == yaml.MappingNode:
		type plain clientAuth
		in.Into(n, (*plain)(a))
	case n.Tag == "!!bool" && n.Value == "false":
		a.off = true
		return
	case n.Tag == "!!bool":
		// The system's roots sign certificates for anybody.
	default:
		in.Into(n, &a.CA)
	}
	if in.Broken() == before && a.CA == "" {
		in.Problem(n, "bad-value", "clientAuth needs the authorities of clients", "for example clientAuth: clients.pem")
	}
}

// versions are those of HTTP; none is all.
type versions []text

// ReadNode takes one or a list.
func (v *versions) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			var one versions
			in.Item(i, c, &one)
			*v = append(*v, one...)
		}
		if len(n.Content) == 0 {
			in.Wrong(n, "at least one version of HTTP", "NAME: [h1, h2]")
		}
		return
	}
	var t text
	in.Into(n, &t)
	switch t {
	case "h1", "h2", "h3":
		*v = append(*v, t)
	case "h2c":
		in.Problem(n, "bad-value", "h2c is h2 without TLS, which is what a plain listener speaks", "write h2")
	default:
		in.Problem(n, "bad-value", "no version of HTTP is called "+strconv.Quote(string(t)), "write h1, h2 or h3")
	}
}

func (v versions) without(one text) bool { return len(v) > 0 && !slices.Contains(v, one) }

// tlsKeys are certificates, who gives others, or the wish for those at the top.
type tlsKeys struct {
	pairs   []keyPair
	issue   *issuance
	through bool // tls: passthrough
}

// ReadNode takes true, passthrough, a pair, auto, local, or a list of these.
func (t *tlsKeys) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.SequenceNode:
		for i, c := range n.Content {
			if isIssuance(c) && t.issue != nil {
				in.Problem(c, "bad-value", "certificates come from one authority", "leave all but one of auto and local out")
			}
			if isIssuance(c) {
				t.issue = &issuance{}
				in.Item(i, c, t.issue)
				continue
			}
			var one keyPair
			in.Item(i, c, &one)
			t.pairs = append(t.pairs, one)
		}
	case isIssuance(n):
		t.issue = &issuance{}
		in.Into(n, t.issue)
	case n.Kind == yaml.MappingNode:
		var one keyPair
		in.Into(n, &one)
		t.pairs = append(t.pairs, one)
	case n.Value == "passthrough":
		t.through = true
	case n.Tag == "!!bool" && n.Value == "true", n.Value == "terminate":
	default:
		in.Wrong(n, "a certificate and a key, auto or local", "NAME: auto, or NAME: {cert: cert.pem, key: key.pem}")
	}
}

// ReadNode takes an object with both.
func (k *keyPair) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	type plain keyPair
	before := in.Broken()
	in.Into(n, (*plain)(k))
	k.origin = in.Origin(n)
	if in.Broken() == before && (k.Cert == "" || k.Key == "") {
		in.Problem(n, "bad-value", "a certificate needs both cert and key", "for example {cert: cert.pem, key: key.pem}")
	}
}

// noun makes the certificate. Paths are seen from the folder of the document.
func (k *keyPair) noun(folder string) *model.Certificate {
	c := &model.Certificate{Origin: k.origin}
	if isPEM(k.Cert) {
		c.Chain = []byte(k.Cert)
		c.Name = "tls/" + k.origin.Field
	} else {
		c.ChainFile = beside(folder, string(k.Cert))
		c.Name = "tls/" + c.ChainFile
	}
	if isPEM(k.Key) {
		c.Key = []byte(k.Key)
	} else {
		c.KeyFile = beside(folder, string(k.Key))
	}
	return c
}

func isPEM(t text) bool { return strings.Contains(string(t), "-----BEGIN") }

// beside gives a path as seen from a folder.
func beside(folder, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

// ReadNode counts its mistakes, which do not take the listener out.
func (l *limits) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	type plain limits
	before := in.Broken()
	in.Into(n, (*plain)(l))
	l.wrong = in.Broken() - before
}

func (l *limits) mistakes() int {
	if l == nil {
		return 0
	}
	return l.wrong
}

// into sets the bounds that are written.
func (l *limits) into(m *model.Limits) {
	if l == nil {
		return
	}
	set(&m.HeadBytes, l.HeadBytes)
	set(&m.Fields, l.Fields)
	set(&m.URIBytes, l.URIBytes)
	set(&m.BodyBytes, l.BodyBytes)
	set(&m.Connections, l.Connections)
	set(&m.Requests, l.Requests)
	set(&m.Idle, l.Idle)
	set(&m.Head, l.Head)
	set(&m.Body, l.Body)
	set(&m.Write, l.Write)
	set(&m.Handshake, l.Handshake)
	set(&m.Age, l.Age)
}

// set overwrites a bound where one is written. (One that was written wrongly
// is 0, and so its default.)
func set[To, From ~int | ~int64](to *To, from *From) {
	if from != nil && *from != 0 {
		*to = To(*from)
	}
}
