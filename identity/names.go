package identity

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/model"
)

// Covers says whether pattern is name, or a wildcard ("*.example.com": one or
// more labels) that name is under. Both are in lower case.
func Covers(pattern, name string) bool {
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(name) > len(below) && strings.HasSuffix(name, below)
	}
	return pattern == name
}

// ServerName is the name in a handshake as names are written here.
func ServerName(sni string) string { return strings.ToLower(strings.TrimSuffix(sni, ".")) }

// names are those that l, which has an Issuance, holds certificates for from
// the start, sorted: those that its Issuance names, or its Hostname and those
// of its Routes and Flows within it. Wildcards are among them only where the
// authority is this machine: proving one to another takes DNS.
func names(c *model.Config, l *model.Listener) []string {
	i := l.Issuance
	list := slices.Clone(i.Names)
	add := func(host string) {
		if host != "" && (i.By == model.Local || !strings.HasPrefix(host, "*.")) {
			list = append(list, host)
		}
	}
	below := func(parents, hosts []string) {
		if len(hosts) == 0 || !slices.Contains(parents, l.Name) {
			return
		}
		for _, host := range hosts {
			if l.Hostname == "" || l.Hostname == host || Covers(l.Hostname, host) {
				add(host)
			}
		}
	}
	if len(i.Names) == 0 {
		add(l.Hostname)
		for _, r := range c.Routes {
			below(r.Parents, r.Hostnames)
		}
		for _, f := range c.Flows {
			below(f.Parents, f.Hostnames)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Obtainable says why the authority of i gives nobody a certificate for name
// ("" where it may), in words that follow the name.
func Obtainable(i *model.Issuance, name string) string {
	if i.By != model.ACME {
		return ""
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch _, err := netip.ParseAddr(strings.Trim(name, "[]")); {
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

// isName checks a DNS name in lower case, or a wildcard of one (RFC 1123
// section 2.1).
func isName(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
