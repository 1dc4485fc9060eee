package transcode

import (
	"fmt"
	"strings"
)

// template is a path of a google.api.http rule:
//
//	Template = "/" Segments [ Verb ] ;
//	Segments = Segment { "/" Segment } ;
//	Segment  = "*" | "**" | LITERAL | Variable ;
//	Variable = "{" FieldPath [ "=" Segments ] "}" ;
//	Verb     = ":" LITERAL ;
type template struct {
	segments  []string // literals, "*" and "**"
	verb      string   // without the colon
	variables []variable
}

// variable is a part of the path that fills a field.
type variable struct {
	field    string // path of names, with dots
	from, to int    // segments; to is the end of the path where that is "**"
	rest     bool   // ends with "**"
	single   bool   // is one "*": a slash may be encoded in it
}

// parseTemplate reads a template. The error says what is wrong in the words of
// its grammar.
func parseTemplate(s string) (*template, error) {
	t := &template{}
	rest, ok := strings.CutPrefix(s, "/")
	if !ok {
		return nil, fmt.Errorf("it does not begin with /")
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.ContainsAny(rest[i:], "/}") {
		t.verb, rest = rest[i+1:], rest[:i]
		if t.verb == "" {
			return nil, fmt.Errorf("nothing stands after the colon")
		}
	}
	if rest == "" && t.verb == "" {
		return t, nil // "/" alone
	}
	for {
		var err error
		if strings.HasPrefix(rest, "{") {
			rest, err = t.variable(rest)
		} else {
			var one string
			one, rest = cut(rest)
			err = t.add(one)
		}
		switch {
		case err != nil:
			return nil, err
		case rest == "":
			return t, nil
		case rest[0] != '/':
			return nil, fmt.Errorf("%q is not followed by /", s[:len(s)-len(rest)])
		}
		rest = rest[1:]
	}
}

// cut takes the first segment off.
func cut(s string) (one, rest string) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// add appends a segment that is not a variable.
func (t *template) add(one string) error {
	switch {
	case one == "":
		return fmt.Errorf("a segment is empty")
	case len(t.segments) > 0 && t.segments[len(t.segments)-1] == "**":
		return fmt.Errorf("** is not the last segment")
	case one == "*" || one == "**":
	case strings.ContainsAny(one, "{}*"):
		return fmt.Errorf("%q is neither text, * nor **", one)
	}
	t.segments = append(t.segments, one)
	return nil
}

// variable reads {field} or {field=segments}.
func (t *template) variable(s string) (rest string, err error) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return "", fmt.Errorf("a { is not closed")
	}
	field, pattern, given := strings.Cut(s[1:end], "=")
	if !given {
		pattern = "*"
	}
	if field == "" || strings.Contains(field, "/") {
		return "", fmt.Errorf("%q names no field", s[:end+1])
	}
	v := variable{field: field, from: len(t.segments), single: pattern == "*"}
	for pattern != "" {
		var one string
		one, pattern = cut(pattern)
		if err := t.add(one); err != nil {
			return "", err
		}
		if pattern == "/" {
			return "", fmt.Errorf("a segment is empty")
		}
		pattern = strings.TrimPrefix(pattern, "/")
	}
	if v.to = len(t.segments); v.to == v.from {
		return "", fmt.Errorf("%q names no segments", s[:end+1])
	}
	v.rest = t.segments[v.to-1] == "**"
	for _, other := range t.variables {
		if other.field == v.field {
			return "", fmt.Errorf("%s is bound twice", v.field)
		}
	}
	t.variables = append(t.variables, v)
	return s[end+1:], nil
}

// values gives what the variables take from a path that matches.
func (t *template) values(segments []string) ([]string, error) {
	all := make([]string, len(t.variables))
	for i, v := range t.variables {
		part := segments[v.from:min(v.to, len(segments))]
		if v.rest {
			part = segments[v.from:]
		}
		decoded := make([]string, len(part))
		for j, s := range part {
			d, err := unescape(s, !v.single)
			if err != nil {
				return nil, err
			}
			decoded[j] = d
		}
		all[i] = strings.Join(decoded, "/")
	}
	return all, nil
}

// unescape decodes percent-encoding. In a value of several segments an encoded
// slash stays encoded: it is not one that parts them.
func unescape(s string, keepSlash bool) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		var c byte
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends within its percent-encoding", s)
		}
		if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &c); err != nil {
			return "", fmt.Errorf("%q is not percent-encoding", s[i:i+3])
		}
		if c == '/' && keepSlash {
			b.WriteString(s[i : i+3])
		} else {
			b.WriteByte(c)
		}
		i += 2
	}
	return b.String(), nil
}
