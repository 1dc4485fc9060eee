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
			{Name: "r1", Parents: []string{"any", "dev", "wild", "one", "named"}, Hostnames: []string{"shop.example.com", "*.example.com", "other.example.org", "localhost", "127.0.0.1"}},
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
		wants, _ := Wants(c, by)
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

func TestProblems(t *testing.T) {
	t.Parallel()
	names := func(list ...string) model.Issuance { return model.Issuance{Names: list} }
	for want, c := range map[string]struct {
		i    model.Issuance
		port uint16
		host string
		none bool // nothing is wanted
	}{
		`error: listener l has the directory "ca" (write a URL: https://...)`:                                                                                 {i: model.Issuance{Directory: "ca"}, none: true},
		`error: listener l has the ask "ftp://x" (write a URL: https://...)`:                                                                                  {i: model.Issuance{Ask: "ftp://x"}, none: true},
		`error: listener l allows certificates on demand for "*" (` + nameHint + `)`:                                                                          {i: model.Issuance{OnDemand: []string{"*"}}, none: true},
		`error: listener l allows certificates on demand for "a b" (` + nameHint + `)`:                                                                        {i: model.Issuance{OnDemand: []string{"a b"}}, none: true},
		`error: listener l has the email "ops" (write an address such as ops@example.com)`:                                                                    {i: model.Issuance{Email: "ops"}, none: true},
		`error: listener l gets no certificate for localhost, which has no dot, and so is no public name (for developing write tls: local)`:                   {i: names("localhost", "a.example.com")},
		`error: listener l gets no certificate for 192.0.2.1, which is an address, not a name (for developing write tls: local)`:                              {i: names("192.0.2.1", "a.example.com")},
		`error: listener l gets no certificate for shop.internal, which is no public name: .internal stays within networks (for developing write tls: local)`: {i: names("shop.internal", "a.example.com")},
		`error: listener l gets no certificate for *.example.com, which is a wildcard, which can be proved by DNS only (for developing write tls: local)`:     {i: names("*.example.com", "a.example.com")},
		`warning: listener l gets no certificate for shop.test, which is no public name: .test stays within networks (for developing write tls: local)`:       {i: model.Issuance{OnDemand: []string{"a.example.com"}}, host: "shop.test"},
		`warning: listener l knows no name to get a certificate for (give it a hostname, or its routes hosts, or name them: tls: {auto: {names: [...]}})`:     {},
		`warning: listener l gets certificates only if port 80 or 443 of its names leads here (listen on one of them, or have it forwarded)`:                  {i: names("a.example.com"), port: 8443},
		"": {i: names("a.example.com")},
	} {
		c.i.By = model.ACME
		if c.port == 0 {
			c.port = 443
		}
		l := &model.Listener{Name: "l", Port: c.port, Protocol: model.HTTPS, Hostname: c.host, Issuance: &c.i}
		wants, problems := Wants(&model.Config{Listeners: []*model.Listener{l}}, model.ACME)
		got := ""
		for _, p := range problems {
			got += p.String()
		}
		if got != want || (len(wants) == 0) != c.none {
			t.Errorf("%+v: %d wants and %q, want %q", c.i, len(wants), got, want)
		}
	}
	// An authority of one's own gives what it likes.
	own := &model.Issuance{By: model.ACME, Directory: "https://ca.internal/dir", Names: []string{"shop.internal", "shop"}}
	l := &model.Listener{Name: "l", Port: 8443, Protocol: model.HTTPS, Issuance: own}
	if wants, problems := Wants(&model.Config{Listeners: []*model.Listener{l}}, model.ACME); len(problems) > 0 || len(wants[0].Names) != 2 {
		t.Error(wants, problems)
	}
}
