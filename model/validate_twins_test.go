package model

import (
	"fmt"
	"strings"
	"testing"
)

func TestTwins(t *testing.T) {
	t.Parallel()
	at := func(i int, r Route) *Route {
		r.Name, r.Order.Index, r.Origin = fmt.Sprintf("r%d", i), i, Origin{Source: "x.yaml", Line: i + 1}
		r.Filters = []Filter{{Respond: &Respond{Status: 200}}}
		if r.Parents == nil {
			r.Parents = []string{"a"}
		}
		return &r
	}
	path := func(s string) []Match { return []Match{{PathKind: PathPrefix, Path: s}} }
	fields := func(list ...string) (all []FieldMatch) {
		for _, s := range list {
			name, value, _ := strings.Cut(s, "=")
			all = append(all, FieldMatch{FieldExact, name, value})
		}
		return all
	}
	for name, c := range map[string]struct {
		one, two Route
		want     string // how the warning begins
	}{
		"same":                {Route{Matches: path("/a")}, Route{Matches: path("/a")}, "x.yaml:2: warning: route r1 never gets /a: route r0 (x.yaml:1) has the same match and goes before it"},
		"other path":          {Route{Matches: path("/a")}, Route{Matches: path("/b")}, ""},
		"other method":        {Route{Matches: []Match{{Method: "GET"}}}, Route{Matches: []Match{{Method: "PUT"}}}, ""},
		"everything":          {Route{}, Route{Matches: path("/")}, "x.yaml:2: warning: route r1 never gets /:"},
		"one of several":      {Route{Matches: []Match{{Method: "GET"}, {Method: "PUT"}}}, Route{Matches: []Match{{Method: "PUT"}, {Method: "POST"}}}, "x.yaml:2: warning: route r1 never gets PUT /:"},
		"older":               {Route{Order: Order{Created: 9}}, Route{Order: Order{Created: 8}}, "x.yaml:1: warning: route r0 never gets /: route r1 (x.yaml:2)"},
		"other host":          {Route{Hostnames: []string{"a"}}, Route{Hostnames: []string{"b"}}, ""},
		"any host":            {Route{Hostnames: []string{"a"}}, Route{}, ""},
		"one host":            {Route{Hostnames: []string{"a", "b"}}, Route{Hostnames: []string{"b", "c"}, Matches: path("/")}, "x.yaml:2: warning: route r1 never gets b/:"},
		"other listener":      {Route{}, Route{Parents: []string{"b"}}, ""},
		"one listener more":   {Route{}, Route{Parents: []string{"a", "b"}}, ""},
		"one listener less":   {Route{Parents: []string{"a", "b"}}, Route{}, "x.yaml:2: warning: route r1 never gets /:"},
		"names of captures":   {Route{Matches: []Match{{PathKind: PathTemplate, Path: "/{a}/{b...}"}}}, Route{Matches: []Match{{PathKind: PathTemplate, Path: "/{c}/{d...}"}}}, "x.yaml:2: warning: route r1 never gets /{c}/{d...}:"},
		"order of conditions": {Route{Matches: []Match{{Headers: fields("X-A=1", "x-b=2")}}}, Route{Matches: []Match{{Headers: fields("X-B=2", "x-a=1")}}}, "x.yaml:2: warning: route r1 never gets /:"},
		"other condition":     {Route{Matches: []Match{{Queries: fields("a=1")}}}, Route{Matches: []Match{{Queries: fields("a=2")}}}, ""},
		"other name":          {Route{Matches: []Match{{Cookies: fields("a=1")}}}, Route{Matches: []Match{{Cookies: fields("A=1")}}}, ""},
		"twice in one":        {Route{Matches: append(path("/a"), path("/a")...)}, Route{Matches: path("/b")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := Validate(&Config{
				Listeners: []*Listener{{Name: "a", Port: 80, Protocol: HTTP}, {Name: "b", Port: 81, Protocol: HTTP}},
				Routes:    []*Route{at(0, c.one), at(1, c.two)},
			})
			switch {
			case c.want == "" && len(problems) > 0:
				t.Error(problems)
			case c.want != "" && (len(problems) != 1 || problems[0].Code != "duplicate-match" || !strings.HasPrefix(problems[0].String(), c.want)):
				t.Errorf("%v, want %s", problems, c.want)
			}
		})
	}
}

// BenchmarkValidateAgain is what a change of one route among 10,000 costs here.
func BenchmarkValidateAgain(b *testing.B) {
	c := &Config{Listeners: []*Listener{{Name: "a", Port: 80, Protocol: HTTP}}}
	for i := range 10_000 {
		c.Routes = append(c.Routes, &Route{Name: fmt.Sprintf("r%05d", i), Parents: []string{"a"}, Hostnames: []string{fmt.Sprintf("host%d.example.com", i%100)},
			Matches: []Match{{PathKind: PathPrefix, Path: fmt.Sprintf("/team%d/service%d", i%50, i), Method: "GET"}},
			Filters: []Filter{{Respond: &Respond{Status: 200}}}})
	}
	var v Validator
	for b.Loop() {
		if _, problems := v.Validate(c); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
