package gatewayapi

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/naru-mesh/naru/model"
)

// Whatever the documents are, Translate does not panic, names its nouns once
// and points into the file, and gives the same again.
func FuzzTranslate(f *testing.F) {
	cases, _ := filepath.Glob("testdata/*/*.txtar")
	for _, path := range cases {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(data).Files {
			if filepath.Ext(file.Name) == ".yaml" {
				f.Add(append([]byte(shopGateway+"---\n"), file.Data...))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := New()
		items, problems := parseAll(d, "in.yaml", data)
		first := d.Translate(items)
		for _, p := range append(problems, first.Problems...) {
			if p.Message == "" || p.Code == "" || p.Severity == "" || p.Origin.Source == "" || p.Origin.Line < 1 {
				t.Errorf("a problem without a place or message: %+v", p)
			}
		}
		known := make(map[string]bool)
		add := func(kind, name string, origin model.Origin) {
			if known[kind+name] {
				t.Errorf("%s %s is there twice", kind, name)
			}
			known[kind+name] = true
			if origin.Line < 1 {
				t.Errorf("%s %s has no place", kind, name)
			}
		}
		for _, l := range first.Listeners {
			add("listener ", l.Name, l.Origin)
		}
		for _, s := range first.Services {
			add("service ", s.Name, s.Origin)
		}
		for _, r := range first.Routes {
			add("route ", r.Name, r.Origin)
			for _, p := range r.Parents {
				if !known["listener "+p] {
					t.Errorf("route %s has no parent %s", r.Name, p)
				}
			}
			for _, b := range r.Backends {
				if b.Service != "" && !known["service "+b.Service] {
					t.Errorf("route %s has no service %s", r.Name, b.Service)
				}
			}
		}
		for _, f := range first.Flows {
			add("flow ", f.Name, f.Origin)
			for _, p := range f.Parents {
				if !known["listener "+p] {
					t.Errorf("flow %s has no parent %s", f.Name, p)
				}
			}
			for _, b := range f.Backends {
				if b.Service != "" && !known["service "+b.Service] {
					t.Errorf("flow %s has no service %s", f.Name, b.Service)
				}
			}
		}
		for _, s := range first.Services {
			if s.TLS != nil && s.TLS.Certificate != "" && !slices.ContainsFunc(first.Certificates, func(c *model.Certificate) bool { return c.Name == s.TLS.Certificate }) {
				t.Errorf("service %s has no certificate %s", s.Name, s.TLS.Certificate)
			}
		}
		d.Status()
		second := d.Translate(items)
		for i := range first.Routes {
			if first.Routes[i] != second.Routes[i] {
				t.Errorf("route %s was made twice", first.Routes[i].Name)
			}
		}
	})
}
