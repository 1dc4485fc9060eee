package model

import (
	"strings"
	"testing"
)

func TestRedirectLoops(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	exact := []Match{{PathKind: PathExact, Path: "/a"}}
	for name, c := range map[string]struct {
		parent   string
		hosts    []string
		matches  []Match
		redirect Redirect
		want     string // "": no warning
	}{
		"to https":                   {"plain", nil, nil, Redirect{Scheme: "https"}, ""},
		"to https again":             {"tls", nil, nil, Redirect{Scheme: "https"}, "https on port 443 leads to https on port 443"},
		"to the same port":           {"alt", nil, nil, Redirect{Scheme: "https", Port: 8443}, "https on port 8443 leads to https on port 8443"},
		"to another port":            {"alt", nil, nil, Redirect{Scheme: "https"}, ""},
		"to a port outside":          {"odd", nil, nil, Redirect{Scheme: "http"}, "http leads to http, and no listener of its own has port 80"},
		"to another path":            {"tls", nil, nil, Redirect{Path: &PathEdit{Full: text("/b")}}, ""},
		"to the path it matches":     {"plain", nil, exact, Redirect{Path: &PathEdit{Full: text("/a")}}, "http on port 8080"},
		"to a path that it covers":   {"plain", nil, nil, Redirect{Path: &PathEdit{Full: text("/login")}}, ""},
		"to another host":            {"tls", nil, nil, Redirect{Hostname: "www.example.com"}, ""},
		"from that host alone":       {"tls", []string{"www.example.com"}, nil, Redirect{Hostname: "www.example.com"}, "https on port 443"},
		"from that host and another": {"tls", []string{"www.example.com", "example.com"}, nil, Redirect{Hostname: "www.example.com"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener := func(name string, port uint16, p Protocol) *Listener {
				l := &Listener{Name: name, Port: port, Protocol: p}
				if p == HTTPS {
					l.Certificates = []string{"c"}
				}
				return l
			}
			c.redirect.Status = 301
			config := &Config{
				Certificates: []*Certificate{{Name: "c", ChainFile: "a", KeyFile: "b"}},
				Listeners:    []*Listener{listener("alt", 8443, HTTPS), listener("odd", 8081, HTTP), listener("plain", 8080, HTTP), listener("tls", 443, HTTPS)},
				Routes: []*Route{{Name: "r", Parents: []string{c.parent}, Hostnames: c.hosts, Matches: c.matches,
					Filters: []Filter{{Redirect: &c.redirect}}, Origin: Origin{Source: "x.yaml", Line: 3, Column: 5}}},
			}
			var v Validator
			for range 2 { // what was doubtful is told again
				out, problems := v.Validate(config)
				if len(out.Routes) != 1 {
					t.Fatal("the route does not serve")
				}
				if c.want == "" {
					if len(problems) > 0 {
						t.Errorf("%v", problems)
					}
					continue
				}
				if len(problems) != 1 || problems[0].Severity != Doubtful || problems[0].Code != "redirect-loop" || !strings.Contains(problems[0].String(), c.want) ||
					!strings.HasPrefix(problems[0].String(), "x.yaml:3:5: warning: route r redirects requests of listener "+c.parent+" to where they were") {
					t.Errorf("%v, want %s", problems, c.want)
				}
			}
		})
	}
}

func TestRedirectLoopIsSeenWhenTheListenerChanges(t *testing.T) {
	t.Parallel()
	config := &Config{
		Listeners: []*Listener{{Name: "l", Port: 81, Protocol: HTTP}},
		Routes:    []*Route{{Name: "r", Parents: []string{"l"}, Filters: []Filter{{Redirect: &Redirect{Port: 80, Status: 301}}}}},
	}
	var v Validator
	if _, problems := v.Validate(config); len(problems) > 0 {
		t.Fatal(problems)
	}
	config.Listeners = []*Listener{{Name: "l", Port: 80, Protocol: HTTP}}
	if _, problems := v.Validate(config); len(problems) != 1 {
		t.Error("no warning of the loop")
	}
}

func TestPartialRedirect(t *testing.T) {
	t.Parallel()
	route := func(name string, parents []string, path string, d *Redirect, hosts ...string) *Route {
		r := &Route{Name: name, Parents: parents, Hostnames: hosts, Matches: []Match{{PathKind: PathPrefix, Path: path}}, Filters: []Filter{{Respond: &Respond{Status: 200}}},
			Origin: Origin{Source: "x.yaml", Line: 1, Field: name}}
		if d != nil {
			d.Status = 301
			r.Filters = []Filter{{Redirect: d}}
		}
		return r
	}
	both, plain := []string{"plain", "tls"}, []string{"plain"}
	https := func() *Redirect { return &Redirect{Scheme: "https"} }
	for name, c := range map[string]struct {
		routes []*Route
		want   string
	}{
		"a route before it":        {[]*Route{route("all", plain, "/", https()), route("api", both, "/api", nil), route("b", both, "/b", nil)}, "still served without TLS on listener plain: route api (x.yaml:1) and 1 more"},
		"a host before it":         {[]*Route{route("all", plain, "/", https()), route("api", both, "/api", nil, "a.example")}, "route api (x.yaml:1) (to redirect"},
		"the same host":            {[]*Route{route("all", plain, "/", https(), "a.example"), route("api", both, "/api", nil, "a.example")}, "route api (x.yaml:1) (to redirect"},
		"another host":             {[]*Route{route("all", plain, "/", https(), "a.example"), route("api", both, "/api", nil, "b.example")}, ""},
		"plain on purpose":         {[]*Route{route("all", plain, "/", https()), route("api", plain, "/api", nil)}, ""},
		"not all":                  {[]*Route{route("all", plain, "/x", https()), route("api", both, "/x/y", nil)}, ""},
		"the site behind":          {[]*Route{route("all", plain, "/", https()), route("web", []string{"tls"}, "/", nil)}, ""},
		"redirected as well":       {[]*Route{route("all", plain, "/", https()), route("api", plain, "/api", https())}, ""},
		"to another host, not TLS": {[]*Route{route("all", plain, "/", &Redirect{Hostname: "b.example"}), route("api", both, "/api", nil)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := Validate(&Config{
				Certificates: []*Certificate{{Name: "c", ChainFile: "a", KeyFile: "b"}},
				Listeners:    []*Listener{{Name: "plain", Port: 80, Protocol: HTTP}, {Name: "tls", Port: 443, Protocol: HTTPS, Certificates: []string{"c"}}},
				Routes:       c.routes,
			})
			switch {
			case c.want == "" && len(problems) > 0:
				t.Error(problems)
			case c.want != "" && (len(problems) != 1 || problems[0].Code != "partial-redirect" || problems[0].Severity != Doubtful || !strings.Contains(problems[0].String(), c.want)):
				t.Errorf("%v, want %s", problems, c.want)
			}
		})
	}
}
