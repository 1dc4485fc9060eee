package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// filterList says whether all filters of a rule or a backend are right.
func (v *checker) filterList(r *Route, list []Filter) bool {
	said := 0
	for i := range list {
		wrong, hint := v.filter(r, &list[i])
		if wrong != "" {
			said++
			v.broken("bad-filter", "route "+r.Name+" has "+wrong, hint)
		}
	}
	return said == 0
}

// filter gives what is wrong with one, and what would be right.
func (v *checker) filter(r *Route, f *Filter) (wrong, hint string) {
	set := 0
	for _, is := range [...]bool{f.RequestHeaders != nil, f.ResponseHeaders != nil, f.Redirect != nil,
		f.Rewrite != nil, f.Respond != nil, f.Mirror != nil, f.CORS != nil, f.GRPCWeb != nil, f.Transcode != nil, f.Fault != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Sprintf("a filter of %d kinds", set), "give each filter one kind"
	case f.RequestHeaders != nil:
		return headerEdit(f.RequestHeaders)
	case f.ResponseHeaders != nil:
		return headerEdit(f.ResponseHeaders)
	case f.Redirect != nil:
		return redirect(r, f.Redirect)
	case f.Rewrite != nil:
		if h := f.Rewrite.Hostname; h != "" && !isHostPort(h) && !isHostname(strings.ToLower(h), false) {
			return "a rewrite to the host " + strconv.Quote(h), "write a host name"
		}
		return pathEdit(r, f.Rewrite.Path)
	case f.Respond != nil:
		return v.respond(r, f.Respond)
	case f.CORS != nil:
		return cors(f.CORS)
	case f.Transcode != nil:
		return transcode(f.Transcode)
	case f.Fault != nil:
		return fault(f.Fault)
	}
	return "", ""
}

// framing are the fields that belong to one connection. Setting them by hand
// would make the next server read the message differently.
var framing = []string{"connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade"}

func headerEdit(e *HeaderEdit) (wrong, hint string) {
	for _, list := range [...][]Field{e.Set, e.Add} {
		for _, f := range list {
			switch {
			case !isToken(f.Name):
				return "a header filter with the name " + strconv.Quote(f.Name), "a header name has no spaces and no colon"
			case !isFieldValue(f.Value):
				return "a header filter that gives " + f.Name + " the value " + strconv.Quote(f.Value), "a value has no line ends and no space around it"
			case isFraming(f.Name):
				return "a header filter that sets " + f.Name, "naru sets it by itself"
			}
		}
	}
	for _, name := range e.Remove {
		if !isToken(name) {
			return "a header filter that removes " + strconv.Quote(name), "a header name has no spaces and no colon"
		}
	}
	return "", ""
}

// isFraming says whether naru alone may set the field.
func isFraming(name string) bool {
	return slices.ContainsFunc(framing, func(n string) bool { return strings.EqualFold(n, name) })
}

func redirect(r *Route, d *Redirect) (wrong, hint string) {
	switch d.Scheme {
	case "", "http", "https":
	default:
		return "a redirect to the scheme " + strconv.Quote(d.Scheme), "write http or https"
	}
	if d.Hostname != "" && !isHostname(strings.ToLower(d.Hostname), false) {
		return "a redirect to the host " + strconv.Quote(d.Hostname), "write a host name"
	}
	switch d.Status {
	case 301, 302, 303, 307, 308:
	default:
		return fmt.Sprintf("a redirect with status %d", d.Status), "write 301, 302, 303, 307 or 308"
	}
	return pathEdit(r, d.Path)
}

func pathEdit(r *Route, p *PathEdit) (wrong, hint string) {
	switch {
	case p == nil:
		return "", ""
	case (p.Full == nil) == (p.Prefix == nil):
		return "a path edit that is not either full or prefix", "give one of the two"
	case p.Prefix != nil:
		if s := *p.Prefix; s != "" && s[0] != '/' || badPath(s) {
			return "a path edit to the prefix " + strconv.Quote(s), "a path begins with /"
		}
		return "", ""
	}
	s := *p.Full
	if s != "" && s[0] != '/' || badPath(s) {
		return "a path edit to " + strconv.Quote(s), "a path begins with /"
	}
	if !strings.ContainsAny(s, "{}") {
		return "", ""
	}
	return fills(r, s)
}

func badPath(s string) bool {
	return hasControl(s) || strings.ContainsAny(s, " #")
}

// fills checks that every {name} in the new path is captured by every match.
func fills(r *Route, path string) (wrong, hint string) {
	for rest := path; ; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			return "", ""
		}
		end := strings.IndexByte(rest[open:], '}')
		if rest[open] == '}' || end < 0 {
			return "a path edit with a brace left alone: " + strconv.Quote(path), "write {name}"
		}
		name := rest[open+1 : open+end]
		rest = rest[open+end+1:]
		captured := len(r.Matches) > 0
		for i := range r.Matches {
			names, _ := captures(r.Matches[i].Path)
			captured = captured && r.Matches[i].PathKind == PathTemplate && slices.Contains(names, name)
		}
		if !captured {
			return "a path edit to " + strconv.Quote(path) + ", but not every match captures {" + name + "}",
				"match a template such as /old/{" + name + "}"
		}
	}
}

func (v *checker) respond(r *Route, s *Respond) (wrong, hint string) {
	if s.Status < 200 || s.Status > 599 {
		return fmt.Sprintf("a response with status %d", s.Status), "write 200 to 599"
	}
	for _, f := range s.Headers {
		switch {
		case !isToken(f.Name):
			return "a response with the header name " + strconv.Quote(f.Name), "a header name has no spaces and no colon"
		case !isFieldValue(f.Value):
			return "a response that gives " + f.Name + " the value " + strconv.Quote(f.Value), "a value has no line ends and no space around it"
		case isFraming(f.Name):
			return "a response that sets " + f.Name, "naru sets it by itself"
		}
	}
	if s.Body != "" && (s.Status == 204 || s.Status == 304) {
		v.doubtful("unused", fmt.Sprintf("route %s answers %d with a body, which that status cannot have", r.Name, s.Status), "use 200")
	}
	return "", ""
}

// transcode checks what can be known without the file.
func transcode(t *Transcode) (wrong, hint string) {
	if t.Descriptors == "" {
		return "a translation to gRPC without descriptors", "name a file that protoc --descriptor_set_out --include_imports wrote"
	}
	for _, s := range t.Services {
		if s == "" || strings.ContainsAny(s, "/ ") || s[0] == '.' {
			return "a translation to the gRPC service " + strconv.Quote(s), "write the full name, such as shop.v1.Orders"
		}
	}
	if t.MaxBytes < 0 {
		return fmt.Sprintf("a translation to gRPC of messages of at most %d bytes", t.MaxBytes), "leave it out for the default, 4MiB"
	}
	return "", ""
}

func cors(c *CORS) (wrong, hint string) {
	if len(c.Origins) == 0 {
		return "a CORS filter that allows no origin", "name origins, or *"
	}
	for _, o := range c.Origins {
		if !isOrigin(o) {
			return "a CORS filter for the origin " + strconv.Quote(o), "write https://app.example.com, https://*.example.com or *"
		}
	}
	for _, list := range [...][]string{c.Methods, c.Headers, c.ExposeHeaders} {
		for _, name := range list {
			if !isToken(name) { // "*" is a token
				return "a CORS filter with the name " + strconv.Quote(name), "write method and header names, or *"
			}
		}
	}
	if c.MaxAge < 0 {
		return fmt.Sprintf("a CORS filter with a maximum age of %v", c.MaxAge), "leave it out for the default, 5s"
	}
	return "", ""
}

// isOrigin checks scheme://host[:port], where the host may begin with "*.".
func isOrigin(s string) bool {
	if s == "*" || s == "null" {
		return true
	}
	scheme, host, ok := strings.Cut(s, "://")
	if !ok || !isToken(scheme) {
		return false
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		port, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil || port == 0 {
			return false
		}
		host = host[:i]
	}
	return host == "*" || isHostname(strings.ToLower(host), true)
}
