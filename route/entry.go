package route

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// Entry is one match of one rule on one listener.
type Entry struct {
	// Hostnames as they are in effect on the listener (see Intersect): exact
	// or wildcard; none means any host.
	Hostnames []string
	Match     model.Match
	// Order breaks ties; smaller goes first.
	Order model.Order
	// Rule is what Find gives back.
	Rule int32
	// Preflight says that the rule answers CORS preflights: where Match has a
	// method, the preflight for it matches too, for otherwise a rule for PUT
	// would never see the OPTIONS that a browser sends first.
	Preflight bool
}

// EntryError is a mistake of the user that left an entry out of the Table.
type EntryError struct {
	// Index of the entry in what Build was given.
	Index int
	Err   error
}

func (e EntryError) Error() string { return e.Err.Error() }
func (e EntryError) Unwrap() error { return e.Err }

// kind of path, in the order of precedence among paths with equally many
// literal characters.
type kind uint8

const (
	kindExact kind = iota
	kindTemplate
	kindRest // a template that ends in {name...}
	kindRegex
	kindPrefix
)

// entry is a compiled Entry.
type entry struct {
	from    Entry // Rule aside, which is in the brief
	kind    kind
	literal int    // literal characters of the path
	method  string // "" is any
	// path is the exact path, the prefix without trailing slash, the template,
	// or the literal text that a regex begins with.
	path    string
	regex   *regexp.Regexp
	params  []capture
	headers []fieldCheck
	queries []fieldCheck
	cookies []fieldCheck
}

// compile checks e and makes c of it.
func (c *entry) compile(e *Entry, res *regexes) error {
	m := &e.Match
	*c = entry{method: m.Method, from: *e}
	if err := c.compilePath(m, res); err != nil {
		return err
	}
	if m.Method != "" && !wire.ValidName(m.Method) {
		return fmt.Errorf("method %q is not a token", m.Method)
	}
	var err, errs error
	c.headers, err = compileFields("header", m.Headers, res)
	errs = errors.Join(errs, err)
	c.queries, err = compileFields("query parameter", m.Queries, res)
	errs = errors.Join(errs, err)
	c.cookies, err = compileFields("cookie", m.Cookies, res)
	return errors.Join(errs, err)
}

// brief makes the brief of the entry, places aside; methods holds one copy of each method.
func (c *entry) brief(methods map[string]string) brief {
	b := brief{matched: -1, method: c.method}
	b.bare = c.regex == nil && len(c.params)+len(c.headers)+len(c.queries)+len(c.cookies) == 0 &&
		(c.method == "" || !c.from.Preflight)
	if c.kind == kindPrefix {
		b.matched = int32(len(c.path))
	}
	if m, ok := methods[c.method]; ok {
		b.method = m
	} else {
		methods[c.method] = c.method
	}
	return b
}

func (c *entry) compilePath(m *model.Match, res *regexes) error {
	switch m.PathKind {
	case model.PathAny:
		c.kind = kindPrefix
		return nil
	case model.PathRegex:
		re, err := res.get(m.Path)
		if err != nil {
			return fmt.Errorf("path %w", err)
		}
		c.kind, c.regex, c.path = kindRegex, re, literalPrefix(m.Path)
		c.literal = len(c.path)
		return nil
	}
	if !strings.HasPrefix(m.Path, "/") {
		return fmt.Errorf("path %q does not begin with /", m.Path)
	}
	normal, ok := Normalize([]byte(m.Path), nil)
	if !ok {
		return fmt.Errorf("path %q is not a valid path: it climbs above the root, or has a character or encoding that a request's path cannot have", m.Path)
	}
	c.path = string(normal)
	switch m.PathKind {
	case model.PathExact:
		c.kind, c.literal = kindExact, len(c.path)
	case model.PathPrefix:
		c.path = strings.TrimSuffix(c.path, "/")
		c.kind, c.literal = kindPrefix, len(c.path)
	case model.PathTemplate:
		return c.compileTemplate()
	default:
		return fmt.Errorf("path kind %q is unknown: use exact, prefix, template or regex", m.PathKind)
	}
	return nil
}

// compare gives the order of precedence of two entries on one host; where it is
// 0, their positions decide.
func (c *entry) compare(o *entry) int {
	by, _ := c.precedence(o)
	return by
}

// precedence also says what decided.
func (c *entry) precedence(o *entry) (by int, what string) {
	if by = cmp.Compare(b2i(c.kind != kindExact), b2i(o.kind != kindExact)); by != 0 {
		return by, "an exact path"
	}
	if by = cmp.Compare(o.literal, c.literal); by != 0 {
		return by, "a longer path"
	}
	if by = cmp.Compare(c.kind, o.kind); by != 0 {
		return by, "a more specific kind of path"
	}
	if by = cmp.Compare(b2i(c.method == ""), b2i(o.method == "")); by != 0 {
		return by, "a method"
	}
	if by = cmp.Compare(len(o.headers), len(c.headers)); by != 0 {
		return by, "more header matches"
	}
	if by = cmp.Compare(len(o.queries), len(c.queries)); by != 0 {
		return by, "more query matches"
	}
	if by = cmp.Compare(len(o.cookies), len(c.cookies)); by != 0 {
		return by, "more cookie matches"
	}
	if by = cmp.Compare(c.from.Order.Created, o.from.Order.Created); by != 0 {
		return by, "an earlier creation"
	}
	if by = cmp.Compare(c.from.Order.Name, o.from.Order.Name); by != 0 {
		return by, "a name that sorts first"
	}
	return cmp.Compare(c.from.Order.Index, o.from.Order.Index), "an earlier place"
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// matches says whether the entry, whose path the tree has matched (but for a
// regex), matches in everything else.
func (c *entry) matches(h *wire.Head, hit *Hit) bool {
	if !c.matchesMethod(h) {
		return false
	}
	if c.regex != nil && !c.matchesRegex(h.Path) {
		return false
	}
	for i := range c.headers {
		if v, ok := header(h, &c.headers[i], hit); !c.headers[i].holds(v, ok) {
			return false
		}
	}
	for i := range c.queries {
		if v, ok := query(h, c.queries[i].name, hit); !c.queries[i].holds(v, ok) {
			return false
		}
	}
	for i := range c.cookies {
		if v, ok := cookie(h, c.cookies[i].name); !c.cookies[i].holds(v, ok) {
			return false
		}
	}
	return true
}

// matchesMethod compares with case (RFC 9110 section 9.1).
func (c *entry) matchesMethod(h *wire.Head) bool {
	if c.method == "" || c.method == string(h.Method) {
		return true
	}
	if !c.from.Preflight || string(h.Method) != "OPTIONS" || !h.Has(wire.KeyOrigin) {
		return false
	}
	wanted, _ := h.Get(wire.KeyACRequestMethod)
	return string(wanted) == c.method
}

// matchesRegex looks at the literal text first, which is cheap.
func (c *entry) matchesRegex(path []byte) bool {
	return len(path) >= len(c.path) && string(path[:len(c.path)]) == c.path && c.regex.Match(path)
}
