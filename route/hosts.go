package route

import (
	"bytes"
	"maps"

	"github.com/naru-mesh/naru/wire"
)

// maxHost is the longest host name that is looked up; DNS allows 253
// characters (RFC 1035 section 2.3.4). A longer one is served only by "any".
const maxHost = 255

// Hosts maps host names to values. A key is an exact name ("api.example.com"),
// a wildcard ("*.example.com": one or more labels in front of it, never
// "example.com" itself), or "" or "*": any host. The zero Hosts knows none.
type Hosts[T any] struct {
	exact   map[string]T
	wild    map[string]T // by what follows the "*": ".example.com"
	longest int          // length of the longest key of wild
	any     T
	hasAny  bool
}

// NewHosts makes Hosts that know none yet.
func NewHosts[T any]() *Hosts[T] { return &Hosts[T]{} }

// Add gives pattern, in any case, with or without trailing dot, a value; the
// last one counts. It must not be called while others use h.
func (h *Hosts[T]) Add(pattern string, v T) {
	pattern = canonicalPattern(pattern)
	switch {
	case pattern == "":
		h.any, h.hasAny = v, true
	case pattern[0] == '*':
		if h.wild == nil {
			h.wild = make(map[string]T)
		}
		h.wild[pattern[1:]] = v
		h.longest = max(h.longest, len(pattern)-1)
	default:
		if h.exact == nil {
			h.exact = make(map[string]T)
		}
		h.exact[pattern] = v
	}
}

// get gives the value of a canonical pattern itself.
func (h *Hosts[T]) get(pattern string) (v T, ok bool) {
	switch {
	case pattern == "":
		return h.any, h.hasAny
	case pattern[0] == '*':
		v, ok = h.wild[pattern[1:]]
	default:
		v, ok = h.exact[pattern]
	}
	return v, ok
}

// clone gives Hosts of their own to which may be added.
func (h *Hosts[T]) clone() *Hosts[T] {
	c := *h
	c.exact, c.wild = maps.Clone(h.exact), maps.Clone(h.wild)
	return &c
}

// Find gives the value of the most specific pattern that covers host: exact,
// then the longest wildcard, then any. host is as a request carries it: with or
// without port, in any case, with or without trailing dot.
func (h *Hosts[T]) Find(host []byte) (v T, ok bool) {
	var buf [maxHost]byte
	s := search{host: canonical(host, &buf)}
	return h.next(&s)
}

// FindString is Find for a string, such as a TLS server name.
func (h *Hosts[T]) FindString(host string) (v T, ok bool) {
	var buf [maxHost + 8]byte // room for a dot and a port
	if len(host) > len(buf) {
		return h.any, h.hasAny
	}
	return h.Find(buf[:copy(buf[:], host)])
}

// search is a position in the sequence of patterns that cover a host.
type search struct {
	host  []byte
	at    int // where in host the next wildcard is looked for
	stage uint8
}

const (
	stageExact = iota
	stageWild
	stageAny
	stageDone
)

// next gives the values of the patterns that cover s.host, most specific
// first, one at each call.
func (h *Hosts[T]) next(s *search) (v T, ok bool) {
	switch s.stage {
	case stageExact:
		s.stage = stageWild
		if v, ok = h.exact[string(s.host)]; ok && len(s.host) > 0 {
			return v, true
		}
		fallthrough
	case stageWild:
		if len(h.wild) > 0 {
			// The first label cannot be empty, so a dot is looked for from 1 on.
			s.at = max(s.at, 1, len(s.host)-h.longest)
			for s.at < len(s.host) {
				rest := s.host[s.at:]
				i := bytes.IndexByte(rest, '.')
				if i < 0 {
					break
				}
				s.at += i + 1
				if v, ok = h.wild[string(rest[i:])]; ok {
					return v, true
				}
			}
		}
		s.stage = stageAny
		fallthrough
	case stageAny:
		s.stage = stageDone
		return h.any, h.hasAny
	}
	return v, false
}

// canonical gives host in lower case without port and trailing dot; it is host
// itself or in buf. A host that is too long gives nil.
func canonical(host []byte, buf *[maxHost]byte) []byte {
	if len(host) > 0 && host[0] == '[' {
		if i := bytes.IndexByte(host, ']'); i > 0 {
			host = host[:i+1]
		}
	} else if i := bytes.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	if len(host) > maxHost {
		return nil
	}
	for i, c := range host {
		if 'A' <= c && c <= 'Z' {
			out := buf[:copy(buf[:], host)]
			for ; i < len(out); i++ {
				out[i] = wire.ToLower(out[i])
			}
			return out
		}
	}
	return host
}

// canonicalPattern gives a pattern in lower case without trailing dot, and any
// host as "".
func canonicalPattern(p string) string {
	b := []byte(p)
	for i, c := range b {
		b[i] = wire.ToLower(c)
	}
	if n := len(b); n > 1 && b[n-1] == '.' {
		b = b[:n-1]
	}
	if string(b) == "*" {
		return ""
	}
	return string(b)
}

// covers says whether every host that pattern b stands for is one that a
// stands for too; both canonical.
func covers(a, b string) bool {
	switch {
	case a == "" || a == b:
		return true
	case a[0] == '*':
		return len(b) >= len(a) && b[len(b)-len(a)+1:] == a[1:]
	}
	return false
}

// Intersect gives the hostnames under which a route with the given hostnames
// is served by a listener: of each pair that overlaps the narrower one. A
// listener of any host ("" or "*") lets the route's stand; a route without
// hostnames takes the listener's. nil and true mean any host; false means that
// the route is not served there at all.
func Intersect(listener string, route []string) ([]string, bool) {
	l := canonicalPattern(listener)
	if len(route) == 0 {
		if l == "" {
			return nil, true
		}
		return []string{l}, true
	}
	var out []string
	seen := make(map[string]bool, len(route))
	for _, r := range route {
		r = canonicalPattern(r)
		switch {
		case covers(l, r):
		case covers(r, l):
			r = l
		default:
			continue
		}
		if r == "" {
			return nil, true
		}
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out, len(out) > 0
}
