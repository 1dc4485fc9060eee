package route

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// reference finds the rule the slow and plain way: it looks at every entry,
// and sorts those that match by what doc.go says.
func reference(entries []Entry, h *wire.Head, host string) (rule int32, ok bool) {
	type found struct {
		rule int32
		key  []int
		name string
	}
	var all []found
	for i, e := range entries {
		for _, p := range hostnames(e) {
			rank, ok := refHost(p, host)
			if !ok || !refMatch(&e.Match, h) {
				continue
			}
			kind, literal := refPath(&e.Match)
			m := &e.Match
			all = append(all, found{e.Rule, []int{
				rank, b2i(kind != 0), -literal, kind, b2i(m.Method == ""),
				-len(m.Headers), -len(m.Queries), -len(m.Cookies),
				int(e.Order.Created), -1, e.Order.Index, i,
			}, e.Order.Name})
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return slices.MinFunc(all, func(a, b found) int {
		for i := range a.key {
			if a.key[i] == -1 && b.key[i] == -1 && i == 9 {
				if c := strings.Compare(a.name, b.name); c != 0 {
					return c
				}
				continue
			}
			if a.key[i] != b.key[i] {
				return a.key[i] - b.key[i]
			}
		}
		return 0
	}).rule, true
}

func hostnames(e Entry) []string {
	if len(e.Hostnames) == 0 {
		return []string{""}
	}
	return e.Hostnames
}

func refHost(pattern, host string) (rank int, ok bool) {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	host = strings.TrimSuffix(host, ".")
	if pattern == "" {
		return 1000, true
	}
	if suffix, wild := strings.CutPrefix(pattern, "*"); wild {
		return 500 - len(pattern), strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return 0, pattern == host
}

// literals counts the characters that every match of a regex begins with.
var literals = map[string]int{".*": 0, "/a.*": 2, "/(a|b)": 1, "/a/[a-c]+": 3, "/.*/b": 1, "/a/b(/.*)?": 4, "/aa?/b": 2}

// refPath gives the place of the kind of path and its literal characters.
func refPath(m *model.Match) (kind, literal int) {
	switch m.PathKind {
	case model.PathExact:
		return 0, len(m.Path)
	case model.PathTemplate:
		text := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(m.Path, "")
		return 1 + b2i(strings.Contains(m.Path, "...}")), len(text)
	case model.PathRegex:
		return 3, literals[m.Path]
	}
	return 4, len(strings.TrimSuffix(m.Path, "/"))
}

func refMatch(m *model.Match, h *wire.Head) bool {
	expr := `.*`
	switch m.PathKind {
	case model.PathExact:
		expr = regexp.QuoteMeta(m.Path)
	case model.PathPrefix:
		expr = regexp.QuoteMeta(strings.TrimSuffix(m.Path, "/")) + `(/.*)?`
	case model.PathRegex:
		expr = m.Path
	case model.PathTemplate:
		expr = ""
		for _, s := range strings.Split(m.Path[1:], "/") {
			switch {
			case strings.HasSuffix(s, "...}"):
				expr += "/.*"
			case strings.HasPrefix(s, "{"):
				expr += "/[^/]+"
			default:
				expr += "/" + regexp.QuoteMeta(s)
			}
		}
	}
	if !regexp.MustCompile(`^(` + expr + `)$`).Match(h.Path) {
		return false
	}
	if m.Method != "" && m.Method != string(h.Method) {
		return false
	}
	query, _ := url.ParseQuery(string(h.Query))
	for _, f := range m.Queries {
		if v, ok := query[f.Name]; !refField(f, first(v), ok) {
			return false
		}
	}
	var lines, cookies []string
	for i := range h.Fields {
		f := &h.Fields[i]
		lines = append(lines, strings.ToLower(string(h.Name(f))), string(h.Value(f)))
		if f.ID == wire.Cookie {
			cookies = append(cookies, strings.Split(string(h.Value(f)), "; ")...)
		}
	}
	for _, f := range m.Headers {
		var vs []string
		for i := 0; i < len(lines); i += 2 {
			if lines[i] == strings.ToLower(f.Name) {
				vs = append(vs, lines[i+1])
			}
		}
		if !refField(f, strings.Join(vs, ", "), vs != nil) {
			return false
		}
	}
	for _, f := range m.Cookies {
		i := slices.IndexFunc(cookies, func(c string) bool { return strings.HasPrefix(c, f.Name+"=") })
		v := ""
		if i >= 0 {
			v = cookies[i][len(f.Name)+1:]
		}
		if !refField(f, v, i >= 0) {
			return false
		}
	}
	return true
}

func first(vs []string) string {
	if len(vs) == 0 {
		return ""
	}
	return vs[0]
}

func refField(f model.FieldMatch, v string, there bool) bool {
	switch f.Kind {
	case model.FieldPresent:
		return there
	case model.FieldAbsent:
		return !there
	case model.FieldRegex:
		return there && regexp.MustCompile(`^(`+f.Value+`)$`).MatchString(v)
	}
	return there && v == f.Value
}

// script draws choices from a fuzzer's bytes, and zeros when they are used up.
type script struct{ data []byte }

func (s *script) n(below int) int {
	if len(s.data) == 0 {
		return 0
	}
	c := s.data[0]
	s.data = s.data[1:]
	return int(c) % below
}

func pick[T any](s *script, from ...T) T { return from[s.n(len(from))] }

func (s *script) fields(names, values []string) (out []model.FieldMatch) {
	for range pick(s, 0, 0, 0, 1, 1, 2) {
		f := model.FieldMatch{Name: pick(s, names...), Value: pick(s, values...)}
		f.Kind = pick(s, model.FieldExact, model.FieldExact, model.FieldRegex, model.FieldPresent, model.FieldAbsent)
		if f.Kind == model.FieldRegex {
			f.Value = pick(s, "a|b", "b.*", ".*")
		}
		out = append(out, f)
	}
	return out
}

func (s *script) entry(rule int) Entry {
	e := Entry{Rule: int32(rule)}
	for range s.n(3) {
		e.Hostnames = append(e.Hostnames, pick(s, "a.example.com", "*.example.com", "*.b.example.com", "b.example.com", "x.b.example.com", "*.com"))
	}
	m := &e.Match
	switch s.n(5) {
	case 1:
		m.PathKind, m.Path = model.PathExact, pick(s, "/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/aa")
	case 2:
		m.PathKind, m.Path = model.PathPrefix, pick(s, "/", "/a", "/a/", "/a/b", "/b/", "/aa/b", "/a/b/c")
	case 3:
		m.PathKind, m.Path = model.PathTemplate, pick(s, "/{x}", "/{x}/", "/a/{x}", "/{x}/b", "/{x}/{y}", "/a/{x}/c", "/{r...}", "/a/{r...}", "/{x}/b/{r...}", "/a/{x}/{y}")
	case 4:
		m.PathKind, m.Path = model.PathRegex, pick(s, ".*", "/a.*", "/(a|b)", "/a/[a-c]+", "/.*/b", "/a/b(/.*)?", "/aa?/b")
	}
	m.Method = pick(s, "", "", "GET", "POST")
	m.Headers = s.fields([]string{"x-env", "X-Env", "accept"}, []string{"a", "b", "a, b"})
	m.Queries = s.fields([]string{"q", "p q"}, []string{"a", "b", "a b"})
	m.Cookies = s.fields([]string{"s", "t"}, []string{"a", "b"})
	e.Order = model.Order{Created: int64(s.n(2)), Name: pick(s, "a", "b"), Index: s.n(2)}
	return e
}

func (s *script) request() (*wire.Head, string) {
	h := &wire.Head{Method: []byte(pick(s, "GET", "POST", "PUT"))}
	for range 1 + s.n(4) {
		h.Path = append(h.Path, pick(s, "/a", "/b", "/c", "/aa", "/")...)
	}
	if path, ok := Normalize(h.Path, nil); ok {
		h.Path = path
	}
	for range s.n(4) {
		h.AddRaw([]byte(pick(s, "x-env", "X-ENV", "Accept")), []byte(pick(s, "a", "b", "c")))
	}
	for range s.n(3) {
		h.AddRaw([]byte("Cookie"), []byte(pick(s, "s=a", "s=b; t=a", "t=b; s=a", "u=a")))
	}
	h.Query = []byte(pick(s, "", "q=a", "q=b&q=a", "p+q=a&q", "p%20q=a+b", "x=1&q=%61", "qq=a"))
	h.HasQuery = len(h.Query) > 0
	return h, pick(s, "a.example.com", "A.Example.com:80", "b.example.com.", "x.b.example.com", "y.x.b.example.com", "example.com", "z.com", "localhost")
}

func FuzzFind(f *testing.F) {
	for seed := range 64 {
		data := make([]byte, 400)
		state := uint32(seed*2654435761 + 1)
		for i := range data {
			state = state*1664525 + 1013904223
			data[i] = byte(state >> 24)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &script{data}
		var entries []Entry
		for i := range 1 + s.n(16) {
			entries = append(entries, s.entry(i))
		}
		table, errs := Build(entries, nil)
		if errs != nil {
			t.Fatal(errs)
		}
		var hit Hit
		for range 8 {
			h, host := s.request()
			want, wantOK := reference(entries, h, host)
			got := table.Find(h, []byte(host), &hit)
			if got != wantOK || got && hit.Rule != want {
				t.Fatalf("%s %s%s?%s: found %v %d, want %v %d\n%+v", h.Method, host, h.Path, h.Query, got, hit.Rule, wantOK, want, entries)
			}
			near := table.Explain(h, []byte(host))
			if got && (len(near) == 0 || near[0].Rule != want || near[0].Why != nil) {
				t.Fatalf("%s %s%s?%s: explained %+v, want %d\n%+v", h.Method, host, h.Path, h.Query, near, want, entries)
			}
			if !got && len(near) > 0 && len(near[0].Why) == 0 {
				t.Fatalf("%s %s%s: explained %+v, but nothing matches", h.Method, host, h.Path, near)
			}
			if got {
				checkParams(t, &entries[want].Match, h.Path, &hit)
			}
		}
	})
}

// checkParams puts the captures into the template, which must give the path.
func checkParams(t *testing.T, m *model.Match, path []byte, hit *Hit) {
	t.Helper()
	if m.PathKind != model.PathTemplate {
		if hit.N != 0 {
			t.Fatalf("%d captures of %+v", hit.N, m)
		}
		return
	}
	filled := m.Path
	for _, p := range hit.Params[:hit.N] {
		filled = strings.NewReplacer("{"+p.Name+"}", string(p.Value), "{"+p.Name+"...}", string(p.Value)).Replace(filled)
	}
	if filled != string(path) {
		t.Fatalf("%s with %q is not %s", m.Path, hit.Params[:hit.N], path)
	}
}
