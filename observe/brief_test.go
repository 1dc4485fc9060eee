package observe

import (
	"errors"
	"strings"
	"testing"
)

func TestBrief(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", MostBrief)
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("this"), "this"},
		{errors.New(long), long[:MostBrief]},
		{errors.New("x" + long), "x" + long[:MostBrief-2]}, // no half of a character
	} {
		if got := Brief(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
