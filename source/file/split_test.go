package file

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/source"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"comments only", "# a\n---\n# b\n---\n", ""},
		{"one", "a: 1\n", "1 a: 1\\n"},
		{"no line break at the end", "a: 1", "1 a: 1"},
		{"two", "a: 1\n---\nb: 2\n", "1 a: 1\\n|2 ---\\nb: 2\\n"},
		{"marker first", "---\na: 1\n---\n\n---\nb: 2", "1 ---\\na: 1\\n|5 ---\\nb: 2"},
		{"content behind the marker", "--- {a: 1}\n--- # x\nb: 2\n", "1 --- {a: 1}\\n|2 --- # x\\nb: 2\\n"},
		{"no marker", "----\na: ---\n ---\n", "1 ----\\na: ---\\n ---\\n"},
		{"end marker", "a: 1\n...\nb: 2\n... \n", "1 a: 1\\n|3 b: 2\\n"},
		{"directive", "%YAML 1.2\n---\na: 1\n", "2 ---\\na: 1\\n"},
		{"line breaks of Windows", "a: 1\r\n---\r\nb: 2\r\n", "1 a: 1\\n|2 ---\\nb: 2\\n"},
		{"byte order mark", "\ufeffa: 1\n", "1 a: 1\\n"},
	} {
		var parts []string
		for _, d := range Split("x.yaml", []byte(c.in)) {
			if d.Path != "x.yaml" {
				t.Errorf("%s: path %s", c.name, d.Path)
			}
			parts = append(parts, fmt.Sprintf("%d %s", d.Line, strings.ReplaceAll(string(d.Data), "\n", `\n`)))
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	one := func(path, text string) source.Document { return Split(path, []byte(text))[0] }
	a := one("a.yaml", "x: 1\n")
	if b := one("a.yaml", "x: 1\n---\ny: 1\n"); a.Sum != b.Sum {
		t.Error("equal documents have different sums")
	}
	for name, d := range map[string]source.Document{
		"path": one("b.yaml", "x: 1\n"),
		"data": one("a.yaml", "x: 2\n"),
		"line": one("a.yaml", "---\n...\nx: 1\n"),
	} {
		if a.Sum == d.Sum {
			t.Errorf("another %s, the same sum", name)
		}
	}
}

// TestTakeOver edits a file at random: what is taken over changes nothing, and
// nothing of a later text is kept.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	parts := []string{"a: 0\n"}
	before := Split("a.yaml", []byte(strings.Join(parts, "---\n")))
	for step := range 500 {
		at := random.IntN(len(parts))
		fresh := fmt.Sprintf("a: %d\n", random.IntN(5)) + strings.Repeat("# more\n", random.IntN(2))
		switch random.IntN(5) {
		case 0:
			parts = slices.Insert(parts, at, fresh)
		case 1:
			if len(parts) > 1 {
				parts = slices.Delete(parts, at, at+1)
			}
		default:
			parts[at] = fresh
		}
		path := "a.yaml"
		if random.IntN(20) == 0 {
			path = "./a.yaml"
		}
		text := []byte(strings.Join(parts, "---\n"))
		want := Split(path, bytes.Clone(text))
		got := split(path, text, before)
		clear(text)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d:\n got %v\nwant %v", step, got, want)
		}
		before = got
	}
}

func BenchmarkSplitBigFile(b *testing.B) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "---\nkind: HTTPRoute\nmetadata: {name: r%d}\nspec: %s\n", i, strings.Repeat("x", 540))
	}
	data := []byte(text.String())
	before := Split("a.yaml", data)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			Split("a.yaml", data)
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			split("a.yaml", data, before)
		}
	})
}
