package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	entries := []Entry{
		entryOf("api.example.com/a"),
		entryOf("GET api.example.com/a/b"),
		entryOf("POST api.example.com/a/b"),
		entryOf("other.example.com/a/b"),
		{Hostnames: []string{"*.example.com"}, Match: model.Match{PathKind: "exact", Path: "/a/c", Headers: match("present", "x-env", ""), Queries: match("exact", "q", "2"), Cookies: match("regex", "s", "v[0-9]")}},
		entryOf("api.example.com/t/{id}/{rest...}"),
		entryOf("api.example.com~/r[0-9]"),
		{Match: model.Match{PathKind: "prefix", Path: "/a/b", Headers: match("absent", "accept", "")}},
	}
	for i := range entries {
		entries[i].Rule = int32(i)
	}
	table, errs := Build(entries, nil)
	if errs != nil {
		t.Fatal(errs)
	}
	for _, c := range []struct{ request, want string }{
		{"GET api.example.com/a/b?q=1", `1
0: matches too, but the winner has a longer path
2: method is GET, wanted POST
7: header accept is there, wanted none
4: path /a/b is not /a/c; header x-env is missing; query parameter q is "1", wanted "2"; cookie s is "x", which does not match v[0-9]`},
		// Where nothing matches, other hosts and paths that begin alike tell something.
		{"GET nowhere.example.org/a/b", `7: header accept is there, wanted none
1: host nowhere.example.org is not api.example.com`},
		{"GET api.example.com/a/x", `0
1: path /a/x is not below /a/b
2: path /a/x is not below /a/b; method is GET, wanted POST
7: path /a/x is not below /a/b; header accept is there, wanted none
4: path /a/x is not /a/c`},
	} {
		h, host := head(c.request, "Accept: *", "Cookie: s=x")
		var lines []string
		for i, n := range table.Explain(h, host) {
			line := fmt.Sprint(n.Rule)
			if len(n.Why) > 0 {
				line += ": " + strings.Join(n.Why, "; ")
			}
			if n.Index != int(n.Rule) || n.Match.Path != entries[n.Rule].Match.Path {
				t.Errorf("%d is entry %d, %+v", n.Rule, n.Index, n.Match)
			}
			if i > 0 || strings.Contains(c.want, "\n") {
				lines = append(lines, line)
			}
		}
		if got := strings.Join(lines, "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.request, got, c.want)
		}
	}
}

func TestExplainLeavesStrangersOut(t *testing.T) {
	t.Parallel()
	table, _ := Build([]Entry{entryOf("api.example.com/orders"), entryOf("GET other.example.com/items"), entryOf("api.example.com/payments/x")}, nil)
	for request, want := range map[string]int{
		"GET api.example.com/orders":     1, // itself
		"GET api.example.com/ordres":     1, // a slip
		"GET api.example.com/items":      1, // on another host
		"GET api.example.com/payments/y": 1,
		"GET api.example.com/nowhere":    0,
		"GET new.example.com/nowhere":    0,
	} {
		h, host := head(request)
		if near := table.Explain(h, host); len(near) != want {
			t.Errorf("%s: %+v, want %d", request, near, want)
		}
	}
}

func TestExplainIsBounded(t *testing.T) {
	t.Parallel()
	entries := layout(2000, true)
	table, _ := Build(entries, nil)
	h, host := head("POST api.example.com/team12/service1234/v1")
	near := table.Explain(h, host)
	if len(near) != maxNear || near[0].Rule != 1234 || near[0].Why != nil {
		t.Errorf("%d, first %+v", len(near), near[0])
	}
	h, host = head("POST api.example.com/team12/service1233/v1")
	if near = table.Explain(h, host); near[0].Rule != 1233 || len(near[0].Why) != 1 || near[0].Why[0] != "method is POST, wanted GET" {
		t.Errorf("%+v", near[0])
	}
}
