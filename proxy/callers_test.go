package proxy

import (
	"testing"
)

func TestCallers(t *testing.T) {
	t.Parallel()
	var c callers
	for i, want := range []bool{true, true, false} {
		if c.enter("a", 2) != want {
			t.Errorf("%d of 2: %v", i+1, !want)
		}
	}
	if !c.enter("b", 2) || !c.enter("a", 0) {
		t.Error("one who has room is refused")
	}
	c.leave("a")
	if c.enter("a", 2) {
		t.Error("there are two still")
	}
	c.leave("a")
	if !c.enter("a", 2) {
		t.Error("there is one only")
	}
	for range 3 { // once more than it came
		c.leave("a")
	}
	if c.leave("b"); len(c.open) != 0 {
		t.Errorf("kept of nobody: %v", c.open)
	}
}
