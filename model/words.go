package model

import (
	"net/netip"
	"strings"
)

// isToken says whether s is a token (RFC 9110 §5.6.2): a header name or a
// method.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			continue
		}
		if strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// isFieldValue says whether s can stand in a header line (RFC 9110 §5.5): no
// control characters but tab, no space at either end.
func isFieldValue(s string) bool {
	if s != strings.Trim(s, " \t") {
		return false
	}
	return !hasControl(strings.ReplaceAll(s, "\t", " "))
}

// hasControl says whether s holds a control character.
func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// isHost says whether s is an IP address or a DNS name. Underscores are let
// through: names that container tools give contain them.
func isHost(s string) bool {
	if strings.ContainsRune(s, ':') {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return isName(strings.TrimSuffix(s, "."), true)
}

// isHostname says whether s can be compared with the host of a request: a DNS
// name in lower case, an IP address as it stands in a URL, or, where wild, a
// name after "*.".
func isHostname(s string, wild bool) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		return ok && err == nil && a.Is6()
	}
	if wild {
		s = strings.TrimPrefix(s, "*.")
	}
	return isName(s, false)
}

// isName checks the labels of a DNS name (RFC 1123 §2.1).
func isName(s string, upper bool) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if i == start || i-start > 63 || s[start] == '-' || s[i-1] == '-' {
				return false
			}
			start = i + 1
			continue
		}
		c := s[i]
		letter := c >= 'a' && c <= 'z' || upper && c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// covers says whether requests for the hostname route can arrive at a listener
// with the hostname listener: the two have a host in common.
func covers(listener, route string) bool {
	switch {
	case listener == "" || route == "" || listener == route:
		return true
	case strings.HasPrefix(listener, "*.") && strings.HasSuffix(route, listener[1:]):
		return true
	case strings.HasPrefix(route, "*.") && strings.HasSuffix(listener, route[1:]):
		return true
	}
	return false
}

// maxCaptures bounds the captures of a path template.
const maxCaptures = 8

// captures gives the names in a path template such as /files/{dir}/{rest...},
// or what is wrong with it.
func captures(path string) (names []string, wrong string) {
	rest := path
	for {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			if len(names) > maxCaptures {
				return nil, "has more than 8 captures"
			}
			return names, ""
		}
		if rest[open] == '}' {
			return nil, "has a } without a {"
		}
		end := strings.IndexByte(rest[open:], '}')
		if end < 0 {
			return nil, "has a { without a }"
		}
		name := rest[open+1 : open+end]
		after := rest[open+end+1:]
		plain, many := strings.CutSuffix(name, "...")
		switch {
		case !isCapture(plain):
			return nil, "has a capture without a proper name"
		case open == 0 || rest[open-1] != '/' || after != "" && after[0] != '/':
			return nil, "has a capture that is not a whole segment"
		case many && after != "":
			return nil, "goes on after {" + name + "}, which takes all the rest"
		}
		for _, n := range names {
			if n == plain {
				return nil, "names {" + plain + "} twice"
			}
		}
		names = append(names, plain)
		rest = after
	}
}

// isCapture says whether s can name a capture: letters, digits, - and _.
func isCapture(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}
