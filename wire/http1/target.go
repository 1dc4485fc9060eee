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
// forward lets CONNECT in, whose authority-form leaves h.Path empty.
func target(h *wire.Head, t []byte, forward bool) observe.Reason {
	if string(h.Method) == "CONNECT" {
		switch {
		case !forward:
			return observe.BadUpgrade
		case !wire.ValidAuthority(t) || port(t) == nil:
			return observe.BadTarget
		}
		h.Authority = t[:len(t):len(t)]
		return 0
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

// port gives the port of a valid authority, nil where there is none or only 0.
func port(authority []byte) []byte {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 || authority[len(authority)-1] == ']' {
		return nil
	}
	digits := bytes.TrimLeft(authority[i+1:], "0")
	if len(digits) == 0 {
		return nil
	}
	return digits
}

// connects completes the head of a CONNECT, whose Host is at most a repetition
// of the target: with it there is no body (RFC 9110 section 9.3.6), and whoever
// announces one has another opinion of where the tunnel begins.
func connects(x *wire.Exchange, f *framing) observe.Reason {
	h := &x.Request
	switch {
	case f.codings > 0:
		return observe.BadTransferCoding
	case f.lengths > 0:
		return observe.BadLength
	case f.badExpect:
		return observe.BadExpect
	case f.hosts == 1:
		host := h.Value(&h.Fields[f.host])
		if !wire.ValidAuthority(host) || !repeats(host, h.Authority) {
			return observe.BadHost
		}
	}
	h.Length, x.Upgrade, x.ExpectContinue = 0, h.Method, false
	return 0
}

// repeats says whether host names the authority of a CONNECT: some clients
// leave its port out.
func repeats(host, authority []byte) bool {
	if p := port(host); p != nil && !bytes.Equal(p, port(authority)) {
		return false
	}
	return wire.EqualFold(nameOf(host), string(nameOf(authority)))
}

// nameOf is an authority without its port.
func nameOf(authority []byte) []byte {
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && authority[len(authority)-1] != ']' {
		return authority[:i]
	}
	return authority
}
