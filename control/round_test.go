package control

import (
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

var update = flag.Bool("update", false, "write what is into the transcripts; read the difference before you believe it")

// TestTranscripts plays the rounds of each file in testdata: the files of a
// round are named ROUND/FILE, and ROUND/serves is what they come to.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := newRound([]dialect.Dialect{toy{}}, slog.New(slog.DiscardHandler))
			var set source.Set
			for i, f := range archive.Files {
				round, name, _ := strings.Cut(f.Name, "/")
				if name != "serves" {
					set.Documents = append(set.Documents, split(name, string(f.Data))...)
					continue
				}
				got := describe(r.do([]source.Set{set}))
				set = source.Set{}
				if *update {
					archive.Files[i].Data = []byte(got)
				} else if want := string(f.Data); got != want {
					t.Errorf("round %s serves\n%s\nand should serve\n%s", round, got, want)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// describe is a Snapshot and Problems for people.
func describe(s *model.Snapshot, problems []model.Problem) string {
	var b strings.Builder
	if s != nil {
		for _, l := range s.Listeners {
			fmt.Fprintf(&b, "listener %s :%d, from %s\n", l.Name, l.Port, l.Origin)
		}
		for _, x := range s.Services {
			fmt.Fprintf(&b, "service %s %s:%d, from %s\n", x.Name, x.Endpoints[0].Host, x.Endpoints[0].Port, x.Origin)
		}
		for _, r := range s.Routes {
			fmt.Fprintf(&b, "route %s %s to %s, from %s\n", r.Name, r.Matches[0].Path, cmp.Or(r.Backends[0].Service, "500"), r.Origin)
		}
		for _, f := range s.Flows {
			fmt.Fprintf(&b, "flow %s at %s to %s, from %s\n", f.Name, strings.Join(f.Parents, ","), cmp.Or(f.Backends[0].Service, "nothing"), f.Origin)
		}
		if s.Settings.Admin != "" {
			fmt.Fprintf(&b, "admin %s\n", s.Settings.Admin)
		}
	}
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

func TestCheckKeepsNothingOld(t *testing.T) {
	t.Parallel()
	set := source.Set{
		Documents: split("a.yaml", "toy: a\nlisteners: [public 80]\nroutes: [a]\n"),
		Problems:  []model.Problem{{Origin: model.Origin{Source: "b.yaml"}, Severity: model.Broken, Code: "unreadable", Message: "b.yaml cannot be read"}},
	}
	s, problems := Check([]source.Set{set}, []dialect.Dialect{toy{}})
	if len(s.Listeners) != 1 || len(s.Routes) != 0 || s.Version == "" {
		t.Errorf("checked to %+v", s)
	}
	codes := []string{}
	for _, p := range problems {
		codes = append(codes, p.Code)
	}
	if !slices.Equal(codes, []string{"bad-value", "unreadable"}) {
		t.Errorf("problems %v", problems)
	}
}

func TestOldOfAnUnreadableFileServes(t *testing.T) {
	t.Parallel()
	r := newRound([]dialect.Dialect{toy{}}, slog.New(slog.DiscardHandler))
	base := split("base.yaml", "toy: a\nlisteners: [public 80]\nservices: [x 10.0.0.1 80]\n")
	r.do([]source.Set{{Documents: append(base, split("dir/b.yaml", "toy: b\nroutes: [a /a x]\n")...)}})
	gone := model.Problem{Origin: model.Origin{Source: "dir"}, Severity: model.Broken, Code: "unreadable", Message: "dir cannot be read"}
	for i := range 3 {
		s, _ := r.do([]source.Set{{Documents: base, Problems: []model.Problem{gone}}})
		if len(s.Routes) != 1 {
			t.Fatalf("round %d: the route of an unreadable folder does not serve", i)
		}
	}
	if s, _ := r.do([]source.Set{{Documents: base}}); len(s.Routes) != 0 {
		t.Error("a removed file still serves")
	}
}
