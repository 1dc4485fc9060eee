package dialect

import "strings"

// Nearest gives the name that someone who wrote name most likely meant, or ""
// when none is near. Names that differ in case or in a few letters are near.
func Nearest(name string, names []string) string {
	most := len(name) / 3
	if most < 1 {
		most = 1
	}
	if most > 4 {
		most = 4
	}
	best, found := most+1, ""
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return n
		}
		if d := len(n) - len(name); d >= best || -d >= best {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n), best); d < best {
			best, found = d, n
		}
	}
	// Two letters that share nothing are one edit away from everything.
	if best >= len(name) {
		return ""
	}
	return found
}

// DidYouMean is the hint for an unknown name: the nearest, or else the known
// names as far as they fit on a line; what says what they are ("services").
func DidYouMean(name string, names []string, what string) string {
	if near := Nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	if len(names) == 0 {
		return ""
	}
	const most = 12
	list := names
	if len(list) > most {
		list = list[:most]
	}
	hint := "known " + what + ": " + strings.Join(list, ", ")
	if len(names) > most {
		hint += ", ..."
	}
	return hint
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour, to make b of a (optimal string alignment); it stops counting at
// limit.
func distance(a, b string, limit int) int {
	before := make([]int, len(b)+1)
	above := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		if least >= limit {
			return limit
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
