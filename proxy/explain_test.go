package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

func explainConfig() *model.Config {
	c := shop(2)
	c.Listeners = append(c.Listeners, &model.Listener{Name: "s", Port: 8443, Protocol: model.HTTPS})
	c.Services[0].Host = "inside.example"
	c.Routes[0].Parents = []string{"l", "s"}
	c.Routes[0].Matches = []model.Match{{PathKind: model.PathPrefix, Path: "/shop", Method: "GET"}}
	c.Routes[0].Filters = []model.Filter{does(0, "none"), {Mirror: &model.Mirror{Service: "m"}}}
	c.Routes[0].Backends = []model.Backend{{Service: "a", Weight: 3}, {Service: "none", Weight: 1}}
	c.Services = append(c.Services, &model.Service{Name: "z"})
	c.Routes = append(c.Routes,
		&model.Route{Name: "own", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/own"}},
			Filters: []model.Filter{does(204, "answer")}},
		&model.Route{Name: "bare", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/bare"}}},
		&model.Route{Name: "down", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/down"}},
			Backends: []model.Backend{{Service: "z", Weight: 1}}},
		&model.Route{Name: "meshed", Parents: []string{"l"}, Matches: []model.Match{{PathKind: model.PathExact, Path: "/meshed"}},
			Backends: []model.Backend{{Service: "meshed", Weight: 1}}})
	c.Services = append(c.Services, &model.Service{Name: "meshed", Mesh: &model.MeshService{Namespace: "default", Host: "meshed", Port: 80}})
	return c
}

func TestExplain(t *testing.T) {
	t.Parallel()
	s := model.Freeze(explainConfig())
	ask := func(method, url string, fields ...model.Field) *Explanation {
		t.Helper()
		e, err := Explain(s, testFamilies, Question{Method: method, URL: url, Headers: fields})
		if err != nil {
			t.Fatalf("%s %s: %v", method, url, err)
		}
		return e
	}
	e := ask("GET", "http://a.example:8080//shop/./x?q=1")
	if e.Route != "r" || e.Listener != "l" || e.Path != "/shop/x" || e.Forward != "GET /shop/x?q=1 Host: a.example:8080" || strings.Join(e.Filters, ",") != "test,mirror to m (100%)" {
		t.Errorf("%+v", e)
	}
	if len(e.Backends) != 2 || e.Backends[0].Percent != 75 || e.Backends[0].Host != "inside.example" ||
		strings.Join(e.Backends[0].Endpoints, ",") != "10.0.0.1:80,10.0.0.2:80" || !strings.Contains(e.Backends[1].Note, "does not exist") {
		t.Errorf("backends: %+v", e.Backends)
	}
	if e = ask("POST", "http://a.example:8080/shop"); e.Reason != "no_route" || e.Answer != 404 || len(e.Near) == 0 || e.Near[0].Route != "r" {
		t.Errorf("%+v", e)
	}
	if e = ask("GET", "https://a.example:8443/shop"); e.Listener != "s" || e.Route != "r" {
		t.Errorf("%+v", e)
	}
	if e = ask("GET", "http://a.example:8080/own"); e.Answer != 204 || e.Reason != "responded" {
		t.Errorf("%+v", e)
	}
	if e = ask("GET", "http://a.example:8080/bare"); e.Answer != 500 || e.Reason != "no_backend" {
		t.Errorf("%+v", e)
	}
	if e = ask("GET", "http://a.example:8080/down"); !strings.Contains(e.Backends[0].Note, "no endpoints") {
		t.Errorf("%+v", e)
	}
	if e = ask("GET", "http://a.example:8080/meshed"); e.Backends[0].Note != ofTheMesh {
		t.Errorf("%+v", e)
	}
	if e = ask("GET", "http://localhost:8080/shop", model.Field{Name: "host", Value: "b.example"}); !strings.HasSuffix(e.Forward, "Host: b.example") {
		t.Errorf("%+v", e)
	}
	if e = ask("GET", "http://a.example/shop"); e.Listener != "l" {
		t.Errorf("the only plain port was not found: %+v", e)
	}
	for url, want := range map[string]Explanation{
		"http://a.example:8443/shop?q=1": {Listener: "s", Reason: "handshake_failed", Means: "Port 8443 speaks TLS, and this request comes without. Ask for https://a.example:8443/shop?q=1."},
		"https://a.example:8080/shop":    {Listener: "l", Reason: "bad_request_line", Means: "Port 8080 does not speak TLS, and this request begins with a handshake. Ask for http://a.example:8080/shop."},
	} {
		if e = ask("GET", url); e.Answer != 400 || e.Route != "" || e.Listener != want.Listener || e.Reason != want.Reason || e.Means != want.Means {
			t.Errorf("%s: %+v", url, e)
		}
	}
	for url, want := range map[string]string{
		"http://a.example:1/": "no listener on port 1; there is 8080, 8443",
		"/shop":               "say which port, as in http://localhost:8080/shop",
		"http://[/":           "is not a URL",
	} {
		if _, err := Explain(s, testFamilies, Question{Method: "GET", URL: url}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	if _, err := Explain(s, testFamilies, Question{Method: "GET", URL: "http://a:8080/", Headers: []model.Field{{Name: "a b"}}}); err == nil {
		t.Error("a header with a space passed")
	}
	if _, err := Explain(model.Freeze(&model.Config{}), nil, Question{Method: "GET", URL: "/"}); err == nil {
		t.Error("a configuration without listeners passed")
	}
}

// TestExplainRefused: what has a mistake is named nowhere but among the mistakes.
func TestExplainRefused(t *testing.T) {
	t.Parallel()
	c := shop(1)
	c.Routes[0].Backends[0].Service = ""
	e, err := Explain(model.Freeze(c), testFamilies, Question{Method: "GET", URL: "http://a.example:8080/"})
	if err != nil || len(e.Backends) != 1 || !strings.Contains(e.Backends[0].Note, "does not exist, or has a mistake: answers 500 invalid_backend") {
		t.Errorf("%v %+v", err, e)
	}
}

// TestExplainRollout: what a rollout gives its backends is shown beside what is
// written, also of a backend that is written with nothing.
func TestExplainRollout(t *testing.T) {
	t.Parallel()
	c := shop(2)
	c.Routes[0].Backends = []model.Backend{{Service: "a", Weight: 3}, {Service: "b", Weight: 1}, {Service: "new"}}
	c.Services = append(c.Services, &model.Service{Name: "b", Endpoints: c.Services[0].Endpoints}, &model.Service{Name: "new", Endpoints: c.Services[0].Endpoints})
	c.Routes[0].Rollout = &model.Rollout{Name: "r", To: "new"}
	s := model.Freeze(c)
	for shares, want := range map[*map[string]int]string{
		nil:            "a 75 -, b 25 -, new 0 -",
		{"r": 200_000}: "a 75 60, b 25 20, new 0 20",
		{"r": 0}:       "a 75 75, b 25 25, new 0 0",
		{"other": 1}:   "a 75 -, b 25 -, new 0 -",
	} {
		q := Question{Method: "GET", URL: "http://a.example:8080/"}
		if shares != nil {
			q.Shares = *shares
		}
		e, err := Explain(s, testFamilies, q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range e.Backends {
			now := "-"
			if b.InForce != nil {
				now = fmt.Sprint(*b.InForce)
			}
			got = append(got, fmt.Sprint(b.Service, " ", b.Percent, " ", now))
		}
		if strings.Join(got, ", ") != want || e.Rollout == nil || e.Rollout.To != "new" || len(e.Rollout.Steps) != 5 {
			t.Errorf("%v: %q, want %q, %+v", q.Shares, got, want, e.Rollout)
		}
	}
	c.Routes[0].Backends = c.Routes[0].Backends[2:] // it leads nowhere else: nothing moves
	if e, err := Explain(model.Freeze(c), testFamilies, Question{Method: "GET", URL: "http://a.example:8080/"}); err != nil || e.Rollout != nil {
		t.Errorf("%+v %v", e, err)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]model.Match{
		"a.example/":           {},
		"GET a.example=/x":     {Method: "GET", PathKind: model.PathExact, Path: "/x"},
		"a.example~/x.*":       {PathKind: model.PathRegex, Path: "/x.*"},
		"a.example/x header H": {PathKind: model.PathPrefix, Path: "/x", Headers: []model.FieldMatch{{Name: "H"}}},
		"a.example/{x} query Q cookie C": {PathKind: model.PathTemplate, Path: "/{x}",
			Queries: []model.FieldMatch{{Name: "Q"}}, Cookies: []model.FieldMatch{{Name: "C"}}},
	} {
		if got := describe("a.example", &m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
