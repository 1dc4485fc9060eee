package route

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// maxNear bounds what Explain gives.
const maxNear = 5

// Near is an entry with the reasons why it is not the winner.
type Near struct {
	// Rule is Entry.Rule, Index the entry's place in what Build was given.
	Rule  int32
	Index int
	// Host is the hostname pattern that was compared, "" for any.
	Host  string
	Match model.Match
	// Why lists what does not match, or by what the winner goes before an entry
	// that matches too. The winner has no reasons.
	Why []string

	misses int // conditions that do not hold
	kin    kinship
	shared int // bytes of the path that are as wanted
	rank   int
}

// kinship says how an entry that does not match is like the request.
type kinship uint8

const (
	stranger kinship = iota
	// cousin has another host and a path that matches, or a path that begins
	// like the one asked for. It tells something only where nothing matches.
	cousin
	// sibling has the host, and the path or the first segment of it.
	sibling
)

// Explain gives the winner, if there is one, and the entries that came near,
// at most 5 in all, nearest first. Arguments are those of Find. It looks at
// every entry: it is for people, not for the request path.
func (t *Table) Explain(h *wire.Head, host []byte) []Near {
	var buf [maxHost]byte
	name := string(canonical(host, &buf))
	var near []Near
	for i := range t.entries {
		n := t.entries[i].near(h, name, i)
		if n.kin == stranger {
			continue
		}
		near = append(near, n)
		near[len(near)-1].Rule, near[len(near)-1].Index = t.briefs[i].rule, int(t.briefs[i].source)
		if len(near) >= 64*maxNear {
			near = nearest(near)
		}
	}
	near = nearest(near)
	if len(near) > 0 && near[0].misses == 0 {
		near = slices.DeleteFunc(near, func(n Near) bool { return n.kin == cousin })
	}
	for i := range near {
		if i > 0 && near[i].misses == 0 {
			near[i].Why = []string{"matches too, but the winner has " + t.advantage(&near[0], &near[i])}
		}
	}
	return near
}

// nearest sorts near, entries that match first and in their precedence, and
// cuts it.
func nearest(near []Near) []Near {
	slices.SortFunc(near, func(a, b Near) int {
		if a.misses == 0 && b.misses == 0 {
			return cmp.Or(cmp.Compare(hostRank(a.Host), hostRank(b.Host)), cmp.Compare(a.rank, b.rank))
		}
		if a.misses == 0 || b.misses == 0 {
			return cmp.Compare(a.misses, b.misses)
		}
		return cmp.Or(cmp.Compare(b.kin, a.kin), cmp.Compare(a.misses, b.misses), cmp.Compare(b.shared, a.shared), cmp.Compare(a.rank, b.rank))
	})
	return near[:min(len(near), maxNear)]
}

// advantage says by what winner goes before other.
func (t *Table) advantage(winner, other *Near) string {
	if hostRank(winner.Host) != hostRank(other.Host) {
		return "a more specific host"
	}
	_, what := t.entries[winner.rank].precedence(t.entries[other.rank])
	return what
}

// hostRank orders patterns that cover one host: exact, longest wildcard, any.
func hostRank(pattern string) int {
	switch {
	case pattern == "":
		return maxHost + 1
	case pattern[0] == '*':
		return maxHost - len(pattern)
	}
	return -1
}

// near compares every condition of the entry.
func (c *entry) near(h *wire.Head, name string, rank int) Near {
	n := Near{Match: c.from.Match, rank: rank}
	var hit Hit
	miss := func(format string, args ...any) {
		n.misses++
		n.Why = append(n.Why, fmt.Sprintf(format, args...))
	}
	best, covered := "", len(c.from.Hostnames) == 0
	for _, p := range c.from.Hostnames {
		p = canonicalPattern(p)
		if covers(p, name) && (!covered || hostRank(p) < hostRank(best)) {
			best, covered = p, true
		}
	}
	n.Host = best
	if !covered {
		n.Host = canonicalPattern(c.from.Hostnames[0])
		n.misses++ // a wrong host is farther off than any other single miss
		miss("host %s is not %s", name, strings.Join(c.from.Hostnames, " or "))
	}
	matches, why := c.matchesPath(h.Path)
	if !matches {
		n.misses++
		miss("path %s %s", h.Path, why)
	}
	n.shared = sharedPrefix(h.Path, c.path)
	const alike = len("/abc")
	switch {
	case covered && (matches || sameSegment(h.Path, c.path)):
		n.kin = sibling
	case matches, covered && n.shared >= alike:
		n.kin = cousin
	}
	if !c.matchesMethod(h) {
		miss("method is %s, wanted %s", h.Method, c.method)
	}
	for i := range c.headers {
		k := &c.headers[i]
		v, ok := header(h, k, &hit)
		if !k.holds(v, ok) {
			miss("%s", k.why("header", v, ok))
		}
	}
	for i := range c.queries {
		k := &c.queries[i]
		v, ok := query(h, k.name, &hit)
		if !k.holds(v, ok) {
			miss("%s", k.why("query parameter", v, ok))
		}
	}
	for i := range c.cookies {
		k := &c.cookies[i]
		v, ok := cookie(h, k.name)
		if !k.holds(v, ok) {
			miss("%s", k.why("cookie", v, ok))
		}
	}
	return n
}

// why says in what the value differs from what is wanted.
func (c *fieldCheck) why(what string, v []byte, there bool) string {
	switch {
	case c.kind == model.FieldAbsent:
		return fmt.Sprintf("%s %s is there, wanted none", what, c.name)
	case !there:
		return fmt.Sprintf("%s %s is missing", what, c.name)
	case c.kind == model.FieldRegex:
		return fmt.Sprintf("%s %s is %q, which does not match %s", what, c.name, v, c.value)
	}
	return fmt.Sprintf("%s %s is %q, wanted %q", what, c.name, v, c.value)
}

// matchesPath compares without the tree.
func (c *entry) matchesPath(path []byte) (ok bool, why string) {
	switch c.kind {
	case kindExact:
		return string(path) == c.path, "is not " + c.path
	case kindRegex:
		return c.matchesRegex(path), "does not match " + c.from.Match.Path
	case kindPrefix:
		rest, ok := bytes.CutPrefix(path, []byte(c.path))
		return ok && (c.path == "" || len(rest) == 0 || rest[0] == '/'), "is not below " + c.path
	}
	why = "does not match " + c.path
	if len(path) == 0 || path[0] != '/' {
		return false, why
	}
	want := strings.Split(c.path[1:], "/")
	have := strings.Split(string(path[1:]), "/")
	captures := c.params
	for i, w := range want {
		if i >= len(have) {
			return false, why
		}
		if len(captures) > 0 && captures[0].segment == i {
			if captures[0].rest {
				return true, ""
			}
			captures = captures[1:]
			if have[i] == "" {
				return false, why
			}
		} else if have[i] != w {
			return false, why
		}
	}
	return len(have) == len(want), why
}

// sharedPrefix counts the bytes that path and wanted begin with alike.
func sharedPrefix(path []byte, wanted string) int {
	n := 0
	for n < len(path) && n < len(wanted) && path[n] == wanted[n] {
		n++
	}
	return n
}

// sameSegment says whether both begin with the same segment, which is not
// empty.
func sameSegment(path []byte, wanted string) bool {
	if len(path) < 2 || len(wanted) < 2 {
		return false
	}
	first, _, _ := bytes.Cut(path[1:], []byte("/"))
	want, _, _ := strings.Cut(wanted[1:], "/")
	return string(first) == want
}
