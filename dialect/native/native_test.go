package native

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// TestCases runs testdata/*.txtar: the documents of in.yaml, and what comes of
// them: "nouns" (one a line: kind, place, JSON) and "problems" (one a line).
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(data)
			want := map[string]string{}
			for _, f := range archive.Files {
				want[f.Name] = string(f.Data)
			}
			nouns, problems := translate(t, want["in.yaml"])
			got := map[string]string{"nouns": nouns, "problems": problems}
			if *update {
				archive.Files = archive.Files[:1]
				for _, name := range []string{"nouns", "problems"} {
					if got[name] != "" {
						archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
					}
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, name := range []string{"nouns", "problems"} {
				if got[name] != want[name] {
					t.Errorf("%s\n got %s\nwant %s", name, got[name], want[name])
				}
			}
		})
	}
}

// translate does what control does.
func translate(t *testing.T, text string) (nouns, problems string) {
	t.Helper()
	d := New()
	d.CEL = func(s string) error {
		if strings.Contains(s, "wrong") {
			return errors.New("1:1: undeclared reference to 'wrong'")
		}
		return nil
	}
	var items []any
	var b strings.Builder
	say := func(list []model.Problem) {
		for _, p := range list {
			fmt.Fprintf(&b, "%s %s [%s]\n", p.Code, p, p.Origin.Object)
		}
	}
	line := 1
	for part := range strings.SplitSeq(text, "---\n") {
		doc, wrong := dialect.Read(source.Document{Path: "mesh/in.yaml", Line: line, Data: []byte(part)})
		line += strings.Count(part, "\n") + 1
		say(wrong)
		if doc.Root == nil {
			continue
		}
		if !d.Claims(doc) {
			b.WriteString("not claimed: " + doc.Get("kind").Value + "\n")
			continue
		}
		item, wrong := d.Parse(doc)
		if say(wrong); item != nil {
			items = append(items, item)
		}
	}
	f := d.Translate(items)
	say(f.Problems)
	var out strings.Builder
	show := func(kind string, refused bool, at *model.Origin, noun any) {
		place := at.String()
		*at = model.Origin{}
		text, err := json.Marshal(noun)
		if err != nil {
			t.Fatal(err)
		}
		if refused {
			kind = "refused " + kind
		}
		fmt.Fprintf(&out, "%s %s %s\n", kind, place, strings.ReplaceAll(string(text), `,"origin":{}`, ""))
	}
	if m := f.Mesh; m != nil {
		c := *m
		show("mesh", c.Refused, &c.Origin, &c)
	}
	for _, x := range f.Workloads {
		c := *x
		show("workload", false, &c.Origin, &c)
	}
	for _, x := range f.Services {
		c := *x
		show("service", c.Refused, &c.Origin, &c)
	}
	for _, x := range f.Policies {
		c := *x
		show("policy", c.Refused, &c.Origin, &c)
	}
	return out.String(), b.String()
}

// TestSchema: what the cases that serve have is in the schema, field by field.
func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		AnyOf []any                     `json:"anyOf"`
		Defs  map[string]map[string]any `json:"$defs"`
	}
	if err := json.Unmarshal(text, &s); err != nil || len(s.AnyOf) != len(kinds) {
		t.Fatalf("%d kinds, %v", len(s.AnyOf), err)
	}
	for _, p := range append(objects(), parts()...) {
		def := s.Defs[p.typ.Name()]
		fields, _ := def["properties"].(map[string]any)
		if len(fields) == 0 || def["additionalProperties"] != false {
			t.Errorf("%s has no schema", p.title)
		}
		for name, f := range fields {
			if d, _ := f.(map[string]any)["description"].(string); d == "" {
				t.Errorf("%s.%s has no description", p.title, name)
			}
			if !strings.Contains(string(Reference()), "| `"+name+"` |") {
				t.Errorf("the reference has no %s.%s", p.title, name)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(txtar.Parse(data).Files[0].Data), "---\n") {
			f.Add([]byte(part))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, _ := dialect.Read(source.Document{Path: "in.yaml", Line: 1, Data: text})
		d := New()
		if doc.Root == nil || !d.Claims(doc) {
			return
		}
		item, problems := d.Parse(doc)
		broken := false
		for _, p := range problems {
			broken = broken || p.Severity == model.Broken
		}
		// A policy is never lost, and one that denies never loses a rule.
		p, ok := item.(*model.Policy)
		if doc.Get("kind").Value == "TrafficPolicy" && doc.Get("apiVersion").Value == Group+"/"+Version && !ok {
			t.Fatalf("no policy of %q", text)
		}
		if ok && broken && p.Action == model.Deny && !p.DryRun && !p.Refused {
			t.Fatalf("a broken deny serves: %q", text)
		}
		if item != nil {
			d.Translate([]any{item})
		}
	})
}
