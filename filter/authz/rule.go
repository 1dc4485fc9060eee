package authz

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// rule is a model.PolicyRule, compiled. The zero rule matches everything.
type rule struct {
	*verdict
	name string

	ports, notPorts           []uint16
	addresses, notAddresses   []netip.Prefix
	namespaces, notNamespaces []string
	principals, notPrincipals []pattern
	http                      bool // what follows is asked for, but for claims and CEL
	methods, notMethods       []string
	hosts, notHosts           []pattern
	paths, notPaths           []path
	headers                   []header
	claims                    []claim
	cel                       *expression
}

// pattern compares text.
type pattern struct {
	kind patternKind
	text string
}

type patternKind uint8

const (
	whole   patternKind = iota
	prefix              // what begins so
	suffix              // what ends so
	present             // anything that is there
)

func (p *pattern) holds(s string) bool {
	switch p.kind {
	case prefix:
		return strings.HasPrefix(s, p.text)
	case suffix:
		return strings.HasSuffix(s, p.text)
	case present:
		return s != ""
	}
	return s == p.text
}

func patternOf(s string) pattern {
	switch {
	case s == "*":
		return pattern{kind: present}
	case strings.HasSuffix(s, "*"):
		return pattern{prefix, s[:len(s)-1]}
	case strings.HasPrefix(s, "*"):
		return pattern{suffix, s[1:]}
	}
	return pattern{whole, s}
}

// identities are patterns; NAMESPACE/ACCOUNT is of the trust domain.
func identities(list []string, domain string) (all []pattern) {
	for _, s := range list {
		namespace, account, ok := strings.Cut(s, "/")
		if ok && namespace != "" && !strings.ContainsAny(namespace, "*:") {
			s = "spiffe://" + domain + "/ns/" + namespace + "/sa/" + account
		}
		all = append(all, patternOf(s))
	}
	return all
}

func patterns(list []string) (all []pattern) {
	for _, s := range list {
		all = append(all, patternOf(s))
	}
	return all
}

// path compares a path, whole, by pattern or by template.
type path struct {
	pattern
	segments []string // of a template, "" for {name}
	rest     bool     // its last is {name...}
	other    *path    // what a reading is compared with; nil is this one
}

func pathOf(s string) path {
	p := writtenPath(s)
	if o := reading([]byte(s)); o != nil {
		as := writtenPath(string(o))
		p.other = &as
	}
	return p
}

func writtenPath(s string) path {
	if !strings.Contains(s, "{") {
		return path{pattern: patternOf(s)}
	}
	var p path
	for seg := range strings.SplitSeq(s[1:], "/") {
		switch {
		case strings.HasSuffix(seg, "...}"):
			p.rest = true
			continue
		case strings.HasPrefix(seg, "{"):
			seg = ""
		}
		p.segments = append(p.segments, seg)
	}
	return p
}

func (p *path) holds(b []byte) bool {
	if p.segments == nil && !p.rest {
		switch p.kind {
		case prefix:
			return len(b) >= len(p.text) && string(b[:len(p.text)]) == p.text
		case suffix:
			return len(b) >= len(p.text) && string(b[len(b)-len(p.text):]) == p.text
		case present:
			return true
		}
		return string(b) == p.text
	}
	if len(b) == 0 || b[0] != '/' {
		return false
	}
	b = b[1:]
	for _, want := range p.segments {
		if b == nil {
			return false // fewer than there must be
		}
		seg := b
		if n := bytes.IndexByte(b, '/'); n >= 0 {
			seg, b = b[:n], b[n+1:]
		} else {
			b = nil
		}
		if want == "" && len(seg) == 0 || want != "" && string(seg) != want {
			return false
		}
	}
	return b == nil || p.rest
}

// header compares a field of the request.
type header struct {
	key   wire.Key
	kind  model.FieldKind
	value string
	regex *regexp.Regexp
}

func (h *header) holds(head *wire.Head) bool {
	var v []byte
	there := false
	if h.key.ID == wire.Host {
		v, there = head.Authority, len(head.Authority) > 0
	} else {
		v, there = head.Joined(h.key, nil) // copies where there are several lines
	}
	switch h.kind {
	case model.FieldAbsent:
		return !there
	case model.FieldPresent:
		return there
	case model.FieldRegex:
		return there && h.regex.Match(v)
	}
	return there && string(v) == h.value
}

// claim compares a claim of the caller.
type claim struct {
	name   string
	path   []string // of name, where it has dots
	values []string
	number []float64 // of values, NaN where it is none
}

func (c *claim) holds(all map[string]any) bool {
	v, ok := all[c.name]
	if !ok && len(c.path) > 1 {
		v = all
		for _, step := range c.path {
			m, isMap := v.(map[string]any)
			if !isMap {
				return false
			}
			v = m[step]
		}
	}
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, c.is)
	}
	return c.is(v)
}

func (c *claim) is(v any) bool {
	switch v := v.(type) {
	case string:
		return slices.Contains(c.values, v)
	case bool:
		return v && slices.Contains(c.values, "true") || !v && slices.Contains(c.values, "false")
	case float64:
		return slices.Contains(c.number, v)
	}
	return false
}

// compile makes rule i of p.
func compile(p *model.Policy, i int, domain string) (*rule, error) {
	m := &p.Rules[i]
	r := &rule{
		name:  cmp.Or(m.Name, strconv.Itoa(i+1)),
		ports: m.Ports, notPorts: m.NotPorts,
		namespaces: m.Namespaces, notNamespaces: m.NotNamespaces,
		principals: identities(m.Principals, domain), notPrincipals: identities(m.NotPrincipals, domain),
		http:    m.HTTP(),
		methods: m.Methods, notMethods: m.NotMethods,
		hosts: patterns(m.Hosts), notHosts: patterns(m.NotHosts),
	}
	if p.Closed {
		return r, nil
	}
	for _, s := range append(slices.Clone(m.Principals), m.NotPrincipals...) {
		if hint := model.WrongPrincipal(s); hint != "" {
			return nil, fmt.Errorf("rule %s: principal %q: %s", r.name, s, hint)
		}
	}
	var err error
	if r.addresses, err = networks(m.Addresses); err == nil {
		r.notAddresses, err = networks(m.NotAddresses)
	}
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.name, err)
	}
	for _, list := range [...]struct {
		from []string
		to   *[]path
	}{{m.Paths, &r.paths}, {m.NotPaths, &r.notPaths}} {
		for _, s := range list.from {
			if hint := model.WrongPath(s); hint != "" {
				return nil, fmt.Errorf("rule %s: path %q: %s", r.name, s, hint)
			}
			*list.to = append(*list.to, pathOf(s))
		}
	}
	for _, f := range m.Headers {
		h := header{key: wire.KeyOf(f.Name), kind: f.Kind, value: f.Value}
		if f.Kind == model.FieldRegex {
			if h.regex, err = regexp.Compile("^(?:" + f.Value + ")$"); err != nil {
				return nil, fmt.Errorf("rule %s: header %s: %w", r.name, f.Name, err)
			}
		}
		r.headers = append(r.headers, h)
	}
	for _, c := range m.Claims {
		k := claim{name: c.Name, path: strings.Split(c.Name, "."), values: c.Values}
		for _, v := range c.Values {
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				k.number = append(k.number, f)
			}
		}
		r.claims = append(r.claims, k)
	}
	if m.CEL != "" {
		if r.cel, err = compileCEL(m.CEL); err != nil {
			return nil, fmt.Errorf("rule %s: cel: %w", r.name, err)
		}
	}
	return r, nil
}

func networks(list []string) (all []netip.Prefix, err error) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, wrong := netip.ParseAddr(s)
			if wrong != nil {
				return nil, fmt.Errorf("address %q: %w", s, err)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		all = append(all, p)
	}
	return all, nil
}

// matches says whether everything that the rule asks for holds, cheapest
// first. missing is what it makes of HTTP where there is none, and of a CEL
// expression that fails: true in a deny. Where a path can be read in two ways, it
// is enough in a deny that one matches, and both must in an allow.
func (r *rule) matches(d *Decider, in *input, missing bool) bool {
	if len(r.ports) > 0 && !slices.Contains(r.ports, in.port) || slices.Contains(r.notPorts, in.port) {
		return false
	}
	if len(r.addresses)+len(r.notAddresses) > 0 {
		a := in.remote.Addr().Unmap()
		if len(r.addresses) > 0 && !within(r.addresses, a) || within(r.notAddresses, a) {
			return false
		}
	}
	if len(r.namespaces)+len(r.notNamespaces) > 0 {
		// Those of our own mesh: a namespace of another is another's.
		ours := in.namespace != "" && in.domain == d.target.TrustDomain
		if len(r.namespaces) > 0 && !(ours && slices.Contains(r.namespaces, in.namespace)) || ours && slices.Contains(r.notNamespaces, in.namespace) {
			return false
		}
	}
	if len(r.principals) > 0 && !anyHolds(r.principals, in.identity) || anyHolds(r.notPrincipals, in.identity) {
		return false
	}
	if !r.http && r.cel == nil {
		return true
	}
	is := r.content(d, in, missing)
	if in.other != nil && is != missing {
		in.turn()
		is = r.content(d, in, missing)
		in.turn()
	}
	return is
}

// content is the part of matches that looks at what is asked for.
func (r *rule) content(d *Decider, in *input, missing bool) bool {
	if r.http {
		if in.x == nil {
			if !missing {
				return false
			}
		} else if !r.asked(in, missing) {
			return false
		}
	}
	return r.cel == nil || r.cel.holds(d, r, in, missing)
}

// asked says whether what a request has is as the rule wants it. Methods differ by
// case (RFC 9110 section 9.1), and many services do not care: one in another case
// is what a deny names, and what an allow excludes.
func (r *rule) asked(in *input, missing bool) bool {
	h := &in.x.Request
	if len(r.methods) > 0 && !named(r.methods, h.Method, missing) || named(r.notMethods, h.Method, !missing) {
		return false
	}
	if len(r.hosts) > 0 && !anyHost(r.hosts, h.Authority) || anyHost(r.notHosts, h.Authority) {
		return false
	}
	if len(r.paths) > 0 && !anyPath(r.paths, in) || anyPath(r.notPaths, in) {
		return false
	}
	for i := range r.headers {
		if !r.headers[i].holds(h) {
			return false
		}
	}
	for i := range r.claims {
		if in.x.Caller == nil || !r.claims[i].holds(in.x.Caller.Claims) {
			return false
		}
	}
	return true
}

// named says whether a method is in a list, in any case where fold says so.
func named(list []string, b []byte, fold bool) bool {
	for _, s := range list {
		if s == string(b) || fold && strings.EqualFold(s, string(b)) {
			return true
		}
	}
	return false
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// anyHolds: nobody is no pattern's.
func anyHolds(list []pattern, s string) bool {
	if s == "" {
		return false
	}
	for i := range list {
		if list[i].holds(s) {
			return true
		}
	}
	return false
}

func anyPath(list []path, in *input) bool {
	for i := range list {
		p := &list[i]
		if in.turned && p.other != nil {
			p = p.other
		}
		if p.holds(in.path) {
			return true
		}
	}
	return false
}

// anyHost compares hosts without case, port and the dot of the root: all these
// spellings reach the same service.
func anyHost(list []pattern, b []byte) bool {
	if len(list) == 0 {
		return false
	}
	if i := bytes.LastIndexByte(b, ':'); i >= 0 && bytes.IndexByte(b[i:], ']') < 0 {
		b = b[:i]
	}
	b = bytes.TrimSuffix(b, []byte{'.'})
	for i := range list {
		p := &list[i]
		switch {
		case p.kind == whole && wire.EqualFold(b, p.text), p.kind == present:
			return true
		case p.kind == suffix && len(b) > len(p.text) && wire.EqualFold(b[len(b)-len(p.text):], p.text):
			return true
		}
	}
	return false
}
