package model

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	t.Parallel()
	wild := func(s string) bool { return isHostname(s, true) }
	exact := func(s string) bool { return isHostname(s, false) }
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		name string
		is   func(string) bool
		good []string
		bad  []string
	}{
		{"token", isToken, []string{"GET", "x-a", "!#$%&'*+-.^_`|~0"}, []string{"", "a b", "a:", "é", "a\x00", "(", "\"", "a/b"}},
		{"value", isFieldValue, []string{"", "a", "a\tb", "é", "a b"}, []string{" a", "a ", "\ta", "a\nb", "a\r", "\x00", "\x7f"}},
		{"host", isHost, []string{"a", "A.b", "a.b.", "10.0.0.1", "::1", "fe80::1%eth0", "my_service", long + ".a"},
			[]string{"", ".", "a..b", "-a", "a-", "a b", "[::1]", "*.a", "a:80", "::g", long + "a", strings.Repeat("a.", 127) + "aa", "é.a"}},
		{"hostname", exact, []string{"a", "a.b", "10.0.0.1", "[::1]", "a_b.c"}, []string{"", "A", "*.a", "a.", "::1", "[10.0.0.1]", "[::1", "*"}},
		{"wildcard", wild, []string{"a", "*.a", "*.a.b"}, []string{"*", "*a", "a.*", "*.*.a", "*."}},
		{"host and port", isHostPort, []string{"a:80", ":80", "[::1]:80", "1.2.3.4:0"}, []string{"", "a", "a:", "a:x", "a:65536", "::1:80", "a b:80"}},
		{"origin", isOrigin, []string{"*", "null", "https://a", "http://a.b:80", "https://*.a.b", "http://[::1]:80", "https://*", "app://x"},
			[]string{"", "a", "https://", "https://a/", "https://a:x", "https://a:0", "://a", "https://a b"}},
		{"capture", isCapture, []string{"a", "a-b_c9"}, []string{"", "a.b", "é", "a b"}},
	} {
		for _, s := range c.good {
			if !c.is(s) {
				t.Errorf("%q is no %s", s, c.name)
			}
		}
		for _, s := range c.bad {
			if c.is(s) {
				t.Errorf("%q is a %s", s, c.name)
			}
		}
	}
}

func TestCaptures(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/": "", "/a/b": "", "/{a}": "a", "/{a}/x/{b}/": "a b", "/x/{rest...}": "rest",
		"/{a}/{a}":                             "has: names {a} twice",
		"/{}":                                  "has: has a capture without a proper name",
		"/{...}":                               "has: has a capture without a proper name",
		"/x{a}":                                "has: has a capture that is not a whole segment",
		"/{a}x":                                "has: has a capture that is not a whole segment",
		"{a}":                                  "has: has a capture that is not a whole segment",
		"/{rest...}/x":                         "has: goes on after {rest...}, which takes all the rest",
		"/{a":                                  "has: has a { without a }",
		"/a}":                                  "has: has a } without a {",
		strings.Repeat("/{a}", 2):              "has: names {a} twice",
		"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}": "has: has more than 8 captures",
	} {
		names, wrong := captures(path)
		got := strings.Join(names, " ")
		if wrong != "" {
			got = "has: " + wrong
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listener, route string
		want            bool
	}{
		{"", "a.b", true}, {"a.b", "a.b", true}, {"a.b", "c.b", false}, {"*.b", "a.b", true}, {"*.b", "x.a.b", true}, {"*.b", "b", false},
		{"a.b", "*.b", true}, {"b", "*.b", false}, {"*.b", "*.a.b", true}, {"*.a.b", "*.b", true}, {"*.a", "*.b", false}, {"*.b", "ab", false},
	} {
		if got := covers(c.listener, c.route); got != c.want {
			t.Errorf("covers(%q, %q) = %v", c.listener, c.route, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"orders", "catalog", "payments", "a", "bc"}
	for word, want := range map[string]string{
		"order": "orders", "odrers": "orders", "ordrs": "orders", "katalog": "catalog", "payment": "payments",
		"orders": "", "b": "", "x": "", "": "", "something else": "", "Orders": "orders",
	} {
		if got := nearest(word, slices.Values(names)); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
