package dialect

import (
	"fmt"
	"reflect"
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

func TestItems(t *testing.T) {
	t.Parallel()
	text := "list:\n- a: 1\n  b: 2\n# note\n- c: |\n    x\n\n- d: [4,\n  5]\nend:\n"
	whole := read(t, text)
	list := whole.Get("list").Content
	starts := []int{0, 6, 13, 20, 27, 34, 40, 41, 49, 54}
	for i, lines := range [][2]int{{1, 4}, {4, 7}, {7, 9}, {1, 7}} {
		doc, items, ok := Items(whole.Document, whole.Data[starts[lines[0]]:starts[lines[1]]], lines[0]+1)
		if !ok {
			t.Fatalf("%v cannot be read", lines)
		}
		want := list[i%3 : i%3+1]
		if i == 3 {
			want = list[:2]
		}
		if !reflect.DeepEqual(items, want) || doc.Origin(items[0], "x") != whole.Origin(want[0], "x") {
			t.Errorf("%v: other items", lines)
		}
	}
	for _, text := range []string{"- &a b\n", "- [a\n", "[a]\n", "a: b\n", "- a\nb: c\n", "- a\n---\n- b\n", "", "- a\n b\n", strings.Repeat("- ", 99) + "a"} {
		if _, _, ok := Items(source.Document{}, []byte(text), 1); ok {
			t.Errorf("%q is read alone", text)
		}
	}
	if read(t, "list:\n- &a {b: 1}\n- *a\n").Plain() || !whole.Plain() {
		t.Error("only a document without aliases is plain")
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
