package route

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// head makes a request from "GET host/path?query" and header lines.
func head(request string, lines ...string) (*wire.Head, []byte) {
	h := &wire.Head{}
	method, target, _ := strings.Cut(request, " ")
	host, path, _ := strings.Cut(target, "/")
	path, query, has := strings.Cut("/"+path, "?")
	h.Method, h.Path, h.Query, h.HasQuery = []byte(method), []byte(path), []byte(query), has
	h.Authority = []byte(host)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.AddRaw([]byte(name), []byte(value))
	}
	return h, h.Authority
}

// entryOf makes an Entry from "[METHOD ][host]path", a path kind being written as
// "=/exact", "/prefix", "{/template}" or "~regex".
func entryOf(spec string) Entry {
	var e Entry
	if m, rest, ok := strings.Cut(spec, " "); ok {
		e.Match.Method, spec = m, rest
	}
	i := strings.IndexAny(spec, "=/~")
	if i < 0 {
		i = len(spec)
	}
	if i > 0 {
		e.Hostnames = []string{spec[:i]}
	}
	switch path := spec[i:]; {
	case path == "":
	case path[0] == '=':
		e.Match.PathKind, e.Match.Path = model.PathExact, path[1:]
	case path[0] == '~':
		e.Match.PathKind, e.Match.Path = model.PathRegex, path[1:]
	case strings.Contains(path, "{"):
		e.Match.PathKind, e.Match.Path = model.PathTemplate, path
	default:
		e.Match.PathKind, e.Match.Path = model.PathPrefix, path
	}
	return e
}

func tableOf(t *testing.T, specs ...string) *Table {
	t.Helper()
	var entries []Entry
	for i, s := range specs {
		e := entryOf(s)
		e.Rule = int32(i)
		entries = append(entries, e)
	}
	table, errs := Build(entries, nil)
	if errs != nil {
		t.Fatal(errs)
	}
	return table
}

func long(n int) string { return strings.Repeat("x", n) }

func TestNodeFillsALine(t *testing.T) {
	t.Parallel()
	if n := reflect.TypeFor[node]().Size(); n != 64 {
		t.Errorf("a node has %d bytes: see segment", n)
	}
}

func TestFindByPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		specs    string // separated by blanks
		requests string // "path winner", separated by commas; winner - is none
	}{
		// The examples of HTTPPathMatch.
		{"=/abc", "/abc =/abc,/abc/ -,/Abc -,/abcd -"},
		{"/abc", "/abc /abc,/abc/ /abc,/abc/def /abc,/abcd -,/ab -"},
		{"/abc/", "/abc /abc/,/abc/ /abc/,/abc/def /abc/,/abcd -"},
		{"/", "/ /,/a /,/a/b /"},
		// Exact, then the longest prefix, as the conformance tests want it.
		{"/ /one /one/two =/one /three =/three/four", "/ /,/x /,/one =/one,/one/ /one,/one/x /one,/one/two /one/two,/one/two/ /one/two,/one/twox /one,/three/four =/three/four,/three/four/ /three"},
		{"=/ /", "/ =/,/a /"},
		{"=/a/ =/a", "/a =/a,/a/ =/a/"},
		// Templates.
		{"/o/{id}", "/o/1 /o/{id},/o/ -,/o -,/o/1/ -,/o/1/2 -"},
		{"/o/{id} =/o/new /o /o/new", "/o/new =/o/new,/o/new/x /o/new,/o/1 /o/{id},/o/1/2 /o"},
		{"/o/{id}/items /o/{id} /{a}/{b}/{c} /o/special/{x}", "/o/1/items /o/{id}/items,/o/1 /o/{id},/p/1/items /{a}/{b}/{c},/o/special/items /o/special/{x},/o/special/x /o/special/{x}"},
		{"/f/{r...} /f/{x}", "/f -,/f/ /f/{r...},/f/a /f/{x},/f/a/b /f/{r...},/f/a/ /f/{r...}"},
		{"/{r...}", "/ /{r...},/a/b /{r...}"},
		// Regexes: the whole path, and a place by literal text.
		{"~/v[0-9]+", "/v1 ~/v[0-9]+,/v12 ~/v[0-9]+,/v -,/v1/a -,/x/v1 -"},
		{"/ ~.*\\.png /img", "/a.png ~.*\\.png,/a.jpg /,/img/a.png /img"},
		{"/users ~/users/[0-9]+ /users/{name}", "/users/1 /users/{name},/users/a /users/{name},/users/1/x /users"},
		{"/users ~/users/[0-9]+", "/users/1 ~/users/[0-9]+,/users/a /users"},
		{"~^/users/(a|b)$", "/users/a ~^/users/(a|b)$,/users/c -"},
		{"~/a|/b", "/a ~/a|/b,/b ~/a|/b,/ab -"},
		{"~(?i)/ADMIN/.*", "/admin/x ~(?i)/ADMIN/.*,/Admin/x ~(?i)/ADMIN/.*"},
		// Segments around and beyond what a node has room for.
		{"/" + long(41) + "/a /" + long(42) + "/b /" + long(300), "/" + long(41) + "/a/x /" + long(41) + "/a,/" + long(42) + "/b /" + long(42) + "/b,/" + long(300) + " /" + long(300) + ",/" + long(299) + " -,/" + long(43) + "/b -"},
		// A candidate further down that fails leads back up.
		{"POST_/a/b /a", "/a/b /a"},
	} {
		specs := strings.Fields(strings.ReplaceAll(c.specs, "_", "\x00"))
		for i := range specs {
			specs[i] = strings.ReplaceAll(specs[i], "\x00", " ")
		}
		table := tableOf(t, specs...)
		var hit Hit
		for r := range strings.SplitSeq(c.requests, ",") {
			path, want, _ := strings.Cut(r, " ")
			h, host := head("GET example.com" + path)
			got := "-"
			if table.Find(h, host, &hit) {
				got = specs[hit.Rule]
			}
			if got != want {
				t.Errorf("%s among %s: %s, want %s", path, c.specs, got, want)
			}
		}
	}
}

func TestFindByHost(t *testing.T) {
	t.Parallel()
	table := tableOf(t,
		"example.com/", "*.example.com/", "*.very.example.com/", "very.specific.example.com/v",
		"/fallback", "GET *.com/", "=/exact")
	for request, want := range map[string]int{
		"GET example.com/":                  0,
		"GET EXAMPLE.com:8080/":             0,
		"GET a.example.com/":                1,
		"GET a.b.example.com/":              1,
		"GET a.very.example.com/":           2,
		"GET very.specific.example.com/v/1": 3,
		// Less specific hosts are tried when a more specific one has nothing.
		"GET very.specific.example.com/x":  1,
		"GET other.com/":                   5,
		"GET other.org/fallback/x":         4,
		"POST other.com/fallback":          4,
		"GET example.com/exact":            0, // host before path
		"GET very.specific.example.com/vx": 1,
		"POST other.com/":                  -1,
		"GET other.org/":                   -1,
	} {
		h, host := head(request)
		hit := Hit{Rule: -1}
		if ok := table.Find(h, host, &hit); ok != (want >= 0) || ok && hit.Rule != int32(want) {
			t.Errorf("%s: %v %d, want %d", request, ok, hit.Rule, want)
		}
	}
}

func match(kind model.FieldKind, name, value string) []model.FieldMatch {
	return []model.FieldMatch{{Kind: kind, Name: name, Value: value}}
}

func TestFindByFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		match   model.Match
		request string
		lines   []string
		want    bool
	}{
		{model.Match{Method: "GET"}, "GET h/", nil, true},
		{model.Match{Method: "GET"}, "HEAD h/", nil, false},
		{model.Match{Method: "GET"}, "get h/", nil, false},
		{model.Match{Headers: match("exact", "X-Env", "dev")}, "GET h/", []string{"x-env: dev"}, true},
		{model.Match{Headers: match("exact", "X-Env", "dev")}, "GET h/", []string{"x-env: Dev"}, false},
		{model.Match{Headers: match("exact", "X-Env", "dev")}, "GET h/", nil, false},
		{model.Match{Headers: match("exact", "X-Env", "")}, "GET h/", []string{"x-env: "}, true},
		{model.Match{Headers: match("exact", "X-Env", "")}, "GET h/", nil, false},
		{model.Match{Headers: match("exact", "Accept", "a, b")}, "GET h/", []string{"Accept: a", "X: y", "accept: b"}, true},
		{model.Match{Headers: match("regex", "Accept", "a|b")}, "GET h/", []string{"Accept: b"}, true},
		{model.Match{Headers: match("regex", "Accept", "a|b")}, "GET h/", []string{"Accept: ab"}, false},
		{model.Match{Headers: match("present", "Accept", "")}, "GET h/", []string{"accept: "}, true},
		{model.Match{Headers: match("present", "Accept", "")}, "GET h/", nil, false},
		{model.Match{Headers: match("absent", "Accept", "")}, "GET h/", nil, true},
		{model.Match{Headers: match("absent", "Accept", "")}, "GET h/", []string{"Accept: a"}, false},
		{model.Match{Headers: match("exact", "Host", "h:80")}, "GET h:80/", nil, true},
		{model.Match{Headers: append(match("exact", "A", "1"), match("exact", "B", "2")...)}, "GET h/", []string{"A: 1"}, false},
		{model.Match{Headers: append(match("exact", "A", "1"), match("exact", "B", "2")...)}, "GET h/", []string{"B: 2", "A: 1"}, true},
		{model.Match{Queries: match("exact", "q", "1")}, "GET h/?q=1", nil, true},
		{model.Match{Queries: match("exact", "q", "1")}, "GET h/?q=2&q=1", nil, false},
		{model.Match{Queries: match("exact", "q", "1")}, "GET h/?Q=1", nil, false},
		{model.Match{Queries: match("exact", "q", "a b+c")}, "GET h/?x&q=a+b%2Bc", nil, true},
		{model.Match{Queries: match("exact", "q q", "%zz")}, "GET h/?q%20q=%zz", nil, true},
		{model.Match{Queries: match("present", "q", "")}, "GET h/?a=b&q", nil, true},
		{model.Match{Queries: match("exact", "q", "")}, "GET h/?q", nil, true},
		{model.Match{Queries: match("absent", "q", "")}, "GET h/?a=q", nil, true},
		{model.Match{Queries: match("exact", "q", "a=b")}, "GET h/?q=a=b", nil, true},
		{model.Match{Cookies: match("exact", "s", "1")}, "GET h/", []string{"Cookie: a=b; s=1; c=d"}, true},
		{model.Match{Cookies: match("exact", "s", "1")}, "GET h/", []string{"Cookie: a=b;s=1"}, true},
		{model.Match{Cookies: match("exact", "s", "1")}, "GET h/", []string{"Cookie: xs=1; s=2; s=1"}, false},
		{model.Match{Cookies: match("exact", "s", "1")}, "GET h/", []string{"Cookie: a=b", "Cookie: s=1 "}, true},
		{model.Match{Cookies: match("exact", "s", `"1"`)}, "GET h/", []string{`Cookie: s="1"`}, true},
		{model.Match{Cookies: match("absent", "s", "")}, "GET h/", []string{"Cookie: S=1"}, true},
		{model.Match{Cookies: match("regex", "s", "v[12]")}, "GET h/", []string{"Cookie: s=v2"}, true},
	} {
		table, errs := Build([]Entry{{Match: c.match, Rule: 7}}, nil)
		if errs != nil {
			t.Fatal(errs)
		}
		h, host := head(c.request, c.lines...)
		hit := Hit{}
		if got := table.Find(h, host, &hit); got != c.want {
			t.Errorf("%s %q, %+v: %v", c.request, c.lines, c.match, got)
		}
	}
}

func TestFindPreflight(t *testing.T) {
	t.Parallel()
	e := entryOf("PUT /a")
	plain := e
	e.Preflight, e.Rule = true, 1
	table, _ := Build([]Entry{e}, nil)
	without, _ := Build([]Entry{plain}, nil)
	for _, c := range []struct {
		lines []string
		want  bool
	}{
		{[]string{"Origin: http://a", "Access-Control-Request-Method: PUT"}, true},
		{[]string{"Origin: http://a", "Access-Control-Request-Method: GET"}, false},
		{[]string{"Origin: http://a"}, false},
		{[]string{"Access-Control-Request-Method: PUT"}, false},
	} {
		h, host := head("OPTIONS h/a", c.lines...)
		var hit Hit
		if got := table.Find(h, host, &hit); got != c.want {
			t.Errorf("%q: %v", c.lines, got)
		}
		if without.Find(h, host, &hit) {
			t.Errorf("%q matched an entry that takes no preflights", c.lines)
		}
	}
}

// TestPrecedence has pairs of which the first goes before the second, in
// whichever order they come.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	with := func(spec string, change func(*Entry)) Entry {
		e := entryOf(spec)
		change(&e)
		return e
	}
	header := match("present", "A", "")
	h, host := head("GET www.example.com/a/b?q=1", "A: 1", "B: 2", "Cookie: c=1")
	for _, c := range []struct {
		name          string
		first, second Entry
	}{
		{"host before path", entryOf("www.example.com/"), entryOf("*.example.com=/a/b")},
		{"longer wildcard", entryOf("*.example.com/"), entryOf("*.com=/a/b")},
		{"wildcard before any", entryOf("*.com/"), entryOf("=/a/b")},
		{"exact before prefix", entryOf("=/a/b"), with("GET /a/b", func(e *Entry) { e.Match.Headers = header })},
		{"longer prefix", entryOf("/a/b"), with("GET /a", func(e *Entry) { e.Match.Headers = header })},
		{"method before headers", entryOf("GET /a"), with("/a", func(e *Entry) { e.Match.Headers = header })},
		{"headers before queries", with("/a", func(e *Entry) { e.Match.Headers = header }), with("/a", func(e *Entry) { e.Match.Queries = match("present", "q", "") })},
		{"more headers", with("/a", func(e *Entry) { e.Match.Headers = append(header, match("present", "B", "")...) }), with("/a", func(e *Entry) { e.Match.Headers = header })},
		{"queries before cookies", with("/a", func(e *Entry) { e.Match.Queries = match("present", "q", "") }), with("/a", func(e *Entry) { e.Match.Cookies = match("present", "c", "") })},
		{"cookies before age", with("/a", func(e *Entry) { e.Match.Cookies = match("present", "c", ""); e.Order.Created = 9 }), entryOf("/a")},
		{"older", with("/a", func(e *Entry) { e.Order = model.Order{Created: 1, Name: "z"} }), with("/a", func(e *Entry) { e.Order = model.Order{Created: 2, Name: "a"} })},
		{"name", with("/a", func(e *Entry) { e.Order = model.Order{Name: "ns/a", Index: 9} }), with("/a", func(e *Entry) { e.Order = model.Order{Name: "ns/b"} })},
		{"index", with("/a", func(e *Entry) { e.Order = model.Order{Index: 0} }), with("/a", func(e *Entry) { e.Order = model.Order{Index: 1} })},
		{"template before regex", entryOf("/a/{x}"), entryOf("~/a/.*")},
		{"template before its rest", entryOf("/a/{x}"), entryOf("/a/{r...}")},
		{"regex before catch-all", entryOf("~.*"), entryOf("GET /")},
		{"prefix before shorter regex", entryOf("/a"), entryOf("~/.*")},
	} {
		c.first.Rule, c.second.Rule = 1, 2
		for _, entries := range [][]Entry{{c.first, c.second}, {c.second, c.first}} {
			table, errs := Build(entries, nil)
			if errs != nil {
				t.Fatal(errs)
			}
			var hit Hit
			if !table.Find(h, host, &hit) || hit.Rule != 1 {
				t.Errorf("%s: %d", c.name, hit.Rule)
			}
		}
	}
}

func TestHitMatchedAndParams(t *testing.T) {
	t.Parallel()
	table := tableOf(t, "/", "/a/", "=/a/x", "/o/{id}/items/{item}", "/f/{dir}/{rest...}", "~/r.*", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}")
	var hit Hit
	for path, want := range map[string]string{
		"/":                "0 0 []",
		"/zzz":             "0 0 []",
		"/a":               "1 2 []",
		"/a/b":             "1 2 []",
		"/a/x":             "2 4 []",
		"/o/1/items/%20":   "3 14 [{id 1} {item %20}]",
		"/f/d/e/f/":        "4 9 [{dir d} {rest e/f/}]",
		"/f/d/":            "4 5 [{dir d} {rest }]",
		"/rst":             "5 4 []",
		"/1/2/3/4/5/6/7/8": "6 16 [{a 1} {b 2} {c 3} {d 4} {e 5} {f 6} {g 7} {h 8}]",
		"*":                "0 0 []",
	} {
		h := &wire.Head{Method: []byte("GET"), Path: []byte(path)}
		if !table.Find(h, []byte("h"), &hit) {
			t.Errorf("%s: nothing", path)
			continue
		}
		if got := fmt.Sprintf("%d %d %s", hit.Rule, hit.Matched, hit.Params[:hit.N]); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	var hit Hit
	entries := []Entry{
		{Hostnames: []string{"*.example.com"}, Rule: 1, Match: model.Match{PathKind: model.PathPrefix, Path: "/a", Headers: match("exact", "A", "1, 2"), Queries: match("exact", "q", "a b"), Cookies: match("regex", "c", "x+")}},
		{Rule: 2, Match: model.Match{PathKind: model.PathTemplate, Path: "/o/{id}/{rest...}"}},
		{Rule: 3, Match: model.Match{PathKind: model.PathRegex, Path: "/v[0-9]+/.*"}},
	}
	table, _ := Build(entries, nil)
	for _, request := range []string{"GET WWW.Example.com:80/a/b?q=a%20b", "GET h/o/1/2/3", "GET h/v1/x", "GET h/nothing"} {
		h, host := head(request, "A: 1", "A: 2", "Cookie: c=xxx")
		table.Find(h, host, &hit)
		if n := testing.AllocsPerRun(100, func() { table.Find(h, host, &hit) }); n != 0 {
			t.Errorf("%s: %v allocations", request, n)
		}
	}
}
