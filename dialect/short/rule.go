package short

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// routes are the items of the list, not yet decoded.
type routes struct {
	items  []*yaml.Node
	block  bool // not in brackets
	column int  // of the list, from 1
}

// ReadNode takes a list.
func (r *routes) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		in.Wrong(n, "a list of routes", "NAME: [{match: /, to: http://127.0.0.1:3000}]")
		return
	}
	r.items, r.block, r.column = n.Content, n.Style&yaml.FlowStyle == 0, n.Column
}

// rule decodes the item with a number and makes nouns of it.
func (c *compiler) rule(in *dialect.Decoder, n *yaml.Node, index int) (rule, bool) {
	in.EnterItem(index)
	defer in.Leave()
	if n.Tag == "!!null" {
		in.Problem(n, "bad-value", "an empty route", "for example - {match: /, to: http://127.0.0.1:3000}")
		return rule{}, false
	}
	var r route
	if in.Into(n, &r); r.broken {
		return rule{}, false
	}
	return c.compile(&r, index), true
}

// ReadNode takes an object.
func (r *route) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	type plain route
	before := in.Broken()
	in.Into(n, (*plain)(r))
	r.origin = in.Origin(n)
	if n.Kind == yaml.MappingNode {
		r.check(in, n, in.Broken() > before)
	}
	r.broken = in.Broken() > before
}

// check looks at what fields say together.
func (r *route) check(in *dialect.Decoder, n *yaml.Node, broken bool) {
	var ends []string
	if r.To != nil {
		ends = append(ends, "to")
	}
	if r.Redirect != nil {
		ends = append(ends, "redirect")
	}
	if r.Respond != nil {
		ends = append(ends, "respond")
	}
	switch {
	case len(ends) > 1:
		in.Problem(n, "bad-value", "a route has one end, and this has "+strings.Join(ends, " and "), "keep one of them")
	case len(ends) == 0 && !broken:
		in.Problem(n, "bad-value", "the route leads nowhere", "say to: (a service or a URL), redirect: or respond:")
	}
	if r.isFlow() {
		r.checkFlow(in, n)
		return
	}
	r.checkRollout(in)
	if r.To != nil {
		for _, d := range *r.To {
			if t, _, _ := parseTarget(string(d.To)); t.flow != "" {
				in.Problem(d.at, "bad-value", "a request cannot be sent to "+string(d.To), "write http:// or https://, or match connections: match: "+string(t.flow)+"://:"+strconv.Itoa(int(t.port)))
			}
		}
	}
	if len(r.Match) == 0 {
		r.Match = matches{{kind: model.PathPrefix, path: "/"}}
	}
	prefixes := 0
	for i := range r.Match {
		if r.Match[i].kind == model.PathPrefix {
			prefixes++
		}
	}
	all := prefixes == len(r.Match)
	if w := r.Rewrite; w != nil {
		switch {
		case w.auto != nil && all:
			w.Prefix = w.auto
		case w.auto != nil && prefixes == 0:
			w.Path = w.auto
		case w.auto != nil:
			in.Problem(n, "bad-value", "rewrite can be the prefix or the whole path, because the matches are of both kinds",
				"say rewrite: {prefix: ...} or {path: ...}, or make two routes")
		}
		if w.Prefix != nil && !all && w.auto == nil {
			in.Problem(n, "bad-value", "rewrite has a prefix, but not every match has one", "say rewrite: {path: ...}")
		}
	}
	if _, ok := session(string(r.Session)); !ok {
		in.Problem(n, "bad-value", "a session is shown by cookie NAME or header NAME, not "+strconv.Quote(string(r.Session)), "for example session: cookie cart")
	}
	if d := r.Redirect; d != nil && d.Prefix != nil && !all {
		in.Problem(n, "bad-value", "redirect has a prefix, but not every match has one", "say redirect: {path: ...}")
	}
}

// rule is a route made into nouns: one for each set of hosts.
type rule struct {
	nouns  []*model.Route
	named  bool         // by the user
	origin model.Origin // of the item
	listen []string     // as written
	loops  bool         // leads from http to https and no further
	refs   []ref
	urls   []string // the destinations that are URLs
	// flows and where they listen, one for one, in the place of nouns.
	flows  []*model.Flow
	spots  []spot
	scheme model.Protocol // of these, for urls
}

// ref is a service's name and where it is written.
type ref struct {
	name string
	at   model.Origin
}

// compiler makes the rules of one document.
type compiler struct {
	doc  *dialect.Document
	urls urlServices
}

// compile makes the nouns of a route that has no mistake.
func (c *compiler) compile(r *route, index int) rule {
	name := string(r.Name)
	if name == "" {
		name = "routes/" + strconv.Itoa(index)
	}
	out := rule{
		named: r.Name != "", origin: r.origin, listen: r.Listen,
		loops: r.Redirect != nil && r.Redirect.onlyScheme(),
	}
	if r.isFlow() {
		c.compileFlow(r, name, index, &out)
		return out
	}
	base := model.Route{
		Filters:  c.filters(r, &out),
		Backends: c.backends(r, &out),
		Order:    model.Order{Index: index},
		Origin:   r.origin,
	}
	base.Rollout, base.Backends = c.rolled(r, name, base.Backends, &out)
	served := r.requests()
	base.Timeouts, base.Retry, base.Session, base.Priority, base.Hedge, base.Shape = served.Timeouts, served.Retry, served.Session, served.Priority, served.Hedge, served.Shape
	base.CountCalls = r.GRPC != nil && r.GRPC.metrics
	left := r.Match
	for len(left) > 0 {
		// All patterns for the hosts of the first that is left.
		noun := base
		noun.Name = name
		if len(out.nouns) > 0 {
			noun.Name += "/" + strconv.Itoa(len(out.nouns))
		}
		noun.Hostnames = left[0].hosts
		var others matches
		for i := range left {
			if !equal(left[i].hosts, noun.Hostnames) {
				others = append(others, left[i])
				continue
			}
			noun.Matches = left[i].nouns(noun.Matches)
		}
		out.nouns = append(out.nouns, &noun)
		left = others
	}
	return out
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// nouns appends one match for each method.
func (p *pattern) nouns(to []model.Match) []model.Match {
	m := model.Match{
		PathKind: p.kind, Path: p.path,
		Headers: p.headers, Queries: p.queries, Cookies: p.cookies,
	}
	if len(p.methods) == 0 {
		return append(to, m)
	}
	for _, method := range p.methods {
		m.Method = method
		to = append(to, m)
	}
	return to
}

// filters are in the order of the words in the reference; that of running is
// the house's.
func (c *compiler) filters(r *route, out *rule) []model.Filter {
	var list []model.Filter
	if h := r.Headers; h != nil {
		if h.Request != nil {
			list = append(list, model.Filter{RequestHeaders: h.Request.noun()})
		}
		if h.Response != nil {
			list = append(list, model.Filter{ResponseHeaders: h.Response.noun()})
		}
	}
	if r.Redirect != nil {
		list = append(list, model.Filter{Redirect: r.Redirect.noun()})
	}
	if w := r.Rewrite; w != nil {
		list = append(list, model.Filter{Rewrite: &model.Rewrite{Hostname: string(w.Host), Path: edited(w.Path, w.Prefix)}})
	}
	if r.Respond != nil {
		list = append(list, model.Filter{Respond: r.Respond.noun()})
	}
	for i := range r.Mirror {
		m := &r.Mirror[i]
		numerator, denominator := m.share()
		list = append(list, model.Filter{Mirror: &model.Mirror{
			Service: c.service(string(m.To), m.at, ".mirror", out), Numerator: numerator, Denominator: denominator,
		}})
	}
	if r.Fault != nil {
		list = append(list, model.Filter{Fault: r.Fault.noun()})
	}
	if r.CORS != nil && !r.CORS.off {
		list = append(list, model.Filter{CORS: r.CORS.noun()})
	}
	if r.GRPC != nil && r.GRPC.web {
		if n := len(list); n > 0 && list[n-1].CORS != nil {
			exposeStatus(list[n-1].CORS)
		}
		list = append(list, model.Filter{GRPCWeb: &model.GRPCWeb{}})
	}
	if r.Transcode != nil {
		list = append(list, model.Filter{Transcode: r.Transcode.noun(c.doc.Path)})
	}
	return list
}

func (c *compiler) backends(r *route, out *rule) []model.Backend {
	if r.To == nil {
		return nil
	}
	list := make([]model.Backend, len(*r.To))
	for i := range *r.To {
		d := &(*r.To)[i]
		list[i] = model.Backend{Service: c.service(string(d.To), d.at, ".to", out), Weight: d.weight()}
	}
	return list
}

// service gives the name of the service that a text means. A name is noted,
// to be looked up when all documents are known.
func (c *compiler) service(s string, n *yaml.Node, field string, out *rule) string {
	if !isURL(s) {
		out.refs = append(out.refs, ref{name: s, at: c.doc.Origin(n, out.origin.Field+field)})
		return s
	}
	out.urls = append(out.urls, s)
	return c.urls.name(s, out.scheme, out.origin)
}

// isURL says whether a text that is known to be good describes a service
// itself.
func isURL(s string) bool { return strings.ContainsRune(s, ':') }

// urlServices are the services that URLs stand for, each once.
type urlServices struct {
	names map[string]string // of what is written
	list  []*model.Service
}

// name gives that of the service for s, for requests or, with a scheme, for
// connections.
func (u *urlServices) name(s string, scheme model.Protocol, at model.Origin) string {
	t, _, _ := parseTarget(s)
	if scheme != "" {
		t.forFlows(scheme)
		s = t.name
	}
	if name, ok := u.names[s]; ok {
		return name
	}
	if u.names == nil {
		u.names = map[string]string{}
	}
	if _, ok := u.names[t.name]; !ok {
		u.names[t.name] = t.name
		u.list = append(u.list, t.service(at))
	}
	u.names[s] = t.name
	return t.name
}
