package outlier

import "testing"

func TestRow(t *testing.T) {
	t.Parallel()
	var r Row
	play := func(what string, want ...int) {
		t.Helper()
		for i, c := range what {
			switch c {
			case 'f':
				r.Fails(false)
			case 't':
				r.Fails(true)
			case 'w':
				r.Works()
			case 'b':
				r.Back(5)
			}
			if got := r.Len(); got != want[i] {
				t.Fatalf("after %q: %d, want %d", what[:i+1], got, want[i])
			}
		}
		r = Row{}
	}
	play("ffwf", 1, 2, 0, 1)
	play("wtwtwtww", 0, 1, 1, 2, 2, 3, 3, 0) // a second good beginning ends it
	play("wtwf", 0, 1, 1, 1)                 // and so does another kind of failure
	play("ftwt", 1, 2, 2, 3)
	play("fffffb", 1, 2, 3, 4, 5, 0)
	play("tttttwbt", 1, 2, 3, 4, 5, 5, 4, 5) // the probe's own
	play("tttttwtbwt", 1, 2, 3, 4, 5, 5, 6, 4, 4, 5)
	play("tttttwbww", 1, 2, 3, 4, 5, 5, 4, 0, 0)
	r.Fails(true)
	if r.Back(0); r.Len() != 0 {
		t.Error("where none ejects there is a row")
	}
}
