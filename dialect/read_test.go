package dialect

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/source"
)

// What a hostile document asks for is refused before it costs anything.
func TestBounds(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	var merges strings.Builder
	merges.WriteString("a0: &a0 {k: 1}\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&merges, "a%d: &a%d {<<: [*a%d, *a%d], k%d: 1}\n", i, i, i-1, i-1, i)
	}
	for _, c := range []struct{ name, text, want string }{
		{"aliases", laughs.String(), "in.yaml:6:45: error: aliases add more than 1000000 nodes (write less with * and <<)"},
		{"levels", "a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "in.yaml:1:104: error: more than 100 levels inside each other"},
		{"levels of blocks", strings.Repeat("- ", 300) + "a", "in.yaml:1:203: error: more than 100 levels inside each other"},
	} {
		doc, problems := Read(source.Document{Path: "in.yaml", Line: 1, Data: []byte(c.text)})
		if len(problems) != 1 || problems[0].String() != c.want || doc.Root != nil {
			t.Errorf("%s: %v", c.name, problems)
		}
	}
	big := source.Document{Path: "in.yaml", Line: 1, Data: make([]byte, maxBytes+1)}
	want := "in.yaml:1: error: the document has 64 MiB, and 64 MiB is the most (split it into several documents with a line ---)"
	if _, problems := Read(big); len(problems) != 1 || problems[0].String() != want {
		t.Errorf("size: %v", problems)
	}
	if doc, problems := Read(source.Document{Data: []byte(merges.String())}); len(problems) > 0 && doc.Root != nil {
		t.Errorf("merges: %v", problems)
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	doc := read(t, "list:\n- a: 1\n  b: 2\n# note\n- c: 3\n- d: 4\n")
	items := doc.Get("list").Content
	if lines, ok := doc.Between(items[0], items[1]); !ok || string(lines) != "- a: 1\n  b: 2\n# note\n" {
		t.Errorf("%q %v", lines, ok)
	}
	if lines, ok := doc.Between(items[1], items[2]); !ok || !bytes.Equal(lines, []byte("- c: 3\n")) {
		t.Errorf("%q %v", lines, ok)
	}
	if _, ok := doc.Between(items[1], items[1]); ok {
		t.Error("a node has lines up to itself")
	}
	doc = read(t, "list:\n- &a {b: 1}\n- *a\n")
	if _, ok := doc.Between(doc.Get("list").Content[0], doc.Get("list").Content[1]); ok {
		t.Error("a document with aliases has independent lines")
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"orders", "payments", "catalog", "a", "path"}
	for name, want := range map[string]string{
		"ordrs": "orders", "ORDERS": "orders", "oredrs": "orders", "order": "orders",
		"pat": "path", "paht": "path", "b": "", "storefront": "", "A": "a", "": "",
		strings.Repeat("x", 1000): "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := DidYouMean("storefront", names, "services"); got != "known services: orders, payments, catalog, a, path" {
		t.Error(got)
	}
	if got := DidYouMean("x", nil, "services"); got != "" {
		t.Error(got)
	}
}
