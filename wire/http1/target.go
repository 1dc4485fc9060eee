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
// only bytes of wire.TargetByte.
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
		if !wire.ValidAuthority(rest[:n]) {
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
	if !wire.ValidPath(path) {
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
