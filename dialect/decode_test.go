package dialect

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// shape has a field of every kind that the decoder knows.
type shape struct {
	Text     string            `json:"text,omitempty"`
	Flag     bool              `json:"flag,omitempty"`
	Count    int               `json:"count,omitempty"`
	Port     uint16            `json:"port,omitempty"`
	Ratio    float64           `json:"ratio,omitempty"`
	Wait     time.Duration     `json:"wait,omitempty"`
	Names    []string          `json:"names,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Inner    *shape            `json:"inner,omitempty"`
	List     []shape           `json:"list,omitempty"`
	Data     []byte            `json:"data,omitempty"`
	Raw      json.RawMessage   `json:"raw,omitempty"`
	Any      any               `json:"any,omitempty"`
	Pair     *[2]int           `json:"pair,omitempty"`
	Numbered map[int]string    `json:"numbered,omitempty"`
	When     *time.Time        `json:"when,omitempty"`
	Embedded `json:",inline"`
}

// Embedded stands inline in shape.
type Embedded struct {
	Kind string `json:"kind,omitempty"`
}

// kinds are what a case of testdata may decode into.
var kinds = map[string]func() any{
	"shape":         func() any { return new(shape) },
	"HTTPRoute":     func() any { return new(gatewayv1.HTTPRoute) },
	"Gateway":       func() any { return new(gatewayv1.Gateway) },
	"Secret":        func() any { return new(corev1.Secret) },
	"Service":       func() any { return new(corev1.Service) },
	"EndpointSlice": func() any { return new(discoveryv1.EndpointSlice) },
	"Pod":           func() any { return new(corev1.Pod) },
}

// TestCases runs testdata/*/*.txtar: the files "in" (the document), "into"
// (a name of kinds), and what comes of it, "want" (compact JSON, one line) and
// "problems" (one a line: code, field, text).
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]string{"into": "shape"}
			for _, f := range txtar.Parse(data).Files {
				part[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
			}
			doc, problems := Read(source.Document{Path: "in.yaml", Line: 11, Data: []byte(part["in"] + "\n")})
			into := kinds[part["into"]]()
			if doc.Root != nil {
				problems = append(problems, doc.Decode(doc.Root, "", into)...)
			}
			got, err := json.Marshal(into)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, p := range problems {
				lines = append(lines, p.Code+" "+p.Origin.Field+" "+p.String())
			}
			out := map[string]string{"want": string(got), "problems": strings.Join(lines, "\n")}
			if *update {
				rewrite(t, file, data, out)
				return
			}
			for _, name := range []string{"want", "problems"} {
				if out[name] != part[name] {
					t.Errorf("%s\n got %s\nwant %s", name, out[name], part[name])
				}
			}
		})
	}
}

// rewrite puts what came out into the case. Look at every difference that it
// makes: each must be one that you can explain.
func rewrite(t *testing.T, file string, data []byte, out map[string]string) {
	t.Helper()
	archive := txtar.Parse(data)
	kept := archive.Files[:0]
	for _, f := range archive.Files {
		if _, ours := out[f.Name]; !ours {
			kept = append(kept, f)
		}
	}
	archive.Files = kept
	for _, name := range []string{"want", "problems"} {
		if out[name] != "" {
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(out[name] + "\n")})
		}
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// read makes a Document of text that must be without mistakes.
func read(t testing.TB, text string) *Document {
	t.Helper()
	doc, problems := Read(source.Document{Path: "in.yaml", Line: 1, Data: []byte(text)})
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return doc
}

func TestDocument(t *testing.T) {
	t.Parallel()
	doc := read(t, "kind: A\nspec:\n  rules:\n  - name: x\n  - name: y\nmetadata:\n  labels:\n    a.b/c: d\n")
	if got := strings.Join(doc.Keys(), " "); got != "kind spec metadata" {
		t.Errorf("Keys: %s", got)
	}
	if n := doc.Get("kind"); n == nil || n.Value != "A" {
		t.Errorf("Get(kind): %v", n)
	}
	if n := doc.Get("kin"); n != nil {
		t.Errorf("Get(kin): %v", n)
	}
	for path, line := range map[string]int{
		"":                           1,
		"kind":                       1,
		"spec.rules[1].name":         5,
		"spec.rules[1].nam":          5, // its parent
		"spec.rules[2].name":         4, // the list
		`metadata.labels["a.b/c"]`:   8,
		"nothing.of.this":            1,
		"spec.rules[x]":              4,
		`metadata.labels["unclosed`:  8,
		"spec.rules[1].name.further": 5,
	} {
		if n := doc.At(path); n == nil || n.Line != line {
			t.Errorf("At(%s): %+v, want line %d", path, n, line)
		}
	}
	doc.Line = 100
	want := model.Origin{Source: "in.yaml", Line: 104, Column: 11, Field: "f"}
	if got := doc.Origin(doc.At("spec.rules[1].name"), "f"); got != want {
		t.Errorf("Origin: %+v", got)
	}
}

func TestDecodeOneType(t *testing.T) {
	t.Parallel()
	doc := read(t, "spec:\n  rules:\n  - path: 5\n")
	var rules []struct {
		Path string `json:"path"`
	}
	problems := doc.Decode(doc.At("spec.rules"), "spec.rules", &rules)
	if len(problems) != 1 || problems[0].Origin.Field != "spec.rules[0].path" {
		t.Errorf("problems: %v", problems)
	}
	if got := doc.Decode(nil, "", &rules); got != nil {
		t.Errorf("nil node: %v", got)
	}
}
