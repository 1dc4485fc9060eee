package identity

import (
	"slices"
	"testing"

	"github.com/naru-mesh/naru/model"
)

func TestWants(t *testing.T) {
	t.Parallel()
	acme, local := &model.Issuance{By: model.ACME}, &model.Issuance{By: model.Local}
	named := &model.Issuance{By: model.ACME, Names: []string{"b.example.com", "a.example.com"}}
	c := &model.Config{
		Listeners: []*model.Listener{
			{Name: "any", Issuance: acme}, {Name: "dev", Issuance: local}, {Name: "named", Issuance: named},
			{Name: "one", Hostname: "one.example.com", Issuance: acme}, {Name: "plain"},
			{Name: "wild", Hostname: "*.example.com", Issuance: acme},
		},
		Routes: []*model.Route{
			{Name: "r1", Parents: []string{"any", "dev", "wild", "one", "named"}, Hostnames: []string{"shop.example.com", "*.example.com", "other.example.org", "[::1]", "localhost", "127.0.0.1"}},
			{Name: "r2", Parents: []string{"plain"}, Hostnames: []string{"plain.example.com"}},
		},
	}
	for by, want := range map[model.IssuedBy]map[string][]string{
		model.ACME: {
			"any": {"other.example.org", "shop.example.com"}, "named": {"a.example.com", "b.example.com"},
			"one": {"one.example.com"}, "wild": {"shop.example.com"},
		},
		model.Local: {"dev": {"*.example.com", "127.0.0.1", "localhost", "other.example.org", "shop.example.com"}},
	} {
		wants := Wants(c, by)
		if len(wants) != len(want) {
			t.Errorf("%s: %d wants, not %d", by, len(wants), len(want))
		}
		for _, w := range wants {
			if !slices.Equal(w.Names, want[w.Listener]) {
				t.Errorf("%s: %s wants %q, not %q", by, w.Listener, w.Names, want[w.Listener])
			}
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a.test", "a.test", true}, {"a.test", "b.a.test", false},
		{"*.a.test", "b.a.test", true}, {"*.a.test", "c.b.a.test", true},
		{"*.a.test", "a.test", false}, {"*.a.test", ".a.test", false}, {"*.a.test", "xa.test", false},
	} {
		if got := Covers(c.pattern, c.name); got != c.want {
			t.Errorf("%s covers %s: %v", c.pattern, c.name, got)
		}
	}
	if got := ServerName("Shop.Example.com."); got != "shop.example.com" {
		t.Errorf("server name %q", got)
	}
}
