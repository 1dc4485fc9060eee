package transcode

import (
	"strings"
	"testing"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ template, segments, verb, variables string }{
		{"/", "", "", ""},
		{"/v1/books", "v1 books", "", ""},
		{"/v1/books:search", "v1 books", "search", ""},
		{"/v1/{id}", "v1 *", "", "id 1-2"},
		{"/v1/{a.b.c=shelves/*/books/*}:move", "v1 shelves * books *", "move", "a.b.c 1-5"},
		{"/v1/*/{rest=**}", "v1 * **", "", "rest 2-3"},
		{"/{a}/{b}", "* *", "", "a 0-1 b 1-2"},
		{"/**", "**", "", ""},
		{"/v1/a:b/c", "v1 a:b c", "", ""},
	} {
		got, err := parseTemplate(c.template)
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		var vars []string
		for _, v := range got.variables {
			vars = append(vars, v.field, string(rune('0'+v.from))+"-"+string(rune('0'+v.to)))
		}
		if s := strings.Join(got.segments, " "); s != c.segments || got.verb != c.verb || strings.Join(vars, " ") != c.variables {
			t.Errorf("%s: %q %q %q", c.template, s, got.verb, vars)
		}
	}
	for bad, want := range map[string]string{
		"": "does not begin with /", "v1": "does not begin with /", "/v1/": "a segment is empty", "//": "a segment is empty",
		"/a:": "nothing stands after the colon", "/{": "a { is not closed", "/{}": "names no field", "/{a=}": "names no segments",
		"/**/a": "** is not the last segment", "/{a=**}/b": "** is not the last segment", "/a*": "neither text, * nor **",
		"/{a}b": "not followed by /", "/{a}/{a}": "a is bound twice", "/{a={b}}": "neither text", "/{a=b/}": "a segment is empty",
	} {
		if _, err := parseTemplate(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", bad, err, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		keep bool
		want string
	}{
		{"abc", true, "abc"}, {"a%20b", false, "a b"}, {"a%2Fb%2f", false, "a/b/"}, {"a%2Fb%2f%25", true, "a%2Fb%2f%"}, {"%C3%A9", true, "é"},
	} {
		if got, err := unescape(c.in, c.keep); err != nil || got != c.want {
			t.Errorf("%q: %q, %v", c.in, got, err)
		}
	}
	for _, bad := range []string{"%", "%2", "%zz"} {
		if got, err := unescape(bad, false); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}
