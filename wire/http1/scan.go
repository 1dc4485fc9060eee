package http1

import "github.com/naru-mesh/naru/wire"

// equalNames compares two field names without regard to ASCII case.
func equalNames(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if wire.ToLower(a[i]) != wire.ToLower(b[i]) {
			return false
		}
	}
	return true
}
