package control

import (
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/source"
)

// carried is the toy with Move, and counts.
type carried struct {
	toy
	parsed, moved, panics int
}

func (c *carried) Parse(d *dialect.Document) (any, []model.Problem) {
	c.parsed++
	return c.toy.Parse(d)
}

func (c *carried) Move(was any, old, now source.Document) any {
	c.moved++
	if c.panics > 0 && c.moved%c.panics == 0 {
		panic("a strap tore")
	}
	read, _ := dialect.Read(now)
	item, _ := c.toy.Parse(read)
	return item
}

// TestMoved inserts and removes documents and lines at random: what rounds make
// of moved documents is what one makes that knows nothing, and little is
// parsed.
func TestMoved(t *testing.T) {
	t.Parallel()
	for _, panics := range []int{0, 3} {
		random := rand.New(rand.NewPCG(8, 9))
		c := &carried{panics: panics}
		r := newRound([]dialect.Dialect{c}, slog.New(slog.DiscardHandler))
		parts := []string{"toy: x\nlisteners: [public 80]\nservices: [a 10.0.0.1 80]\n"}
		written := 0
		for step := range 200 {
			at := 1 + random.IntN(len(parts))
			path := string(rune('a' + random.IntN(26)))
			fresh := strings.Repeat("# more\n", random.IntN(3)) + "toy: " + path + "\nroutes: [" + path + " /" + path + " a]\n"
			switch {
			case random.IntN(4) == 0 && len(parts) > 10 && at < len(parts):
				parts = slices.Delete(parts, at, at+1)
			case strings.Contains(strings.Join(parts, ""), "toy: "+path+"\n"):
				parts[0] = strings.Repeat("# top\n", random.IntN(3)) + parts[0][strings.Index(parts[0], "toy"):]
				written++
			default:
				parts = slices.Insert(parts, at, fresh)
				written++
			}
			set := []source.Set{{Documents: split("shop.yaml", strings.Join(parts, "---\n"))}}
			got, problems := r.do(set)
			want, wrong := Check(set, []dialect.Dialect{toy{}})
			if !reflect.DeepEqual(got.Config, want.Config) || got.Version != want.Version || !slices.Equal(problems, wrong) {
				t.Fatalf("step %d: %v %v\nwant %v %v", step, got.Routes, problems, want.Routes, wrong)
			}
		}
		if c.moved == 0 || panics == 0 && c.parsed > written+1 {
			t.Errorf("%d documents were moved; %d were parsed and %d written", c.moved, c.parsed, written)
		}
	}
}
