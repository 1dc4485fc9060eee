package observe

import (
	"fmt"
	"testing"
)

func TestTallyIsBounded(t *testing.T) {
	t.Parallel()
	g := NewRegistry(1)
	tally := g.NewTally("naru_test_total", "A test.", [2]string{"service", "caller"})
	if !tally.Add("orders", "a") || tally.Add("orders", "a") {
		t.Error("the first of its labels is not told from the second")
	}
	for i := range 3 * mostTallied {
		tally.Add("orders", fmt.Sprint(i))
	}
	sets, sum, others := 0, 0.0, 0.0
	tally.each(func(v float64, labels ...string) {
		sets++
		sum += v
		if labels[1] == Others {
			others = v
		}
	})
	if sets != mostTallied+1 || sum != 3*mostTallied+2 || others == 0 {
		t.Errorf("%d sets, %v counted, %v of others", sets, sum, others)
	}
}
