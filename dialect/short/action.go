package short

import (
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
)

// ReadNode takes https, a URL, a path or an object.
func (r *redirect) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		type plain redirect
		in.Into(n, (*plain)(r))
		r.check(in, n)
		return
	}
	var t text
	in.Into(n, &t)
	switch s := string(t); {
	case s == "https":
		r.Scheme, r.Status = "https", 301
	case strings.HasPrefix(s, "/"):
		r.Path = &t
	case strings.Contains(s, "://"):
		r.readURL(in, n, s)
	default:
		in.Wrong(n, "https, a URL or a path", "NAME: https, or NAME: https://new.example.com")
	}
}

func (r *redirect) readURL(in *dialect.Decoder, n *yaml.Node, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		in.Wrong(n, "a URL with a scheme, a host and maybe a path", "NAME: https://new.example.com/shop")
		return
	}
	r.Scheme, r.Host = text(u.Scheme), text(u.Hostname())
	if p := u.Port(); p != "" {
		r.Port, _ = strconv.Atoi(p) // url.Parse takes digits only; check bounds them
	}
	if u.Path != "" && u.Path != "/" {
		path := text(u.Path)
		r.Path = &path
	}
	r.check(in, n)
}

func (r *redirect) check(in *dialect.Decoder, n *yaml.Node) {
	switch r.Status {
	case 0, 301, 302, 303, 307, 308:
	default:
		in.Problem(n, "bad-value", "no redirect has the status "+strconv.Itoa(r.Status), "301, 302, 303, 307 or 308")
	}
	if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" {
		in.Problem(n, "bad-value", "a redirect leads to http or https, not "+strconv.Quote(string(r.Scheme)), "")
	}
	if r.Port < 0 || r.Port > 65535 {
		in.Problem(n, "bad-value", "no port is numbered "+strconv.Itoa(r.Port), "from 1 to 65535")
	}
	if *r == (redirect{Status: r.Status}) {
		in.Problem(n, "bad-value", "the redirect leads to where the request was", "say scheme, host, port, path or prefix")
	}
	checkEdit(in, n, r.Path, r.Prefix)
}

// checkEdit checks the two ways to change a path, of which one may be there.
func checkEdit(in *dialect.Decoder, n *yaml.Node, path, prefix *text) {
	if path != nil && prefix != nil {
		in.Problem(n, "bad-value", "path and prefix exclude each other", "path is the whole path, prefix the part that the match had")
	}
	if path != nil && !strings.HasPrefix(string(*path), "/") {
		in.Problem(n, "bad-value", "a path begins with /: "+string(*path), "write /"+string(*path))
	}
	if prefix != nil && *prefix != "" && !strings.HasPrefix(string(*prefix), "/") {
		in.Problem(n, "bad-value", "a prefix begins with /: "+string(*prefix), "write /"+string(*prefix))
	}
}

// onlyScheme says whether nothing but http becomes https, on whatever port.
func (r *redirect) onlyScheme() bool {
	return *r == redirect{Scheme: "https", Port: r.Port, Status: r.Status}
}

func (r *redirect) noun() *model.Redirect {
	m := &model.Redirect{
		Scheme:   string(r.Scheme),
		Hostname: strings.ToLower(string(r.Host)),
		Port:     uint16(r.Port),
		Path:     edited(r.Path, r.Prefix),
		Status:   r.Status,
	}
	if m.Status == 0 {
		m.Status = 302
	}
	return m
}

func edited(path, prefix *text) *model.PathEdit {
	if path == nil && prefix == nil {
		return nil
	}
	return &model.PathEdit{Full: (*string)(path), Prefix: (*string)(prefix)}
}

// ReadNode takes 200, "200 text" or an object.
func (r *respond) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		type plain respond
		in.Into(n, (*plain)(r))
		if r.Status == 0 {
			r.Status = 200
		}
	} else {
		var t text
		in.Into(n, &t)
		status, body, _ := strings.Cut(strings.TrimSpace(string(t)), " ")
		code, err := strconv.Atoi(status)
		if err != nil {
			in.Wrong(n, "a status, and maybe a text", "NAME: 200 hello")
			return
		}
		r.Status, r.Body = code, text(unquote(strings.TrimSpace(body)))
	}
	if r.Status < 200 || r.Status > 599 {
		in.Problem(n, "bad-value", "no answer has the status "+strconv.Itoa(r.Status), "from 200 to 599")
	}
}

// unquote takes the quotes off a text that YAML sees as the tail of a plain
// scalar: respond: 200 "hello".
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		if u, err := strconv.Unquote(s); err == nil {
			return u
		}
		return s[1 : len(s)-1]
	}
	return s
}

func (r *respond) noun() *model.Respond {
	m := &model.Respond{Status: r.Status, Body: string(r.Body), Headers: r.Headers}
	if m.Body == "" {
		return m
	}
	for _, f := range m.Headers {
		if strings.EqualFold(f.Name, "content-type") {
			return m
		}
	}
	m.Headers = append(m.Headers[:len(m.Headers):len(m.Headers)], model.Field{Name: "content-type", Value: "text/plain; charset=utf-8"})
	return m
}

// ReadNode takes a path or an object.
func (r *rewrite) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		type plain rewrite
		in.Into(n, (*plain)(r))
	} else {
		r.auto = new(text)
		in.Into(n, r.auto)
		checkEdit(in, n, r.auto, nil)
	}
	checkEdit(in, n, r.Path, r.Prefix)
}

// ReadNode takes a format or an object.
func (l *logging) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		type plain logging
		in.Into(n, (*plain)(l))
		return
	}
	in.Into(n, &l.Format)
}

// ReadNode takes true, an origin, a list of origins or an object.
func (c *cors) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.MappingNode:
		type plain cors
		in.Into(n, (*plain)(c))
	case n.Tag == "!!bool":
		var on bool
		in.Into(n, &on)
		c.off = !on
	default:
		in.Into(n, &c.Origins)
	}
	for _, o := range c.Origins {
		if o != "*" && !strings.Contains(o, "://") {
			in.Problem(n, "bad-value", "an origin has a scheme and a host: "+strconv.Quote(o), "write https://"+o)
		}
	}
}

func (c *cors) noun() *model.CORS {
	return &model.CORS{
		Origins:       orAny(c.Origins),
		Methods:       orAny(c.Methods),
		Headers:       orAny(c.Headers),
		ExposeHeaders: c.Expose,
		Credentials:   c.Credentials,
		MaxAge:        c.MaxAge.duration(),
	}
}

func orAny(list words) []string {
	if len(list) == 0 {
		return []string{"*"}
	}
	return list
}

// ReadNode takes a duration or an object.
func (t *timeouts) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		type plain timeouts
		in.Into(n, (*plain)(t))
		return
	}
	t.Request = new(span)
	in.Into(n, t.Request)
}

// ReadNode checks the names to remove; set and add check their own.
func (e *edit) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	type plain edit
	in.Into(n, (*plain)(e))
	for _, name := range e.Remove {
		if !isFieldName(name) {
			in.Problem(n, "bad-value", "no header field can be named "+strconv.Quote(name), "letters, digits and -")
		}
	}
}

func (e *edit) noun() *model.HeaderEdit {
	return &model.HeaderEdit{Set: e.Set, Add: e.Add, Remove: e.Remove}
}
