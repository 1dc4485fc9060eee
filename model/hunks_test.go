package model

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHunks makes one list of another by its hunks, whatever was done to it.
func TestHunks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	few := 0
	for range 500 {
		old := make([]int, rnd.IntN(300))
		for i := range old {
			old[i] = rnd.IntN(1 + 2*len(old))
		}
		now := slices.Clone(old)
		edits := rnd.IntN(6)
		for range edits {
			switch at := rnd.IntN(len(now) + 1); {
			case at == len(now) || rnd.IntN(3) == 0:
				now = slices.Insert(now, at, rnd.IntN(1000))
			case rnd.IntN(2) == 0:
				now = slices.Delete(now, at, at+1)
			default:
				now[at] = rnd.IntN(1000)
			}
		}
		if rnd.IntN(20) == 0 {
			slices.Reverse(now)
		}
		hunks := Hunks(old, now, nil)
		var made []int
		at, size := 0, 0
		for i, h := range hunks {
			if h.A < at || h.B < h.A || h.D < h.C || h.A == h.B && h.C == h.D || i > 0 && h.A == at {
				t.Fatalf("%v of %v and %v", hunks, old, now)
			}
			made = append(append(made, old[at:h.A]...), now[h.C:h.D]...)
			at, size = h.B, size+h.B-h.A+h.D-h.C
		}
		if made = append(made, old[at:]...); !slices.Equal(made, now) {
			t.Fatalf("%v of %v and %v", hunks, old, now)
		}
		if size <= 2*edits {
			few++
		}
	}
	if few < 375 {
		t.Errorf("few hunks in %d of 500", few)
	}
	// What is the same to alike is no difference, nor is it looked at where it is ==.
	a, b := []*int{new(int), new(int), new(int)}, []*int{new(int), new(int), nil}
	b[2] = a[2]
	*a[0], *b[0], *a[1], *b[1] = 1, 1, 2, 3
	asked := 0
	if h := Hunks(a, b, func(x, y *int) bool { asked++; return *x == *y }); !slices.Equal(h, []Hunk{{1, 2, 1, 2}}) || asked != 2 {
		t.Errorf("%v, asked %d times", h, asked)
	}
}

func TestTurned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"a", "a", true}, {"abc", "cab", true}, {"abc", "bca", true}, {"abc", "acb", false}, {"abc", "ab", false}, {"abc", "abd", false}, {"", "a", false}} {
		if got := Turned([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}
