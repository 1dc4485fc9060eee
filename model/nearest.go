package model

import "slices"

// Nearest gives the one of names that word was most likely meant to be, "" when
// none is near.
func Nearest(word string, names []string) string { return nearest(word, slices.Values(names)) }

// nearest gives the candidate that word was most likely meant to be, or ""
// when none is near: at most a third of the letters differ, and not all.
func nearest(word string, candidates func(yield func(string) bool)) string {
	best, near := "", min(max(len(word)/3, 1)+1, len(word))
	var rows [2][]int
	for c := range candidates {
		if c == word || len(c)-len(word) >= near || len(word)-len(c) >= near {
			continue
		}
		d := distance(word, c, &rows)
		if d < near || d == near && best != "" && c < best {
			best, near = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace (Levenshtein). rows
// are kept between calls.
func distance(a, b string, rows *[2][]int) int {
	if len(rows[0]) <= len(b) {
		rows[0], rows[1] = make([]int, 2*len(b)+1), make([]int, 2*len(b)+1)
	}
	above, row := rows[0], rows[1]
	for j := 0; j <= len(b); j++ {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
		}
		above, row = row, above
	}
	return above[len(b)]
}
