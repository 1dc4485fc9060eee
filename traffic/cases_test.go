package traffic_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/naru-mesh/naru/control"
	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/dialect/gatewayapi"
	"github.com/naru-mesh/naru/dialect/native"
	"github.com/naru-mesh/naru/dialect/short"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
	"github.com/naru-mesh/naru/traffic"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// Each case is a txtar file: documents (*.yaml), then what counts at each route
// and service that comes of them, and who says it ("settings"), and all that is
// wrong ("problems").
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 8 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var set source.Set
			want := map[string]string{}
			var kept []txtar.File
			for _, f := range archive.Files {
				if want[f.Name] = string(f.Data); filepath.Ext(f.Name) == ".yaml" {
					kept = append(kept, f)
					set.Documents = append(set.Documents, split(f.Name, f.Data)...)
				}
			}
			s, problems := control.Check([]source.Set{set}, []dialect.Dialect{native.New(), gatewayapi.New(), short.New()})
			got := map[string]string{"settings": settings(&s.Config), "problems": ""}
			for _, p := range problems {
				got["problems"] += p.String() + "\n"
			}
			if *update {
				for _, name := range []string{"settings", "problems"} {
					if got[name] != "" {
						kept = append(kept, txtar.File{Name: name, Data: []byte(got[name])})
					}
				}
				archive.Files = kept
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for name, text := range got {
				if text != want[name] {
					t.Errorf("%s:\n%s\nwant\n%s", name, text, want[name])
				}
			}
		})
	}
}

// settings writes what counts.
func settings(c *model.Config) string {
	var l traffic.Lowering
	var b strings.Builder
	out := l.Lower(c)
	write := func(what, name string, list []traffic.Setting) {
		fmt.Fprintf(&b, "%s %s\n", what, name)
		for _, s := range list {
			fmt.Fprintf(&b, "  %s %s  by %s  %s\n", s.Field, s.Value, s.By, s.Origin)
		}
	}
	for _, r := range out.Routes {
		write("route", r.Name, l.Route(r))
	}
	for _, f := range out.Flows {
		write("flow", f.Name, l.Flow(f))
	}
	for _, s := range out.Services {
		write("service", s.Name, l.Service(s))
	}
	return b.String()
}

// split makes documents of a file.
func split(name string, data []byte) (all []source.Document) {
	line := 1
	for _, part := range bytes.Split(data, []byte("\n---\n")) {
		all = append(all, source.Document{Path: name, Line: line, Data: part, Sum: sha256.Sum256([]byte(name + ":" + strconv.Itoa(line) + string(part)))})
		line += bytes.Count(part, []byte("\n")) + 2
	}
	return all
}
