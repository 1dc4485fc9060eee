package gatewayapi

import "strings"

// claims are host names, exact and wildcard, that can be asked in a few steps
// whether one of them has hosts in common with another. "" is every host. The
// zero claims are ready.
type claims struct {
	hosts map[string]claim // by stem
	under map[string]claim // of the hosts whose names end so, by stem
}

// claim is how many claim a host, and the first that did.
type claim struct {
	n  int
	by *routeObject
}

// stem is what hosts under a wildcard end in: that of "*.example.com" is
// ".example.com". An exact host and "" are their own.
func stem(host string) string { return strings.TrimPrefix(host, "*") }

// above calls f with the stems of all wildcards that cover a stem, the nearest
// first and "" last, until f says so.
func above(stem string, f func(stem string) bool) {
	for stem != "" {
		at := strings.IndexByte(stem[1:], '.')
		if at < 0 {
			stem = ""
		} else {
			stem = stem[at+1:]
		}
		if f(stem) {
			return
		}
	}
}

// add counts n more claims of a host, -1 one less.
func (c *claims) add(host string, by *routeObject, n int) {
	if c.hosts == nil {
		c.hosts, c.under = make(map[string]claim), make(map[string]claim)
	}
	count := func(in map[string]claim, stem string) {
		there := in[stem]
		if there.n == 0 {
			there.by = by
		}
		there.n += n
		in[stem] = there
	}
	s := stem(host)
	count(c.hosts, s)
	above(s, func(stem string) bool {
		count(c.under, stem)
		return false
	})
}

// has says whether a host is claimed as it is written.
func (c *claims) has(host string) bool { return c.hosts[stem(host)].n > 0 }

// besides gives a claim of another host name that has hosts in common with
// host.
func (c *claims) besides(host string) (found claim, ok bool) {
	s := stem(host)
	if found = c.under[s]; found.n > 0 {
		return found, true
	}
	above(s, func(stem string) bool {
		found = c.hosts[stem]
		ok = found.n > 0
		return ok
	})
	return found, ok
}

// meets gives a claim that has hosts in common with host.
func (c *claims) meets(host string) (claim, bool) {
	if found := c.hosts[stem(host)]; found.n > 0 {
		return found, true
	}
	return c.besides(host)
}
