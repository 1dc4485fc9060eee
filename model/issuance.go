package model

import (
	"net/netip"
	"slices"
	"strings"
)

// IssuedNames are the names that l, which has an Issuance, holds certificates
// for from the start, sorted: those that its Issuance names, or its Hostname
// and those of its Routes and Flows within it. Wildcards are among them only
// where the authority is this machine: proving one to another takes DNS.
func (c *Config) IssuedNames(l *Listener) []string {
	i := l.Issuance
	if len(i.Names) > 0 {
		names := slices.Clone(i.Names)
		slices.Sort(names)
		return slices.Compact(names)
	}
	found := map[string]bool{}
	add := func(host string) {
		if host != "" && (i.By == Local || !strings.HasPrefix(host, "*.")) {
			found[host] = true
		}
	}
	below := func(parents, hosts []string) {
		if len(hosts) == 0 || !slices.Contains(parents, l.Name) {
			return
		}
		for _, host := range hosts {
			if inside(l.Hostname, host) && !strings.HasPrefix(host, "[") {
				add(host)
			}
		}
	}
	add(l.Hostname)
	for _, r := range c.Routes {
		below(r.Parents, r.Hostnames)
	}
	for _, f := range c.Flows {
		below(f.Parents, f.Hostnames)
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// inside says whether all of host belongs to a listener with the hostname
// listener.
func inside(listener, host string) bool {
	return covers(listener, host) && len(host) >= len(listener)
}

// Obtainable says why the authority of i gives nobody a certificate for name
// ("" where it may), in words that follow the name.
func (i *Issuance) Obtainable(name string) string {
	if i.By != ACME {
		return ""
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch _, err := netip.ParseAddr(name); {
	case err == nil:
		return "is an address, not a name"
	case strings.HasPrefix(name, "*."):
		return "is a wildcard, which can be proved by DNS only"
	case i.Directory != "":
		return "" // an authority of somebody's own knows its names best
	case last == name:
		return "has no dot, and so is no public name"
	case slices.Contains(notPublic, last) || strings.HasSuffix(name, ".home.arpa"):
		return "is no public name: ." + last + " stays within networks"
	}
	return ""
}

// notPublic are top labels that no public authority signs (RFC 2606, RFC 6761,
// RFC 6762, RFC 7686, and ICANN's .internal).
var notPublic = []string{"localhost", "local", "test", "example", "invalid", "internal", "onion", "lan", "home", "corp"}
