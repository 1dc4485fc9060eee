package short

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// TestCases runs testdata/*/*.txtar: every *.yaml in a case is a document, and
// what comes of them is "nouns" (one a line: kind, place, JSON) and "problems"
// (one a line).
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(data)
			part := map[string]string{}
			var docs []source.Document
			kept := archive.Files[:0]
			for _, f := range archive.Files {
				if strings.HasSuffix(f.Name, ".yaml") {
					docs = append(docs, source.Document{Path: f.Name, Line: 1, Data: f.Data})
					kept = append(kept, f)
					continue
				}
				part[f.Name] = string(f.Data)
			}
			fragment, problems := translate(docs)
			out := map[string]string{"nouns": show(t, fragment), "problems": lines(problems)}
			if *update {
				archive.Files = kept
				for _, name := range []string{"nouns", "problems"} {
					if out[name] != "" {
						archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(out[name])})
					}
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, name := range []string{"nouns", "problems"} {
				if out[name] != part[name] {
					t.Errorf("%s\n got %s\nwant %s", name, out[name], part[name])
				}
			}
		})
	}
}

// translate does what control does.
func translate(docs []source.Document) (*model.Fragment, []model.Problem) {
	d := New()
	d.CEL = func(s string) error {
		if strings.Contains(s, "wrong") {
			return errors.New("1:1: undeclared reference to 'wrong'")
		}
		return nil
	}
	d.Key = d.CEL
	var items []any
	var problems []model.Problem
	for _, doc := range docs {
		read, wrong := dialect.Read(doc)
		problems = append(problems, wrong...)
		if read.Root == nil {
			continue
		}
		if !d.Claims(read) {
			problems = append(problems, read.Problem(nil, "", "unclaimed", "not claimed", ""))
			continue
		}
		item, wrong := d.Parse(read)
		problems = append(problems, wrong...)
		items = append(items, item)
	}
	f := d.Translate(items)
	return f, append(problems, f.Problems...)
}

// show writes the nouns, one a line.
func show(t *testing.T, f *model.Fragment) string {
	t.Helper()
	var b strings.Builder
	line := func(kind string, at model.Origin, noun any) {
		text, err := json.Marshal(noun)
		if err != nil {
			t.Fatal(err)
		}
		short := strings.NewReplacer(`,"origin":{}`, "", `,"timeouts":{}`, "", `,"limits":{}`, "").Replace(string(text))
		fmt.Fprintf(&b, "%s %s %s %s\n", kind, at, at.Field, short)
	}
	for _, x := range f.Listeners {
		c := *x
		c.Origin = model.Origin{}
		line(serves("listener", x.Refused), x.Origin, c)
	}
	for _, x := range f.Certificates {
		c := *x
		c.Origin = model.Origin{}
		line("certificate", x.Origin, c)
	}
	for _, x := range f.Routes {
		c := *x
		c.Origin = model.Origin{}
		line("route", x.Origin, c)
	}
	for _, x := range f.Flows {
		c := *x
		c.Origin = model.Origin{}
		line("flow", x.Origin, c)
	}
	for _, x := range f.Services {
		c := *x
		c.Origin = model.Origin{}
		line(serves("service", x.Refused), x.Origin, c)
	}
	for _, x := range f.Policies {
		c := *x
		c.Origin = model.Origin{}
		line(serves("policy", x.Refused), x.Origin, c)
	}
	if f.Mesh != nil {
		c := *f.Mesh
		c.Origin = model.Origin{}
		line(serves("mesh", f.Mesh.Refused), f.Mesh.Origin, c)
	}
	if f.Settings != nil {
		c := *f.Settings
		c.Origin = model.Origin{}
		line("settings", f.Settings.Origin, c)
	}
	return b.String()
}

func serves(kind string, refused bool) string {
	if refused {
		return "refused " + kind
	}
	return kind
}

func lines(problems []model.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s %s %s\n", p.Code, p.Origin.Field, p)
	}
	return b.String()
}

// many is a file of n routes.
func many(n int) []byte {
	var b strings.Builder
	b.WriteString("listen: [\":8080\"]\nservices:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "  service-%d: [10.0.0.%d:9002, 10.0.1.%d:9002]\n", i, i, i)
	}
	b.WriteString("routes:\n")
	for i := range n {
		fmt.Fprintf(&b, "- match: GET api-%d.example.com/v1/things-%d/{id}\n  to: service-%d\n  timeout: 5s\n  retry: 2\n", i%100, i, i%50)
	}
	return []byte(b.String())
}

// One file of 10,000 routes, from text to nouns: what a reload costs.
func BenchmarkManyRoutes(b *testing.B) {
	text := many(10_000)
	doc := source.Document{Path: "routes.yaml", Line: 1, Data: text}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, problems := translate([]source.Document{doc}); len(problems) > 0 {
			b.Fatal(problems[0])
		}
	}
}

func TestMany(t *testing.T) {
	t.Parallel()
	f, problems := translate([]source.Document{{Path: "routes.yaml", Line: 1, Data: many(1000)}})
	if len(problems) > 0 || len(f.Routes) != 1000 || len(f.Services) != 50 {
		t.Fatalf("%d routes, %d services, problems %v", len(f.Routes), len(f.Services), problems)
	}
	if r := f.Routes[999]; r.Name != "routes/999" || r.Origin.Line != 54+4*999 || r.Origin.Column != 3 {
		t.Errorf("the last route: %+v", r)
	}
}

// What did not change is translated to the same nouns.
func TestSamePointers(t *testing.T) {
	t.Parallel()
	d := New()
	doc, _ := dialect.Read(source.Document{Path: "a.yaml", Line: 1, Data: many(3)})
	item, problems := d.Parse(doc)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	one, two := d.Translate([]any{item}), d.Translate([]any{item})
	for i := range one.Routes {
		if one.Routes[i] != two.Routes[i] {
			t.Errorf("route %d was made anew", i)
		}
	}
	if empty := d.Translate(nil); len(empty.Listeners) != 0 {
		t.Errorf("no document, and a listener: %+v", empty.Listeners[0])
	}
}

func FuzzShort(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil {
			for _, part := range a.Files {
				f.Add(part.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, _ := dialect.Read(source.Document{Path: "a.yaml", Line: 1, Data: text})
		if doc.Root == nil || !New().Claims(doc) {
			return
		}
		item, _ := New().Parse(doc)
		fragment := New().Translate([]any{item, item})
		for _, r := range fragment.Routes {
			if len(r.Matches) == 0 {
				t.Errorf("route %s matches everything", r.Name)
			}
		}
	})
}

func TestTo(t *testing.T) {
	t.Parallel()
	f, problems := translate([]source.Document{{Data: To("https://example.com", "127.0.0.1:8081")}})
	if len(problems) > 0 || len(f.Routes) != 1 || len(f.Services) != 1 || len(f.Listeners) != 1 {
		t.Fatalf("%v %+v", problems, f)
	}
	if f.Listeners[0].Port != 8081 || f.Services[0].Host != "example.com" || f.Services[0].TLS == nil {
		t.Errorf("%+v %+v", f.Listeners[0], f.Services[0])
	}
	if _, problems := translate([]source.Document{{Data: To("ftp://x", "")}}); len(problems) != 1 {
		t.Errorf("ftp: %v", problems)
	}
}

func TestSecure(t *testing.T) {
	t.Parallel()
	f, problems := translate([]source.Document{{Data: Secure("http://127.0.0.1:1", "", "auto", []string{"a.example.com", "b.example.com"})}})
	if len(problems) != 0 || len(f.Listeners) != 2 || f.Listeners[0].Port != 443 || f.Listeners[1].Port != 80 || f.Listeners[1].Protocol != model.HTTP {
		t.Fatal(problems, f.Listeners)
	}
	if i := f.Listeners[0].Issuance; i == nil || i.By != model.ACME || !slices.Equal(i.Names, []string{"a.example.com", "b.example.com"}) {
		t.Errorf("issuance %+v", i)
	}
	if len(f.Routes) != 2 || !slices.Equal(f.Routes[0].Parents, []string{"listen/:443"}) {
		t.Errorf("routes %+v", f.Routes)
	}
	f, problems = translate([]source.Document{
		{Path: "naru.yaml", Data: []byte("routes: [{to: \"http://127.0.0.1:1\"}]")},
		{Path: "--tls", Data: Secure("", "127.0.0.1:8443", "local", nil)},
	})
	if len(problems) != 0 || len(f.Listeners) != 1 || f.Listeners[0].Address != "127.0.0.1" || f.Listeners[0].Port != 8443 {
		t.Fatal(problems, f.Listeners)
	}
	if i := f.Listeners[0].Issuance; i == nil || i.By != model.Local || i.Names != nil {
		t.Errorf("issuance %+v", i)
	}
	if len(f.Routes) != 1 || !slices.Equal(f.Routes[0].Parents, []string{f.Listeners[0].Name}) {
		t.Errorf("routes %+v", f.Routes)
	}
}
