package route

import (
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

func TestBuildErrors(t *testing.T) {
	t.Parallel()
	path := func(kind model.PathKind, p string) model.Match { return model.Match{PathKind: kind, Path: p} }
	bad := []struct {
		match model.Match
		want  string
	}{
		{path("regex", "/a("), "path regex \"/a(\": "},
		{path("regex", "a)(b"), "path regex"},
		{path("exact", "a"), "does not begin with /"},
		{path("prefix", ""), "does not begin with /"},
		{path("prefix", "/a/../.."), "is not a valid path"},
		{path("exact", "/a b"), "is not a valid path"},
		{path("glob", "/a*"), "path kind \"glob\" is unknown"},
		{path("template", "/a/{x}.json"), "whole segment"},
		{path("template", "/a/{x"), "whole segment"},
		{path("template", "/a/{}"), "needs a name"},
		{path("template", "/a/{b c}"), "is not a valid path"},
		{path("template", "/a/{...}"), "needs a name"},
		{path("template", "/a/{r...}/b"), "must be at the end"},
		{path("template", "/a/{x}/{x}"), "appears twice"},
		{path("template", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"), "more than 8"},
		{model.Match{Method: "GET POST"}, "method \"GET POST\" is not a token"},
		{model.Match{Headers: match("exact", "a b", "x")}, "is not a field name"},
		{model.Match{Headers: match("regex", "A", "(")}, "header A: regex"},
		{model.Match{Headers: match("like", "A", "x")}, "kind \"like\" is unknown"},
		{model.Match{Queries: match("exact", "", "x")}, "query parameter match needs a name"},
		{model.Match{Queries: match("regex", "q", "[")}, "query parameter q: regex"},
		{model.Match{Cookies: match("regex", "c", "[")}, "cookie c: regex"},
	}
	good := entryOf("/good")
	good.Rule = 99
	entries := []Entry{good}
	for _, b := range bad {
		entries = append(entries, Entry{Match: b.match, Rule: 1})
	}
	table, errs := Build(entries, nil)
	if len(errs) != len(bad) {
		t.Fatalf("%d errors of %d: %v", len(errs), len(bad), errs)
	}
	for i, e := range errs {
		if e.Index != i+1 || !strings.Contains(e.Error(), bad[i].want) {
			t.Errorf("%d: %v, want %s", e.Index, e, bad[i].want)
		}
	}
	var hit Hit
	if h, host := head("GET h/good"); !table.Find(h, host, &hit) || hit.Rule != 99 {
		t.Error("the good entry is not served")
	}
	if h, host := head("GET h/a"); table.Find(h, host, &hit) {
		t.Errorf("a bad entry is served: %d", hit.Rule)
	}
}

func TestBuildNothing(t *testing.T) {
	t.Parallel()
	table, errs := Build(nil, nil)
	h, host := head("GET h/")
	if errs != nil || table.Find(h, host, &Hit{}) || table.Explain(h, host) != nil {
		t.Error("an empty table finds something")
	}
}

func TestBuildReusesRegexes(t *testing.T) {
	t.Parallel()
	entries := []Entry{entryOf("~/a[0-9]+"), entryOf("x~/a[0-9]+"), {Match: model.Match{Headers: match("regex", "A", "b+")}}}
	first, _ := Build(entries, nil)
	second, _ := Build(append(entries, entryOf("~/c+")), first)
	third, _ := Build(entries[:1], second)
	if len(first.regexes) != 2 || len(second.regexes) != 3 || len(third.regexes) != 1 {
		t.Errorf("%d, %d, %d regexes", len(first.regexes), len(second.regexes), len(third.regexes))
	}
	for expr, re := range first.regexes {
		if second.regexes[expr] != re {
			t.Errorf("%s was compiled again", expr)
		}
	}
}

// A configured path is compared as requests' paths are.
func TestBuildNormalizes(t *testing.T) {
	t.Parallel()
	table := tableOf(t, "=/caf\u00e9/%7ea//b", "/x%2fy/./z")
	var hit Hit
	for i, path := range []string{"/caf%c3%a9/~a/b", "/x%2Fy/z/1"} {
		normal, _ := Normalize([]byte(path), nil)
		h, host := head("GET h" + string(normal))
		if !table.Find(h, host, &hit) || hit.Rule != int32(i) {
			t.Errorf("%s is not found", normal)
		}
	}
}

func TestBuildMany(t *testing.T) {
	t.Parallel()
	for _, l := range layouts {
		entries := layout(3000, l.oneHost)
		table, errs := Build(entries, nil)
		if errs != nil {
			t.Fatal(errs)
		}
		var hit Hit
		for i := range entries {
			host, path := target(i, l.oneHost, nil, nil)
			h, _ := head("GET " + string(host) + string(path))
			if !table.Find(h, host, &hit) || hit.Rule != int32(i) {
				t.Fatalf("%s%s: %d, want %d", host, path, hit.Rule, i)
			}
		}
	}
}
