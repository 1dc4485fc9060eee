package short

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
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

func written(text string) source.Document {
	return source.Document{Path: "routes.yaml", Line: 3, Data: []byte(text)}
}

// parsed is what Parse makes of a text; nil when there is a Problem.
func parsed(text string) *file {
	doc, problems := dialect.Read(written(text))
	if len(problems) > 0 || doc.Root == nil {
		return nil
	}
	item, problems := New().Parse(doc)
	if len(problems) > 0 {
		return nil
	}
	return item.(*file)
}

func TestReread(t *testing.T) {
	t.Parallel()
	base := string(many(150))
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for i, step := range []struct {
		change func(string) string
		ok     bool
	}{
		{replace("things-7/", "other-7/"), true},
		{replace("things-149/", "other-149/"), true}, // the last
		{replace("  timeout: 5s\n", "  timeout: 6s\n"), true},
		{replace("  timeout: 5s\n", "\n"), true},
		{replace("  to: service-5\n", "  to: http://127.0.0.1:5\n"), true},
		{replace("to: service-6\n", "to: nobody\n"), true}, // only the whole shows it
		{func(s string) string { return s + "- to: service-1\n- to: service-2" }, true},
		{func(s string) string { return strings.ReplaceAll(s, "things-14", "other-14") }, true},
		{replace("- match: GET api-10.", "- name: routes\n  match: GET api-10."), false}, // what is below moves
		{replace("things-8/{id}", "things-8/{id"), false},
		{replace("listen: [\":8080\"]", "listen: [\":8081\"]"), true},
		{replace("service-9: [10.0.0.9", "service-9: [10.9.9.9"), true},
		{replace("listen: [\":8080\"]", "defaults: {retry: 2}"), true},
		{replace("listen: [\":8080\"]", "defaults: {retry: often}"), false},
		{func(s string) string { return "# a\n" + s }, false},
		{func(s string) string { return s + "admin: off\n" }, false},
		{replace("\n- match: GET api-9.", "\n- &x\n  match: GET api-9."), false},
		{replace("  retry: 2\n", "- to: service-3\n"), false}, // as many lines, one more route
		{replace("- match: GET api-9.", "  cors: true #"), false},
		{func(s string) string { return strings.ReplaceAll(s, "things", "others") }, false}, // all
		{func(s string) string { return s[:strings.LastIndex(s, "- match")] }, false},
	} {
		now := step.change(base)
		was := parsed(base)
		got, ok := New().Reread(was, written(base), written(now))
		if ok != step.ok {
			t.Errorf("step %d: read again: %v", i, ok)
		}
		if ok && !reflect.DeepEqual(got, any(parsed(now))) {
			t.Errorf("step %d: something else than Parse makes", i)
		}
		if !reflect.DeepEqual(was, parsed(base)) {
			t.Fatalf("step %d: what was read before has changed", i)
		}
		if f, _ := got.(*file); ok && i != 10 && f.rules[20].nouns[0] != was.rules[20].nouns[0] {
			t.Errorf("step %d: nouns that did not change are others", i) // those of step 10 have other parents
		}
	}
}

// Whatever happens to the lines of a text, Reread makes what Parse makes, or
// nothing.
func TestRereadAnything(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"- match: GET /a/%d", "- match: /b/%d", "- to: s", "  to: http://h%d:1", "  to: s", "  timeout: %ds", "  respond: {status: 200, body: |", "  respond:",
		"    body: |", "      text %d", "", "  # note", "# note", "-", "- {match: /c/%d, to: s}", "  match: [/x,", "  /y]", "  headers: {request: {set: {a: \"%d\"}}}",
		"   to: s", "    status: 201", "- name: n%d", "  - /z", "  match:", "  to: é", "---", "...", "\tto: s", "  mirror: http://m%d:2", "- match: &a /", "  to: \"s\" # é", "  listen: \":8080\"", "admin: off",
	}
	read := 0
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		indent := strings.Repeat(" ", int(seed)%3)
		var b strings.Builder
		b.WriteString("listen: \":8080\"\nroutes:\n")
		for i := range 110 {
			fmt.Fprintf(&b, "%s- match: /%d\n%s  to: s\n", indent, i, indent)
			if i%5 == 0 {
				fmt.Fprintf(&b, "%s  respond:\n%s    body: |\n%s      text\n\n", indent, indent, indent)
			}
		}
		text := strings.ReplaceAll(b.String(), "  to: s\n"+indent+"  respond", "  respond")
		if seed%2 == 0 {
			text += "services:\n  s: h:1\n"
		} else {
			text = "services: {s: \"h:1\"}\n" + text
		}
		was := parsed(text)
		if was == nil || len(was.items.lines) == 0 {
			t.Fatal("the text is not read")
		}
		for range 60 {
			lines := strings.Split(text, "\n")
			at := r.IntN(len(lines))
			if r.IntN(5) == 0 {
				at = len(lines) - 1 - r.IntN(4)
			}
			if r.IntN(2) == 0 { // which is mostly right
				for k, line := range lines[at:] {
					if strings.HasPrefix(line, indent+"  to: ") {
						lines[at+k] = indent + fmt.Sprintf([]string{"  to: http://h%d:1", "  to: s # %d", "  {to: s, timeout: %ds}"}[r.IntN(3)], r.IntN(9))
						break
					}
				}
			} else {
				for k := at; k < min(len(lines), at+1+r.IntN(4)); k++ {
					piece := pieces[r.IntN(len(pieces))]
					if strings.Contains(piece, "%d") {
						piece = fmt.Sprintf(piece, r.IntN(50))
					}
					lines[k] = indent + piece
				}
			}
			if r.IntN(10) == 0 {
				lines = slices.Insert(lines, at, indent+pieces[r.IntN(len(pieces))])
			}
			now := strings.Join(lines, "\n")
			got, ok := New().Reread(was, written(text), written(now))
			if !ok {
				continue
			}
			read++
			want := parsed(now)
			if !reflect.DeepEqual(got, any(want)) {
				t.Fatalf("something else than Parse makes of\n%s", now)
			}
			if !reflect.DeepEqual(was, parsed(text)) {
				t.Fatalf("what was read before has changed, by\n%s", now)
			}
			text, was = now, got.(*file)
		}
	}
	if read < 60 {
		t.Errorf("only %d texts were read again", read)
	}
}

// One route among 10,000 changes: what of the way to the nouns is here.
func BenchmarkReread(b *testing.B) {
	texts := []string{string(many(10_000)), strings.Replace(string(many(10_000)), "things-5000/", "thongs-5000/", 1)}
	var item any = parsed(texts[0])
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		var ok bool
		if item, ok = New().Reread(item, written(texts[(i+1)%2]), written(texts[i%2])); !ok {
			b.Fatal("not read again")
		}
	}
}
