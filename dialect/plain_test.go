package dialect

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/source"
)

// compare holds the plain reader against the library: what it accepts, the
// library must read as the same tree.
func compare(t *testing.T, text []byte) (accepted bool) {
	t.Helper()
	got, ok, _ := readPlain(text, 1, 0)
	if !ok {
		return false
	}
	var top yaml.Node
	if err := yaml.Unmarshal(text, &top); err != nil {
		// The escape \/ is in JSON and YAML 1.2, and the library lacks it.
		if !strings.Contains(string(text), `\/`) {
			t.Errorf("the library refuses %q: %v", text, err)
		}
		return true
	}
	var want *yaml.Node
	if len(top.Content) > 0 {
		want = top.Content[0]
	}
	if a, b := outline(got), outline(want); a != b {
		t.Errorf("%q is read as\n%s\nand by the library as\n%s", text, a, b)
	}
	return true
}

// outline writes a tree with all that must be equal, one node a line.
func outline(n *yaml.Node) string {
	var b strings.Builder
	var walk func(n *yaml.Node, depth int)
	walk = func(n *yaml.Node, depth int) {
		fmt.Fprintf(&b, "%*s%d %s %q style %d at %d:%d\n", depth, "", n.Kind, n.Tag, n.Value, n.Style, n.Line, n.Column)
		for _, c := range n.Content {
			walk(c, depth+1)
		}
	}
	if n != nil {
		walk(n, 0)
	}
	return b.String()
}

// accepted are texts that the plain reader must not leave to the library.
var accepted = []string{
	"",
	"# nothing\n",
	"a: 1",
	"a: 1\n",
	"---\na: b\n",
	"--- # shop\n# more\na: b # c\n",
	"a:\nb:\n  c: d\n\n  # note\n  e: f\n",
	"a:\n- 1\n- b: c\n  d: e\n-\n- - x\n  - y\nz: 1\n",
	"a:\n  - 1\n  -\n    b: c\n",
	"- a\n- b\n",
	"a: [1, b, \"c d\", 'e''f', {g: h, i: [ ]}, ]\n",
	"a: {b: http://x:80/y, c: 10.0.0.1:80}\nd: [http://a:1, b]\n",
	"a: [\n  1, # one\n  2\n]\nb: c\n",
	"{\n\t\"a\": {\"b\":[1,2.5,true,null]},\n\t\"c\": \"\\u00e9\\n\"\n}\n",
	"a: |\n  one\n\n   two\n  # three\n\nb: |-\n  x\nc: |+\n  y\n\n",
	"\"a b\": 1\n'c': \"d\"\n",
	"ö: ü # ä\nb: [ß, é]\n",
	"a: -1\nb: 0x1f\nc: 1e3\nd: 2024-01-02\ne: ~\nf: Null\ng: .inf\nh: 0o7\ni: 1_000\nj: 10.0.0.1\nk: 1.5\nl: 5s\nm: 010\nn: +5\no: y\np: 2024-01-02T03:04:05Z\nq: .5\nr: 1.\n",
	"a: b: c"[:4] + "\n",
	"match: GET api.example.com/orders/{id}\nto: http://127.0.0.1:3000\n",
	"a: b#c\nd: e:f\ng: h'i\"j\n",
	"  a: 1\n  b: 2\n",
	"a:\n  \"x\"\nb:\n  [1]\nc:\n  text\n",
}

func TestPlainAccepts(t *testing.T) {
	t.Parallel()
	for _, text := range accepted {
		if !compare(t, []byte(text)) {
			_, _, why := readPlain([]byte(text), 1, 0)
			t.Errorf("%q is declined: %+v", text, why)
		}
	}
}

// declined are texts that only the library can judge.
var declined = []string{
	"a: b\n  c\n", "a: \"b\n  c\"\n", "a: &x 1\n", "a: *x\n", "a: !!str 1\n", "<<: {a: b}\n", "? a\n: b\n",
	"a: >\n  b\n", "a: |2\n   b\n", "a:\tb\n", "\ta: b\n", "a: b\r\n", "a: b\n---\nc: d\n", "a: b\n...\n",
	"%YAML 1.2\n---\na: b\n", "a\n: b\n", "{a}\n", "[a: b]\n", "{a: b, c}\n", "a: [b\n", "a: 'b\n", "a : b\n",
	"a:\n b: 1\n  c: 2\n", "a: - b\n", "- a\nb: c\n", "a: 1\n- b\n", "a: {b: 1} c\n", "[a]: b\n", "a: \"b\"c\n",
	"\ufeffa: b\n", "a: \x00\n", "a: \xff\n", "a: b\u2028c\n", strings.Repeat("[", 200) + strings.Repeat("]", 200),
	strings.Repeat("- ", 200) + "a", strings.Repeat("k", 1001) + ": v", "a: \"\\x41\"", "a: \"\\ud800\"", "a: @b", "a: [@b]",
	"a: |\n  x", "a: |\nb: c\n", "...\n", "a: [b] #c\nd\n", "a: [-, b]\n", "a: 'b'#c\n",
}

func TestPlainDeclines(t *testing.T) {
	t.Parallel()
	for _, text := range declined {
		if compare(t, []byte(text)) {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestPlainAgainstLibrary puts documents together from the pieces of which YAML
// is made, right and wrong ones.
func TestPlainAgainstLibrary(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"a", "b c", "key", "1", "-1", "1.5", "true", "null", "~", "x:y", "http://a:1", "é", "a#b", "2024-01-02", "<<", "0x1f", ".5", "*", "&", "!",
		": ", ":", ":\n", ": |\n", ": |-\n", ": >\n", "- ", "-", "- - ", "-\n", "\n", "\n\n", "\n  ", "\n    ", "\n ", "  ", " ", " # note\n", "#", "# note\n",
		"[", "]", "{", "}", ", ", ",", "\"q\"", "\"a\\n\"", "\"a\\u00e9\"", "'s'", "'it''s'", "\"", "'", "\n- ", "\n- a: ", "\nb: ", "\n  c: ", "\n  - ",
		"a: 1\n", "- x\n", "{a: b}", "[a, b]", "a: [1, 2]\n", "---\n", "---", "...\n", "|", "?", "? ", "\t", "@", "%",
	}
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range *pieced {
		var b []byte
		for range 1 + random.IntN(14) {
			b = append(b, pieces[random.IntN(len(pieces))]...)
		}
		if compare(t, b) {
			accepted++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d are plain", accepted, *pieced)
}

// pieced is how many documents are put together; more take longer.
var pieced = flag.Int("pieced", 3000, "documents in TestPlainAgainstLibrary")

func FuzzDecode(f *testing.F) {
	for _, text := range append(accepted, declined...) {
		f.Add([]byte(text))
	}
	files, _ := filepath.Glob("testdata/*/*.txtar")
	for _, file := range files {
		if a, err := os.ReadFile(file); err == nil {
			for _, part := range txtar.Parse(a).Files {
				f.Add(part.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		compare(t, text)
		doc, _ := Read(source.Document{Path: "in.yaml", Line: 1, Data: text})
		for _, key := range doc.Keys() {
			doc.At(key)
		}
		for _, p := range doc.Decode(doc.Root, "", new(shape)) {
			if doc.At(p.Origin.Field) == nil {
				t.Errorf("no node at %q", p.Origin.Field)
			}
		}
	})
}

// manyDocuments is a file of n HTTPRoutes as people write them.
func manyDocuments(n int) []source.Document {
	docs := make([]source.Document, n)
	for i := range docs {
		docs[i] = source.Document{Path: "routes.yaml", Line: 1 + 22*i, Data: fmt.Appendf(nil, `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: route-%05d
  namespace: shop
  labels:
    app.kubernetes.io/name: shop
spec:
  parentRefs:
  - name: public
    sectionName: https
  hostnames: ["api-%d.example.com"]
  rules:
  - matches:
    - path:
        type: PathPrefix
        value: /v1/service-%d/items
      method: GET
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set:
        - {name: x-route, value: "%d"}
    backendRefs:
    - name: service-%d
      port: 9002
      weight: 10
`, i, i%100, i, i, i%50)}
	}
	return docs
}

// One file of 10,000 objects: reading and decoding all of it on one core.
func BenchmarkManyDocuments(b *testing.B) {
	docs := manyDocuments(10_000)
	for b.Loop() {
		for _, d := range docs {
			doc, problems := Read(d)
			route := kinds["HTTPRoute"]()
			if problems = append(problems, doc.Decode(doc.Root, "", route)...); len(problems) > 0 {
				b.Fatal(problems)
			}
		}
	}
}

// The same with the library's parser, which the plain reader stands in for.
func BenchmarkManyDocumentsLibrary(b *testing.B) {
	docs := manyDocuments(10_000)
	for b.Loop() {
		for _, d := range docs {
			if _, problem := readYAML(&Document{Document: d}, nil); problem != nil {
				b.Fatal(problem)
			}
		}
	}
}
