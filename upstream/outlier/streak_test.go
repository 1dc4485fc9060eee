package outlier

import "testing"

func TestStreak(t *testing.T) {
	t.Parallel()
	var n Streak
	sick, states := false, ""
	for _, result := range "xx.xx.xxxx.x..x...xxx" {
		if n.Add(result == 'x', sick, 2, 3) {
			sick = !sick
		}
		states += map[bool]string{true: "x", false: "."}[sick]
	}
	if want := "........xxxxx.......x"; states != want {
		t.Errorf("states %s, want %s", states, want)
	}
}
