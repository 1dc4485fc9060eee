package short

import (
	"regexp/syntax"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// matches are alternatives.
type matches []pattern

// pattern is one way in which a request may match: any of the methods, any of
// the hosts, and all of the rest.
type pattern struct {
	methods                   []string
	hosts                     []string
	kind                      model.PathKind
	path                      string
	headers, queries, cookies []model.FieldMatch
	flow                      *spot // of connections, not of requests
}

// ReadNode takes a text, an object, or a list of these.
func (m *matches) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			var p pattern
			in.Item(i, c, &p)
			*m = append(*m, p)
		}
		if len(n.Content) == 0 {
			in.Wrong(n, "at least one match", "NAME: /")
		}
		return
	}
	var p pattern
	in.Into(n, &p)
	*m = append(*m, p)
}

// ReadNode takes "METHOD host/path" or an object.
func (p *pattern) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		p.readObject(in, n)
		return
	}
	if n.Kind != yaml.ScalarNode {
		in.Wrong(n, "a match", "NAME: GET api.example.com/orders")
		return
	}
	if wrong, hint := p.parse(n.Value); wrong != "" {
		in.Problem(n, "bad-value", wrong, hint)
	}
	p.doubtMethods(in, n)
}

// doubtMethods warns of methods that look like misspelt ones. Methods of
// people's own are allowed.
func (p *pattern) doubtMethods(in *dialect.Decoder, n *yaml.Node) {
	for _, m := range p.methods {
		if near := dialect.Nearest(m, usualMethods); near != "" && near != strings.ToUpper(m) {
			in.Doubt(n, "bad-method", "only requests with the unusual method "+m+" match", "did you mean "+near+"?")
		}
	}
}

var usualMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

// parse reads "METHOD,METHOD host/path", each part optional, and says what is
// wrong with it.
func (p *pattern) parse(s string) (wrong, hint string) {
	s = strings.TrimSpace(s)
	if scheme, address, ok := strings.Cut(s, "://"); ok && ofFlows(scheme) != "" {
		p.flow, wrong, hint = parseSpot(ofFlows(scheme), address)
		return wrong, hint
	}
	first, rest, more := strings.Cut(s, " ")
	switch {
	case isMethods(first) && (more || isUsual(first)):
		p.methods = strings.Split(first, ",")
		s = strings.TrimSpace(rest)
	case more && isMethods(strings.ToUpper(first)) && isUsual(strings.ToUpper(first)):
		return "methods are written in capitals: " + first, "write " + strings.ToUpper(first)
	case s == "":
		return "an empty match", "write / for every request"
	}
	at := strings.IndexAny(s, "/=~")
	if scheme := strings.Index(s, "://"); scheme >= 0 && scheme < at {
		return "a match has no scheme: " + s, "leave out " + s[:scheme+3]
	}
	host, path := s, ""
	if at >= 0 {
		host, path = strings.TrimSpace(s[:at]), s[at:]
	}
	if host != "" {
		if strings.Contains(host, " ") {
			return "a match is a method, a host and a path, and this has more: " + s, "for example GET api.example.com/orders"
		}
		if host, wrong, hint = cleanHost(host); wrong != "" {
			return wrong, hint
		}
		if wrong, hint = oneWord(s, host, path); wrong != "" {
			return wrong, hint
		}
		p.hosts = []string{host}
	}
	return p.parsePath(path)
}

// oneWord refuses a host of one word where a path or a method was more likely
// meant.
func oneWord(s, host, path string) (wrong, hint string) {
	if strings.ContainsAny(host, ".:*") || host == "localhost" {
		return "", ""
	}
	if near := dialect.Nearest(s, usualMethods); near != "" && isMethods(s) {
		return "there is no method " + s, "did you mean " + near + "?"
	}
	long := "match: {host: " + host
	if path != "" {
		long += ", path: " + strconv.Quote(path)
	}
	return "a path begins with /: " + s, "write /" + s + ", or for a host of one word " + long + "}"
}

// isMethods says whether s looks like "GET" or "GET,HEAD".
func isMethods(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'A' || c > 'Z') && c != ',' && c != '-' {
			return false
		}
	}
	return s != "" && s[0] != ',' && s[len(s)-1] != ',' && !strings.Contains(s, ",,")
}

func isUsual(s string) bool {
	first, _, _ := strings.Cut(s, ",")
	for _, m := range usualMethods {
		if m == first {
			return true
		}
	}
	return false
}

// parsePath reads "/prefix", "/template/{id}", "=/exact" and "~regex".
func (p *pattern) parsePath(s string) (wrong, hint string) {
	switch {
	case s == "":
		p.kind, p.path = model.PathPrefix, "/"
		return "", ""
	case s[0] == '~':
		return p.regex(strings.TrimSpace(s[1:]))
	case s[0] == '=':
		p.kind, p.path = model.PathExact, strings.TrimSpace(s[1:])
	case strings.ContainsAny(s, "{}"):
		p.kind, p.path = model.PathTemplate, s
		if wrong = badTemplate(s); wrong != "" {
			return wrong + ": " + s, "write /orders/{id}, or /files/{rest...} for all that follows"
		}
	default:
		p.kind, p.path = model.PathPrefix, s
		if len(s) > 1 {
			p.path = strings.TrimRight(s, "/")
		}
		if p.path == "" {
			p.path = "/"
		}
	}
	switch {
	case !strings.HasPrefix(p.path, "/"):
		return "a path begins with /: " + s, "write /" + strings.TrimLeft(s, "=")
	case strings.ContainsAny(p.path, " \t\n"):
		return "a path has no spaces: " + s, "a space in a URL is %20"
	case strings.ContainsAny(p.path, "?#"):
		return "a path has no ? and no #: " + s, "match query parameters with query:"
	case p.kind != model.PathExact && strings.Contains(p.path, "/:"):
		return "a variable is written in braces: " + s, "write " + braced(s) + ", or =" + s + " where the colon is meant"
	case strings.Contains(p.path, "*"):
		return "a path has no *: " + s, "a path covers all that is below it; write " + starless(s)
	}
	return "", ""
}

// starless is what somebody who wrote a * most likely meant.
func starless(s string) string {
	s = strings.TrimRight(s, "*/")
	if s == "" {
		return "/"
	}
	if !strings.Contains(s, "*") {
		return s
	}
	return strings.ReplaceAll(s, "*", "{name}")
}

// braced writes the variables of other routers, "/orders/:id", as ours.
func braced(s string) string {
	parts := strings.Split(s, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func (p *pattern) regex(s string) (wrong, hint string) {
	p.kind, p.path = model.PathRegex, s
	if s == "" {
		return "an empty regular expression", "write ~/v[0-9]+/.*"
	}
	return badRegex(s)
}

// badRegex says what is wrong with a regular expression.
func badRegex(s string) (wrong, hint string) {
	if _, err := syntax.Parse(s, syntax.Perl); err != nil {
		return "a regular expression that can not be read: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "),
			"the syntax is RE2's: no back references, no look-around"
	}
	return "", ""
}

// badTemplate says what is wrong with the captures of a path.
func badTemplate(s string) string {
	seen := map[string]bool{}
	segments := strings.Split(s, "/")
	for i, segment := range segments {
		if !strings.ContainsAny(segment, "{}") {
			continue
		}
		name, ok := strings.CutPrefix(segment, "{")
		if name, ok = cutBoth(name, ok); !ok {
			return "a capture is a whole segment"
		}
		name, rest := strings.CutSuffix(name, "...")
		switch {
		case rest && i < len(segments)-1:
			return "a capture of all the rest must be the last segment"
		case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
			return "a capture has a name of letters, digits, - and _"
		case seen[name]:
			return "{" + name + "} is captured twice"
		}
		seen[name] = true
	}
	return ""
}

func cutBoth(name string, ok bool) (string, bool) {
	name, closed := strings.CutSuffix(name, "}")
	return name, ok && closed && !strings.ContainsAny(name, "{}")
}

// readObject reads the long form.
func (p *pattern) readObject(in *dialect.Decoder, n *yaml.Node) {
	var m match
	in.Into(n, &m)
	at := func(name string) *yaml.Node {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
		return n
	}
	bad := func(name, wrong, hint string) {
		if wrong != "" {
			in.Enter(name)
			in.Problem(at(name), "bad-value", wrong, hint)
			in.Leave()
		}
	}
	for _, method := range m.Method {
		if !isMethods(method) || strings.Contains(method, ",") {
			bad("method", "no method is named "+strconv.Quote(method), "write "+strings.ToUpper(method)+", or a list: [GET, HEAD]")
		}
	}
	p.methods = m.Method
	p.doubtMethods(in, at("method"))
	for _, h := range m.Host {
		host, wrong, hint := cleanHost(h)
		bad("host", wrong, hint)
		p.hosts = append(p.hosts, host)
	}
	switch {
	case m.Exact != "" && m.Path == "" && m.Regex == "":
		wrong, hint := p.parsePath("=" + string(m.Exact))
		bad("exact", wrong, hint)
	case m.Regex != "" && m.Path == "" && m.Exact == "":
		wrong, hint := p.regex(string(m.Regex))
		bad("regex", wrong, hint)
	case m.Exact == "" && m.Regex == "":
		wrong, hint := p.parsePath(string(m.Path))
		bad("path", wrong, hint)
	default:
		in.Problem(n, "bad-value", "a match has one of path, exact and regex", "a list of matches holds if one of them does")
	}
	p.headers, p.queries, p.cookies = m.Headers, m.Query, m.Cookies
}

// conditions are names and what their values must be.
type conditions []model.FieldMatch

// ReadNode takes a mapping of names to values or objects.
func (c *conditions) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	in.Pairs(n, `NAME: {x-name: value}`, func(key, value *yaml.Node) {
		f := model.FieldMatch{Name: key.Value}
		switch {
		case value.Kind == yaml.MappingNode:
			var long condition
			in.Into(value, &long)
			switch {
			case long.Exact != nil && long.Regex == "" && long.Present == nil:
				f.Kind, f.Value = model.FieldExact, string(*long.Exact)
			case long.Exact == nil && long.Regex != "" && long.Present == nil:
				f.Kind, f.Value = model.FieldRegex, string(long.Regex)
			case long.Exact == nil && long.Regex == "" && long.Present != nil:
				f.Kind = model.FieldAbsent
				if *long.Present {
					f.Kind = model.FieldPresent
				}
			default:
				in.Problem(value, "bad-value", "a condition is one of exact, regex and present", "")
			}
		case value.Kind != yaml.ScalarNode:
			in.Wrong(value, "a value or an object", "NAME: value")
		case value.Value == "*":
			f.Kind = model.FieldPresent
		case strings.HasPrefix(value.Value, "~"):
			f.Kind, f.Value = model.FieldRegex, value.Value[1:]
		default:
			f.Kind, f.Value = model.FieldExact, value.Value
		}
		if f.Kind == model.FieldRegex {
			if wrong, hint := badRegex(f.Value); wrong != "" {
				in.Problem(value, "bad-value", wrong, hint)
			}
		}
		*c = append(*c, f)
	})
}
