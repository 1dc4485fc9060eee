package route

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// fieldCheck is a compiled model.FieldMatch.
type fieldCheck struct {
	kind  model.FieldKind
	name  string
	key   wire.Key // of a header
	value string
	regex *regexp.Regexp
}

func compileFields(what string, ms []model.FieldMatch, res *regexes) ([]fieldCheck, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	cs := make([]fieldCheck, len(ms))
	for i, m := range ms {
		c := fieldCheck{kind: m.Kind, name: m.Name, value: m.Value}
		switch m.Kind {
		case model.FieldExact, model.FieldPresent, model.FieldAbsent:
		case model.FieldRegex:
			var err error
			if c.regex, err = res.get(m.Value); err != nil {
				return nil, fmt.Errorf("%s %s: %w", what, m.Name, err)
			}
		default:
			return nil, fmt.Errorf("%s %s: kind %q is unknown: use exact, regex, present or absent", what, m.Name, m.Kind)
		}
		switch {
		case what == "header":
			if !wire.ValidName(m.Name) {
				return nil, fmt.Errorf("header %q is not a field name", m.Name)
			}
			c.key = wire.KeyOf(m.Name)
		case m.Name == "":
			return nil, fmt.Errorf("a %s match needs a name", what)
		}
		cs[i] = c
	}
	return cs, nil
}

// holds says whether a value, there or not, is what is wanted.
func (c *fieldCheck) holds(v []byte, there bool) bool {
	switch c.kind {
	case model.FieldAbsent:
		return !there
	case model.FieldPresent:
		return there
	case model.FieldRegex:
		return there && c.regex.Match(v)
	}
	return there && string(v) == c.value
}

// header gives a header's value, repeated lines joined. "Host" is the
// authority: Fields do not have it.
func header(h *wire.Head, c *fieldCheck, hit *Hit) ([]byte, bool) {
	if c.key.ID == wire.Host {
		return h.Authority, len(h.Authority) > 0
	}
	i := h.Next(c.key, 0)
	if i < 0 {
		return nil, false
	}
	if h.Next(c.key, i+1) < 0 {
		return h.Value(&h.Fields[i]), true
	}
	v, _ := h.Joined(c.key, hit.tmp)
	hit.tmp = v[:0]
	return v, true
}

// Query gives the first value of a query parameter of h, decoded; it is lent
// until the Hit is used again.
func (hit *Hit) Query(h *wire.Head, name string) ([]byte, bool) { return query(h, name, hit) }

// query gives the first value of a query parameter, decoded. A parameter
// without "=" has the value "".
func query(h *wire.Head, name string, hit *Hit) ([]byte, bool) {
	for q := h.Query; len(q) > 0; {
		pair := q
		if i := bytes.IndexByte(q, '&'); i >= 0 {
			pair, q = q[:i], q[i+1:]
		} else {
			q = nil
		}
		var value []byte
		if i := bytes.IndexByte(pair, '='); i >= 0 {
			pair, value = pair[:i], pair[i+1:]
		}
		if len(pair) == 0 || string(hit.unescape(pair)) != name {
			continue
		}
		return hit.unescape(value), true
	}
	return nil, false
}

// unescape decodes percent encodings and "+" of a query (the form encoding of
// the URL standard); a broken encoding stands for itself. The result is b or
// lies in hit.tmp.
func (hit *Hit) unescape(b []byte) []byte {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return b
	}
	out := hit.tmp[:0]
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(b):
			if hi, lo := unhex(b[i+1]), unhex(b[i+2]); hi >= 0 && lo >= 0 {
				c = byte(hi<<4 | lo)
				i += 2
			}
		}
		out = append(out, c)
	}
	hit.tmp = out[:0]
	return out
}

// Cookie gives the first value of a cookie of h, as written; it is lent until h
// changes.
func Cookie(h *wire.Head, name string) ([]byte, bool) { return cookie(h, name) }

// cookie gives the first value of a cookie, as written (RFC 6265 section 5.4;
// HTTP/2 may split the field into several lines).
func cookie(h *wire.Head, name string) ([]byte, bool) {
	for i := h.Next(wire.KeyCookie, 0); i >= 0; i = h.Next(wire.KeyCookie, i+1) {
		for line := h.Value(&h.Fields[i]); len(line) > 0; {
			pair := line
			if j := bytes.IndexByte(line, ';'); j >= 0 {
				pair, line = line[:j], line[j+1:]
			} else {
				line = nil
			}
			for len(pair) > 0 && (pair[0] == ' ' || pair[0] == '\t') {
				pair = pair[1:]
			}
			if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
				return bytes.TrimRight(pair[len(name)+1:], " \t"), true
			}
		}
	}
	return nil, false
}
