package http1

import (
	"bytes"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

var (
	root     = []byte("/")
	asterisk = []byte("*")
)

// target takes a request target apart (RFC 9112 section 3.2). An absolute-form
// gives h.Authority, which otherwise stays empty. The scanner has let through
// only bytes of targetByte.
func target(h *wire.Head, t []byte) observe.Reason {
	if string(h.Method) == "CONNECT" {
		return observe.BadUpgrade
	}
	absolute := false
	if t[0] != '/' {
		if len(t) == 1 && t[0] == '*' {
			if string(h.Method) != "OPTIONS" {
				return observe.BadTarget
			}
			h.Path = asterisk
			return 0
		}
		rest, ok := afterScheme(t)
		if !ok {
			return observe.BadTarget
		}
		n := 0
		for n < len(rest) && rest[n] != '/' && rest[n] != '?' {
			n++
		}
		if !validAuthority(rest[:n]) {
			return observe.BadTarget
		}
		h.Authority = rest[:n:n]
		t = rest[n:]
		absolute = true
	}
	path := t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		path = t[:i]
		h.Query, h.HasQuery = t[i+1:len(t):len(t)], true
	}
	h.Path = path[:len(path):len(path)]
	if absolute && len(path) == 0 {
		h.Path = root
		if string(h.Method) == "OPTIONS" && !h.HasQuery {
			h.Path = asterisk // RFC 9112 section 3.2.4
		}
	}
	if !validPath(path) {
		return observe.BadTarget
	}
	return 0
}

// afterScheme gives what follows "http://" or "https://".
func afterScheme(t []byte) (rest []byte, ok bool) {
	for _, s := range [...]string{"http://", "https://"} {
		if len(t) > len(s) && wire.EqualFold(t[:len(s)], s) {
			return t[len(s):], true
		}
	}
	return nil, false
}

// validPath refuses what is decoded in different ways: a percent sign without
// two hexadecimal digits, an encoded NUL (where C programs end the path), and
// a backslash (a slash to some). In a query nobody decides by these, and
// browsers send them, so there they pass.
func validPath(p []byte) bool {
	if bytes.IndexByte(p, '\\') >= 0 {
		return false
	}
	for i := bytes.IndexByte(p, '%'); i >= 0; {
		if len(p)-i < 3 || hexValue(p[i+1]) > 15 || hexValue(p[i+2]) > 15 || p[i+1] == '0' && p[i+2] == '0' {
			return false
		}
		p = p[i+3:]
		i = bytes.IndexByte(p, '%')
	}
	return true
}

// validAuthority says whether a is a host name or an IP address, with an
// optional port. User information is refused (RFC 9110 section 4.2.4), and so
// is an empty host (section 4.2.1).
func validAuthority(a []byte) bool {
	i := 0
	if len(a) > 0 && a[0] == '[' {
		i = bytes.IndexByte(a, ']') + 1
		if i == 0 || !validIPv6(a[1:i-1]) {
			return false
		}
	} else {
		for i < len(a) && hostByte[a[i]] {
			i++
		}
		if i == 0 {
			return false
		}
	}
	if i == len(a) {
		return true
	}
	port := a[i+1:]
	if a[i] != ':' || len(port) > 5 {
		return false
	}
	n := 0
	for _, c := range port {
		if c < '0' || '9' < c {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

// validIPv6 checks the shape only: groups of hexadecimal digits and an
// optional IPv4 tail. The address decides nothing; it is compared as text.
func validIPv6(a []byte) bool {
	colons, digits := 0, 0
	for _, c := range a {
		switch {
		case c == ':':
			colons++
			digits = 0
		case c == '.':
			digits = 0
		case hexValue(c) <= 15:
			digits++
			if digits > 4 {
				return false
			}
		default:
			return false
		}
	}
	return colons >= 2 && colons <= 7 && len(a) <= 45
}
