package filter

import (
	"fmt"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// PathEdit is a compiled model.PathEdit, for redirects and rewrites.
type PathEdit struct {
	// full are the pieces of a whole new path: text, and names of captures.
	full []piece
	// prefix is what replaces the matched prefix, without trailing slash.
	prefix string
}

type piece struct {
	text    string // with braces, for a capture
	capture string // name; "" for text
}

// CompilePathEdit gives nil for nil.
func CompilePathEdit(m *model.PathEdit) (*PathEdit, error) {
	switch {
	case m == nil || m.Full == nil && m.Prefix == nil:
		return nil, nil
	case m.Full != nil && m.Prefix != nil:
		return nil, fmt.Errorf("a path is replaced in full or by prefix, not both")
	case m.Full != nil:
		path, err := cleanPath(*m.Full)
		if err != nil {
			return nil, err
		}
		return &PathEdit{full: pieces("/" + strings.TrimPrefix(path, "/"))}, nil
	}
	path, err := cleanPath(*m.Prefix)
	if err != nil {
		return nil, err
	}
	if path = strings.Trim(path, "/"); path != "" {
		path = "/" + path
	}
	return &PathEdit{prefix: path}, nil
}

// cleanPath checks a configured path and encodes what is beyond ASCII.
func cleanPath(p string) (string, error) {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		switch {
		case c <= ' ' || c == 0x7f || c == '?' || c == '#' || c == '\\':
			return "", fmt.Errorf("%q is not a path: %q must be percent-encoded", p, c)
		case c >= 0x80:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// pieces cuts a path at its captures.
func pieces(path string) []piece {
	var out []piece
	for path != "" {
		open := strings.IndexByte(path, '{')
		length := 0
		if open >= 0 {
			length = strings.IndexByte(path[open:], '}')
		}
		if open < 0 || length < 0 {
			return append(out, piece{text: path})
		}
		if open > 0 {
			out = append(out, piece{text: path[:open]})
		}
		text := path[open : open+length+1]
		out = append(out, piece{text: text, capture: strings.TrimSuffix(text[1:length], "...")})
		path = path[open+length+1:]
	}
	return out
}

// Append appends the edited path of x to out, and says how many of its bytes
// now stand for the matched prefix. out may lie in the same memory as the path,
// behind it. A capture that the match does not have stands for itself, braces
// included. "*" has no prefix and stays.
func (e *PathEdit) Append(out []byte, x *Exchange) (edited []byte, matched int) {
	path := x.Request.Path
	if e.full != nil {
		from := len(out)
		for i := range e.full {
			p := &e.full[i]
			if v, ok := x.param(p.capture); ok {
				out = append(out, v...)
			} else {
				out = append(out, p.text...)
			}
		}
		return out, len(out) - from
	}
	if len(path) == 0 || path[0] != '/' {
		return append(out, path...), len(path)
	}
	rest := path[min(x.Matched, len(path)):]
	out = append(out, e.prefix...)
	if len(rest) > 0 && rest[0] != '/' || len(rest) == 0 && e.prefix == "" {
		out = append(out, '/')
	}
	return append(out, rest...), len(e.prefix)
}

// param gives the value of a capture.
func (x *Exchange) param(name string) ([]byte, bool) {
	if name == "" {
		return nil, false
	}
	for i := range x.Params {
		if x.Params[i].Name == name {
			return x.Params[i].Value, true
		}
	}
	return nil, false
}
