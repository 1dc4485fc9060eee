package gatewayapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// Each case is a txtar file: documents (*.yaml), and what they come to: the
// sections listeners, routes, flows, services, certificates and status, of which a
// case has those that it is about, and problems, which must be complete.
func TestTranslate(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(path, "testdata/"), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d := New()
			d.Key = func(s string) error {
				if s == "wrong" {
					return errors.New("1:1: undeclared reference to 'wrong'")
				}
				return nil
			}
			var items []any
			var problems []model.Problem
			for _, f := range archive.Files {
				if filepath.Ext(f.Name) == ".yaml" {
					more, wrong := parseAll(d, f.Name, f.Data)
					items, problems = append(items, more...), append(problems, wrong...)
				}
			}
			fragment := d.Translate(items)
			got := sections(t, d, fragment, append(problems, fragment.Problems...))
			told := false
			for i := range archive.Files {
				f := &archive.Files[i]
				want, ok := got[f.Name]
				if !ok {
					continue
				}
				told = told || f.Name == "problems"
				if !*update && string(f.Data) != want {
					t.Errorf("%s:\n%s\nwant\n%s", f.Name, want, f.Data)
				}
				f.Data = []byte(want)
			}
			if !told && got["problems"] != "" {
				archive.Files = append(archive.Files, txtar.File{Name: "problems", Data: []byte(got["problems"])})
				if !*update {
					t.Errorf("problems that are not expected:\n%s", got["problems"])
				}
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// parseAll parses the documents of a file.
func parseAll(d *Dialect, name string, data []byte) (items []any, problems []model.Problem) {
	for _, doc := range split(name, data) {
		read, wrong := dialect.Read(doc)
		problems = append(problems, wrong...)
		if read.Root == nil || !d.Claims(read) {
			continue
		}
		item, wrong := d.Parse(read)
		problems = append(problems, wrong...)
		if item != nil {
			items = append(items, item)
		}
	}
	return items, problems
}

// split makes documents of a file.
func split(name string, data []byte) []source.Document {
	var docs []source.Document
	line := 1
	for _, part := range bytes.Split(append([]byte("\n"), data...), []byte("\n---\n")) {
		part = bytes.TrimPrefix(part, []byte("\n"))
		docs = append(docs, source.Document{
			Path: name, Line: line, Data: part,
			Sum: sha256.Sum256([]byte(name + ":" + strconv.Itoa(line) + string(part))),
		})
		line += bytes.Count(part, []byte("\n")) + 2
	}
	return docs
}

// sections writes a Fragment as a case expects it.
func sections(t *testing.T, d *Dialect, f *model.Fragment, problems []model.Problem) map[string]string {
	t.Helper()
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String())
		if p.Condition != "" {
			b.WriteString(" [" + p.Condition + "/" + p.Reason + "]")
		}
		b.WriteByte('\n')
	}
	status := d.Status()
	return map[string]string{
		"listeners":    lines(t, f.Listeners),
		"routes":       lines(t, f.Routes),
		"services":     lines(t, f.Services),
		"subjects":     subjects(f),
		"policies":     policyLines(t, f.Traffic),
		"flows":        lines(t, f.Flows),
		"certificates": lines(t, f.Certificates),
		"problems":     b.String(),
		"status": lines(t, status.GatewayClasses) + lines(t, status.Gateways) +
			lines(t, status.ListenerSets) + lines(t, status.HTTPRoutes) + lines(t, status.GRPCRoutes) +
			lines(t, status.TLSRoutes) + lines(t, status.TCPRoutes) + lines(t, status.UDPRoutes) + lines(t, status.BackendTLSPolicies),
	}
}

// subjects writes what policies name nouns by.
func subjects(f *model.Fragment) string {
	var b strings.Builder
	for _, r := range f.Routes {
		fmt.Fprintf(&b, "%s %v\n", r.Name, r.Subject)
	}
	for _, s := range f.Services {
		fmt.Fprintf(&b, "%s %v\n", s.Name, s.Subject)
	}
	return b.String()
}

// policyLines writes what policies say, and nothing of what they do not.
func policyLines(t *testing.T, list []*model.TrafficPolicy) string {
	t.Helper()
	var b strings.Builder
	for _, line := range strings.SplitAfter(lines(t, list), "\n") {
		var tree any
		if json.Unmarshal([]byte(line), &tree) != nil {
			continue
		}
		text, err := json.Marshal(prune(tree))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.String()
}

// prune leaves out what is empty, and where it was written.
func prune(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for k, x := range m {
		x = prune(x)
		if inner, is := x.(map[string]any); k == "order" || k == "origin" || x == nil || x == "" || is && len(inner) == 0 {
			delete(m, k)
		}
	}
	return m
}

// lines writes each of a list as a line of JSON, with short origins and
// conditions.
func lines[T any](t *testing.T, list []T) string {
	t.Helper()
	var b strings.Builder
	for _, v := range list {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatal(err)
		}
		out := json.NewEncoder(&b)
		out.SetEscapeHTML(false)
		if err := out.Encode(shorten(tree)); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// shorten writes an origin as file:line:column, a condition as type=reason and
// leaves out what is empty.
func shorten(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = shorten(v[i])
		}
	case map[string]any:
		if kind, ok := v["type"].(string); ok && v["status"] != nil {
			mark := map[any]string{"True": "+", "False": "-"}[v["status"]]
			text := mark + kind
			if v["reason"] != v["type"] {
				text += "=" + v["reason"].(string)
			}
			if v["message"] != nil {
				text += ": " + v["message"].(string)
			}
			return text
		}
		delete(v, "subject") // testdata/policy/subjects.txtar has them
		for k := range v {
			switch value := v[k].(type) {
			case map[string]any:
				switch {
				case k == "origin":
					v[k] = short(value)
				case len(value) == 0:
					delete(v, k)
				default:
					v[k] = shorten(value)
				}
			default:
				v[k] = shorten(value)
			}
		}
	}
	return v
}

func short(origin map[string]any) string {
	text, _ := json.Marshal(origin)
	var o model.Origin
	_ = json.Unmarshal(text, &o)
	return o.String()
}
