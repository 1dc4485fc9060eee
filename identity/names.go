package identity

import "strings"

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
