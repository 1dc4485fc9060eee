package cors

import (
	"testing"

	"github.com/naru-mesh/naru/model"
)

func TestAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, origin string
		want            bool
	}{
		{"*", "https://a.example", true},
		{"*", "http://localhost:3000", true},
		{"*", "null", true},
		{"*", "chrome-extension://abcdef", true},
		{"*", "", false},
		{"*", "https://a.example, https://b.example", false},
		{"*", "https://a.example/path", false},
		{"*", "https://u@a.example", false},
		{"null", "null", true},
		{"https://a.example", "null", false},
		{"https://a.example", "https://a.example", true},
		{"https://A.example", "HTTPS://a.EXAMPLE", true},
		{"https://a.example:443", "https://a.example", true},
		{"https://a.example", "https://a.example:443", true},
		{"http://a.example:80", "http://a.example", true},
		{"http://a.example", "http://a.example:443", false},
		{"https://a.example", "http://a.example", false},
		{"https://a.example", "https://a.example:8443", false},
		{"https://a.example:8443", "https://a.example:8443", true},
		{"https://a.example", "https://a.example.evil", false},
		{"https://a.example", "https://xa.example", false},
		{"https://*.a.example", "https://b.a.example", true},
		{"https://*.a.example", "https://c.b.a.example", true},
		{"https://*.a.example", "https://a.example", false},
		{"https://*.a.example", "https://.a.example", false},
		{"https://*.a.example", "https://evil.example#.a.example", false},
		{"https://*.a.example", "https://evil.example:1.a.example", false},
		{"https://*.a.example", "https://b.a.example:8443", false},
		{"https://*.a.example:8443", "https://b.a.example:8443", true},
		{"https://*.a.example", "https://xa.example", false},
		{"https://*", "https://b.example", true},
		{"https://*", "https://b.example:8443", false},
		{"https://*:8443", "https://b.example:8443", true},
		{"https://*", "http://b.example", false},
	} {
		f := made(t, model.CORS{Origins: []string{"https://other.example", c.pattern}})
		if got := f.allows([]byte(c.origin)); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.origin, got)
		}
	}
}
