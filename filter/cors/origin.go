package cors

import (
	"fmt"
	"strings"

	"github.com/naru-mesh/naru/wire"
)

// origin is a compiled pattern: "*", "https://a.example", "https://a.example:8443"
// or, with a wildcard for one or more labels, "https://*.a.example".
type origin struct {
	any bool
	// before and after are what stands around the wildcard; all of an exact
	// origin is in before. Lower case, without a well-known port.
	before, after string
	wildcard      bool
}

func compileOrigin(pattern string) (origin, error) {
	if pattern == "*" {
		return origin{any: true}, nil
	}
	p := strings.ToLower(pattern)
	if p == "null" { // of sandboxed pages and files
		return origin{before: p}, nil
	}
	scheme, host, ok := strings.Cut(p, "://")
	host = strings.TrimSuffix(host, wellKnown(scheme))
	if !ok || wellKnown(scheme) == "" || host == "" || strings.Count(host, "*") > 1 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._:[]*") != "" {
		return origin{}, fmt.Errorf("origin %q is not \"*\", or http or https, \"://\", a host that may have one \"*\", and perhaps a port", pattern)
	}
	o := origin{}
	o.before, o.after, o.wildcard = strings.Cut(scheme+"://"+host, "*")
	return o, nil
}

// wellKnown gives ":" and the port that a scheme has by default.
func wellKnown(scheme string) string {
	switch scheme {
	case "https":
		return ":443"
	case "http":
		return ":80"
	}
	return ""
}

// allows says whether one of the patterns covers an Origin as it was sent.
func (c *cors) allows(sent []byte) bool {
	if !isOrigin(sent) {
		return false
	}
	trimmed := sent
	switch {
	case hasSuffixFold(sent, ":443") && hasPrefixFold(sent, "https:"):
		trimmed = sent[:len(sent)-4]
	case hasSuffixFold(sent, ":80") && hasPrefixFold(sent, "http:"):
		trimmed = sent[:len(sent)-3]
	}
	for i := range c.origins {
		if c.origins[i].covers(trimmed) {
			return true
		}
	}
	return false
}

func (o *origin) covers(s []byte) bool {
	if o.any || !o.wildcard {
		return o.any || wire.EqualFold(s, o.before)
	}
	if len(s) <= len(o.before)+len(o.after) || !hasPrefixFold(s, o.before) || !hasSuffixFold(s, o.after) {
		return false
	}
	for _, c := range s[len(o.before) : len(s)-len(o.after)] {
		if c == ':' { // a wildcard stands for labels, not for a port
			return false
		}
	}
	return true
}

// isOrigin says whether an Origin is one that could be echoed: a scheme and a
// host, without path, list or user.
func isOrigin(s []byte) bool {
	for i, c := range s {
		switch {
		case 'a' <= wire.ToLower(c) && wire.ToLower(c) <= 'z', '0' <= c && c <= '9':
		case c == '-' || c == '.' || c == '_' || c == ':' || c == '[' || c == ']' || c == '+':
		case c == '/' && i > 0 && (s[i-1] == ':' || s[i-1] == '/' && i > 1 && s[i-2] == ':'):
		default:
			return false
		}
	}
	return len(s) > 0
}

func hasPrefixFold(s []byte, lower string) bool {
	return len(s) >= len(lower) && wire.EqualFold(s[:len(lower)], lower)
}

func hasSuffixFold(s []byte, lower string) bool {
	return len(s) >= len(lower) && wire.EqualFold(s[len(s)-len(lower):], lower)
}
