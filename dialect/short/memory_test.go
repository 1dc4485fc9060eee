package short

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// parse gives what a dialect makes of a text, alone.
func parse(t testing.TB, d *Dialect, text []byte) (*model.Fragment, []model.Problem) {
	t.Helper()
	doc, problems := dialect.Read(source.Document{Path: "routes.yaml", Line: 1, Data: text})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	item, problems := d.Parse(doc)
	f := d.Translate([]any{item})
	return f, append(problems, f.Problems...)
}

// A dialect with a memory makes what one without makes, whatever happened to
// the text, and keeps the nouns that did not change.
func TestMemory(t *testing.T) {
	t.Parallel()
	d := New()
	text := many(150)
	parse(t, d, text)
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	for i, step := range []struct {
		change func([]byte) []byte
		same   int // nouns that are the same pointers
	}{
		{replace("things-7/", "other-7/"), 148}, // all but this and the last
		{replace("service-9: [10.0.0.9", "service-9: [10.9.9.9"), 149},
		{replace("  timeout: 5s\n", "  timeout: 6s\n"), 148},
		{replace("  to: service-5\n", "  to: http://127.0.0.1:5\n"), 148},
		{replace("things-8/{id}", "things-8/{id"), 148}, // broken
		{replace("things-8/{id", "things-8/{id}"), 148},
		{replace("to: service-6\n", "to: nobody\n"), 147}, // the nouns of others stay
		{replace("to: nobody\n", "to: service-6\n"), 148},
		{replace("listen: [\":8080\"]", "listen: [\":8081\"]"), 0},
		{replace("- match: GET api-10.", "\n- match: GET api-10."), 10}, // what is below moves
		{func(b []byte) []byte { return append(b, "- to: service-1\n"...) }, 149},
		{func(b []byte) []byte { return append([]byte("# a\n"), b...) }, 0},
		{replace("routes:\n- match: GET", "routes:\n- &x\n  match: GET"), 0}, // an anchor: nothing is taken over
	} {
		before, _ := parse(t, d, text)
		text = step.change(bytes.Clone(text))
		got, problems := parse(t, d, text)
		want, wanted := parse(t, New(), text)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(problems, wanted) {
			t.Fatalf("step %d: the memory makes a difference: %v %v", i, problems, wanted)
		}
		old := map[*model.Route]bool{}
		for _, r := range before.Routes {
			old[r] = true
		}
		same := 0
		for _, r := range got.Routes {
			if old[r] {
				same++
			}
		}
		if same < step.same-1 || same > step.same+1 {
			t.Errorf("step %d: %d nouns stayed, want about %d", i, same, step.same)
		}
	}
}

// In brackets an item can end on the line on which the next begins.
func TestMemoryOfBrackets(t *testing.T) {
	t.Parallel()
	text := func(last string) []byte {
		var b strings.Builder
		b.WriteString("routes: [")
		for i := range 150 {
			fmt.Fprintf(&b, "{match: /%d,\n  to: \"%s\"}, ", i, last)
		}
		return []byte(b.String() + "]\n")
	}
	d := New()
	parse(t, d, text("a:1"))
	f, problems := parse(t, d, text("a:2"))
	if len(problems) > 0 || f.Routes[0].Backends[0].Service != "http://a:2" {
		t.Errorf("%v %+v", problems, f.Routes[0].Backends)
	}
}

// Documents are remembered up to a number of them.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory
	for i := range 3 * mostDocs {
		m.keep(&dialect.Document{Document: source.Document{Path: fmt.Sprint(i)}}, []remembered{}, nil)
	}
	if n := len(m.docs); n == 0 || n > mostDocs {
		t.Errorf("%d documents remembered", n)
	}
}

// One route among 10,000 changes: what of the way to the nouns is here.
func BenchmarkOneOfMany(b *testing.B) {
	d := New()
	texts := [][]byte{many(10_000), bytes.Replace(many(10_000), []byte("things-5000/"), []byte("thongs-5000/"), 1)}
	parse(b, d, texts[0])
	i := 0
	for b.Loop() {
		i++
		if _, problems := parse(b, d, texts[i%2]); len(problems) > 0 {
			b.Fatal(problems[0])
		}
	}
}
