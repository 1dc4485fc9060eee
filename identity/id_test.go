package identity

import (
	"errors"
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	t.Parallel()
	long := "spiffe://td/" + strings.Repeat("a", 2048-len("spiffe://td/"))
	for in, want := range map[string]ID{
		"spiffe://example.org":                       "spiffe://example.org",
		"spiffe://example.org/ns/shop/sa/orders":     "spiffe://example.org/ns/shop/sa/orders",
		"SPIFFE://Example.ORG/ns/Shop/sa/orders":     "spiffe://example.org/ns/Shop/sa/orders",
		"spiffe://a_b-c.1/x.y-z_0":                   "spiffe://a_b-c.1/x.y-z_0",
		"spiffe://td/...":                            "spiffe://td/...",
		long:                                         ID(long),
		"spiffe://" + strings.Repeat("d", 255) + "/": "",
		"spiffe://" + strings.Repeat("d", 256):       "",
		long + "a":                                   "",
		"":                                           "",
		"spiffe://":                                  "",
		"spiffe:///path":                             "",
		"https://example.org/a":                      "",
		"spiffe:/example.org/a":                      "",
		"spiffe://example.org/":                      "",
		"spiffe://example.org/a/":                    "",
		"spiffe://example.org//a":                    "",
		"spiffe://example.org/./a":                   "",
		"spiffe://example.org/../a":                  "",
		"spiffe://example.org/a%20b":                 "",
		"spiffe://example.org/a b":                   "",
		"spiffe://example.org/ä":                     "",
		"spiffe://exämple.org/a":                     "",
		"spiffe://example.org:443/a":                 "",
		"spiffe://user@example.org/a":                "",
		"spiffe://example.org/a?b=c":                 "",
		"spiffe://example.org/a#b":                   "",
		"spiffe://example.org?/a":                    "",
		" spiffe://example.org/a":                    "",
		"spiffe://example.org/a\x00":                 "",
		"spiffe://example.org/a\n":                   "",
		"spiffe://[::1]/a":                           "",
		"spiffe://example.org\\evil/a":               "",
	} {
		got, err := ParseID(in)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrBadID) {
			t.Errorf("%.80q: %q, %v; want %q", in, got, err, want)
		}
	}
	id := WorkloadID("example.org", "shop", "orders")
	ns, sa, ok := id.Workload()
	if ns != "shop" || sa != "orders" || !ok || id.TrustDomain() != "example.org" || id.Path() != "/ns/shop/sa/orders" {
		t.Error(id, ns, sa, ok, id.Path())
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://example.org/ns/shop/sa/orders")
	f.Add("SPIFFE://A/../b")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		again, err := ParseID(string(id))
		if err != nil || again != id {
			t.Errorf("%q is read as %q, and that as %q, %v", s, id, again, err)
		}
	})
}
