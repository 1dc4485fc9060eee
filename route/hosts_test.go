package route

import (
	"slices"
	"strings"
	"testing"
)

func TestHostsFind(t *testing.T) {
	t.Parallel()
	h := NewHosts[string]()
	for _, p := range []string{"example.com", "API.example.com.", "*.example.com", "*.deep.example.com", "[::1]", "10.0.0.1"} {
		h.Add(p, p)
	}
	anyHost := NewHosts[string]()
	anyHost.Add("*", "any")
	anyHost.Add("*.com", "*.com")
	for _, c := range []struct {
		hosts      *Hosts[string]
		host, want string
	}{
		{h, "example.com", "example.com"},
		{h, "EXAMPLE.com:8080", "example.com"},
		{h, "example.com.", "example.com"},
		{h, "Example.Com.:443", "example.com"},
		{h, "api.example.com", "API.example.com."},
		{h, "www.example.com", "*.example.com"},
		{h, "a.b.example.com", "*.example.com"},
		{h, "a.deep.example.com", "*.deep.example.com"},
		{h, "a.b.deep.example.com:1", "*.deep.example.com"},
		{h, "deep.example.com", "*.example.com"},
		{h, ".example.com", ""},
		{h, "xexample.com", ""},
		{h, "example.org", ""},
		{h, "", ""},
		{h, "[::1]:80", "[::1]"},
		{h, "[::1]", "[::1]"},
		{h, "10.0.0.1:80", "10.0.0.1"},
		{h, strings.Repeat("a.", 150) + "example.com", ""},
		{anyHost, strings.Repeat("a.", 150) + "com", "any"},
		{anyHost, "", "any"},
		{anyHost, "localhost", "any"},
		{anyHost, "a.com", "*.com"},
		{anyHost, "com", "any"},
	} {
		got, ok := c.hosts.Find([]byte(c.host))
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q, %v; want %q", c.host, got, ok, c.want)
		}
		if s, sok := c.hosts.FindString(c.host); s != got || sok != ok {
			t.Errorf("%q as a string: %q, %v", c.host, s, sok)
		}
	}
}

func TestHostsAllocateNothing(t *testing.T) {
	h := NewHosts[int]()
	h.Add("example.com", 1)
	h.Add("*.example.com", 2)
	for _, host := range []string{"example.com", "WWW.Example.com:80", "a.b.c.d.e.example.org"} {
		b := []byte(host)
		if n := testing.AllocsPerRun(100, func() { h.Find(b) }); n != 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
		if n := testing.AllocsPerRun(100, func() { h.FindString(host) }); n != 0 {
			t.Errorf("%s as a string: %v allocations", host, n)
		}
	}
}

// The rows with "spec" are the examples of HTTPRouteSpec.hostnames.
func TestIntersect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listener string
		route    []string
		want     []string
		ok       bool
	}{
		{"test.example.com", nil, []string{"test.example.com"}, true},                                           // spec
		{"test.example.com", []string{"test.example.com"}, []string{"test.example.com"}, true},                  // spec
		{"test.example.com", []string{"*.example.com"}, []string{"test.example.com"}, true},                     // spec
		{"*.example.com", nil, []string{"*.example.com"}, true},                                                 // spec
		{"*.example.com", []string{"*.example.com"}, []string{"*.example.com"}, true},                           // spec
		{"*.example.com", []string{"test.example.com"}, []string{"test.example.com"}, true},                     // spec
		{"*.example.com", []string{"foo.test.example.com"}, []string{"foo.test.example.com"}, true},             // spec
		{"*.example.com", []string{"example.com"}, nil, false},                                                  // spec
		{"*.example.com", []string{"test.example.net"}, nil, false},                                             // spec
		{"*.example.com", []string{"test.example.com", "test.example.net"}, []string{"test.example.com"}, true}, // spec
		{"*.example.com", []string{"*.com"}, []string{"*.example.com"}, true},                                   //
		{"*.example.com", []string{"*.sub.example.com"}, []string{"*.sub.example.com"}, true},                   //
		{"", nil, nil, true},  //
		{"*", nil, nil, true}, //
		{"", []string{"a.example.com", "*.b.example.com"}, []string{"a.example.com", "*.b.example.com"}, true},     //
		{"", []string{"a.example.com", "*"}, nil, true},                                                            //
		{"Test.Example.com.", []string{"*.EXAMPLE.com", "test.example.com"}, []string{"test.example.com"}, true},   //
		{"very.specific.com", []string{"non.matching.com", "*.nonmatchingwildcard.io", "wildcard.io"}, nil, false}, //
		{"*.wildcard.io", []string{"foo.bar.wildcard.io", "wildcard.io"}, []string{"foo.bar.wildcard.io"}, true},   //
		{"*.anotherwildcard.io", []string{"*.anotherwildcard.io", "foo.wildcard.io"}, []string{"*.anotherwildcard.io"}, true},
	} {
		got, ok := Intersect(c.listener, c.route)
		if ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("Intersect(%q, %q) = %q, %v; want %q, %v", c.listener, c.route, got, ok, c.want, c.ok)
		}
	}
}
