package control

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/naru-mesh/naru/model"
)

// TestSortAgain sorts lists that change a little, of which some names are the
// same, as a stable sort does.
func TestSortAgain(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var o order
	var list []*model.Route
	again := 0
	for range 300 {
		x := &model.Route{Name: strconv.Itoa(random.IntN(30))}
		switch at := random.IntN(len(list) + 1); random.IntN(6) {
		case 0:
			list = slices.Insert(list, at, x)
		case 1:
			list = slices.Delete(list, at, min(at+1, len(list)))
		default: // the same names, of other nouns
			list = slices.Clone(list)
			for i, r := range list {
				list[i] = &model.Route{Name: r.Name}
			}
			again++
		}
		want := slices.Clone(list)
		slices.SortStableFunc(want, func(a, b *model.Route) int { return cmp.Compare(a.Name, b.Name) })
		if got := sortAgain(&o, routes, list); !slices.Equal(got, want) {
			t.Fatal(got, want)
		}
	}
	if again == 0 {
		t.Error("nothing was sorted again")
	}
}
