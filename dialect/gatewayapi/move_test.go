package gatewayapi

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/source"
)

// sameMoved parses text at two lines: what moves from one to the other is what
// is read there. It gives the number of objects.
func sameMoved(t *testing.T, name string, text []byte) int {
	t.Helper()
	d := New()
	n := 0
	for _, doc := range split(name, text) {
		there := doc
		there.Line += 7
		there.Sum[0]++
		parse := func(doc source.Document) any {
			read, problems := dialect.Read(doc)
			if read.Root == nil || len(problems) > 0 {
				return nil
			}
			item, problems := d.Parse(read)
			if len(problems) > 0 {
				return nil // control moves only what has none
			}
			return item
		}
		was, want := parse(doc), parse(there)
		if was == nil {
			continue
		}
		if got := d.Move(was, doc, there); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:%d:\n got %+v\nwant %+v", name, doc.Line, got, want)
		}
		if !reflect.DeepEqual(was, parse(doc)) {
			t.Errorf("%s:%d was written to", name, doc.Line)
		}
		n += len(was.(*parsed).objects)
	}
	return n
}

// TestMove moves all documents of the other tests, and random ones.
func TestMove(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if filepath.Ext(f.Name) == ".yaml" {
				n += sameMoved(t, path+"/"+f.Name, f.Data)
			}
		}
	}
	w := &town{Rand: rand.New(rand.NewPCG(5, 6)), t: t, d: New()}
	for i := range 300 {
		n += sameMoved(t, fmt.Sprint(i), []byte(w.route()+"---\n"+w.world()))
	}
	if n < 300 {
		t.Error("only", n, "objects were moved")
	}
}
